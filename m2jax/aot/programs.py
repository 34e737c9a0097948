"""What a config runs on its devices, as programs that can be compiled where those devices are not."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from m2jax import sharding
from m2jax.aot import cost
from m2jax.data import packing
from m2jax.models import attention, decoder, lora, params
from m2jax.models.config import ModelConfig
from m2jax.models.known import KNOWN
from m2jax.sampler import cache, programs
from m2jax.sampler.sampling import Knobs
from m2jax.sampler.scheduler import Sizes
from m2jax.train import grpo, midtrain, optimizer, policy, sft, step
from m2jax.train.batches import episode_row
from m2jax.verifier.judge import Judge
from m2jax.weights import names
from m2jax.weights.load import read_config

JUDGE_TOKENS = 512  # what a judge's question puts around the conversation, and a criterion, at most


@dataclasses.dataclass(frozen=True)
class Plan:
    """The programs of a config by name, each lowered when asked for, and what stays on the devices whoever runs: trees
    of abstract arrays by name. holds: by program, which of these are among its arguments. work: by program, the model
    FLOPs of one call on all devices (see `cost.model_flops`; none for what only moves data). trips: by program, how
    often its loop runs whose end depends on data.
    """

    programs: dict[str, Callable[[], jax.stages.Lowered]]
    resident: dict[str, Any]
    holds: dict[str, tuple[str, ...]]
    work: dict[str, float]
    trips: dict[str, int]
    sizes: Sizes | None  # of the sampler, where there is one
    shards: int
    model: ModelConfig


def plan(config: ConfigDict, mesh: jax.sharding.Mesh) -> Plan:
    """The plan of `config` on `mesh`: the same functions and layouts that a run uses, in the largest shapes that its
    limits allow (a run rounds down to its data).
    """
    cfg = KNOWN.get(config.model) or read_config(names.resolve(config.model))
    return _plan_rl(cfg, config, mesh) if config.get("stage", "rl") == "rl" else _plan_packed(cfg, config, mesh)


def micro(config: ConfigDict) -> tuple[str, int, int]:
    """The micro-batch of the update: its key, its rows, and the rows of an update."""
    if config.get("stage", "rl") != "rl":
        return "data.micro_rows", config.data.micro_rows, config.data.rows_per_step
    R = config.grpo.row_samples or config.data.samples_per_prompt
    rows = config.data.prompts_per_step * config.data.samples_per_prompt // R // config.grpo.minibatches
    return "grpo.micro_groups", config.grpo.micro_groups, rows


def _plan_packed(cfg: ModelConfig, config: ConfigDict, mesh: jax.sharding.Mesh) -> Plan:
    """SFT or mid-training: rows without a gap in which every token counts; a run's are no larger. Mid-training holds
    the start model beside what it trains, and runs it forward.
    """
    d, shards = config.data, mesh.shape["data"] * mesh.shape["fsdp"]
    _, M, rows = micro(config)
    n, T = rows // M, d.row_tokens
    policy.check_context(cfg, mesh, T, "config.data.row_tokens")
    decoder.remat_policy(config.remat)
    state, frozen, trained = _learner(cfg, config, mesh)

    def array(dtype: Any) -> jax.ShapeDtypeStruct:
        where = jax.NamedSharding(mesh, sharding.P(None, ("data", "fsdp"), None))
        return jax.ShapeDtypeStruct((n, M, T), dtype, sharding=where)

    ids = array(jnp.int32)
    batch = packing.Packed(ids, ids, ids, None, ids, ids, array(jnp.float32))
    objective, passes = functools.partial(sft.objective, cfg, config.remat), 3
    if config.stage == "midtrain":
        objective, passes = functools.partial(midtrain.objective, cfg, config.remat, midtrain.kind_weights(config)), 4
        batch = midtrain.Mixed(batch, ids)
        frozen = frozen or _cast(trained, jnp.dtype(config.dtype))
    resident = {"training state": state} | ({"frozen weights": frozen} if frozen else {})
    held = tuple(resident)
    return Plan(
        {
            "init": lambda: _lower_init(config, mesh, state),
            "restore": lambda: _lower_restore(mesh, state),
            "update": lambda: _lower_update(objective, config, mesh, state, frozen, batch),
        },
        resident,
        dict.fromkeys(("init", "restore"), ("training state",)) | {"update": held},
        {"update": cost.model_flops(cfg, n * M * T, T / 2, passes)},
        {"update": n},
        None,
        shards,
        cfg,
    )


def _learner(cfg: ModelConfig, config: ConfigDict, mesh: jax.sharding.Mesh) -> tuple[step.TrainState, Any, Any]:
    """(training state, frozen weights or None, what is trained) as abstract arrays on the mesh."""
    stacked, dtype = config.layers == "scanned", jnp.dtype(config.dtype)
    with jax.set_mesh(mesh):
        weights = _placed(mesh, params.abstract(cfg, stacked=stacked), params.logical_axes(cfg, stacked=stacked))
        frozen, trained = None, weights
        if config.lora.rank:
            adapter = jax.eval_shape(lambda: lora.init(cfg, jax.random.key(0), config.lora.rank, 1.0, stacked=stacked))
            trained = _placed(mesh, adapter, lora.logical_axes(cfg, stacked=stacked))
            frozen = _cast(weights, dtype)
        return _state(config, trained, mesh), frozen, trained


def _plan_rl(cfg: ModelConfig, config: ConfigDict, mesh: jax.sharding.Mesh) -> Plan:
    policy.check_context(cfg, mesh, config.sampling.max_tokens, "config.sampling.max_tokens")
    serving = sharding.rearrange(mesh, tuple(config.sampling.mesh)) if config.sampling.mesh else mesh
    shards = serving.shape["data"] * serving.shape["fsdp"]
    sizes = _sizes(config, shards)
    stacked, dtype = config.layers == "scanned", jnp.dtype(config.dtype)

    state, frozen, trained = _learner(cfg, config, mesh)
    with jax.set_mesh(serving):
        axes = params.logical_axes(cfg, stacked=stacked)
        served = _placed(serving, params.abstract(cfg, dtype, stacked=stacked), axes)
        ragged = attention.ragged_serves(cfg.n_kv_heads, cfg.d_head, dtype)
        pages = sizes.n_pages * shards
        kv = (
            cache.ragged(cfg, pages, sizes.page, dtype)
            if ragged
            else cache.dense(cfg, pages, sizes.page, dtype, stacked=stacked)
        )
    objective = functools.partial(grpo.objective, cfg, _settings(config))
    lowerings: dict[str, Callable[[], jax.stages.Lowered]] = {
        "init": lambda: _lower_init(config, mesh, state),
        "restore": lambda: _lower_restore(mesh, state),
        "update": lambda: _lower_update(objective, config, mesh, state, frozen, _groups(config, mesh)),
        "logprobs": lambda: _lower_logprobs(cfg, config, mesh, state, frozen),
        "hand-over": lambda: _lower_hand_over(cfg, mesh, serving, trained, dtype, stacked=stacked),
        **{
            name: lambda name=name: _lower_sampler(name, cfg, serving, served, kv, sizes, shards)
            for name in ("prefill", "decode", "score")
        },
    }
    resident = {"training state": state, "start weights": served, "pages": kv}
    learner = ("update", "logprobs")
    holds = dict.fromkeys(("init", "restore", *learner, "hand-over"), ("training state",)) | dict.fromkeys(
        ("prefill", "decode", "score"), ("start weights", "pages")
    )
    if config.verifier:
        resident |= {"verifier weights": served, "verifier pages": kv}
    if frozen is None:
        resident |= {"policy weights": served, "policy pages": kv}  # what is trained whole has a cache of its own
    elif config.sampling.mesh:
        resident["frozen weights"] = frozen
        holds |= {name: ("training state", "frozen weights") for name in learner}
    else:
        holds |= {name: ("training state", "start weights") for name in learner}
    work, trips = _work(cfg, config, sizes, shards)
    return Plan(lowerings, resident, holds, work, trips, sizes, shards, cfg)


def _sizes(config: ConfigDict, shards: int) -> Sizes:
    """As `rl.engine_sizes` has them, of the longest prompts; of its chunks the one of long replies, since no program of
    the others computes more tokens.
    """
    page, P, C = 32, config.data.max_prompt_tokens, config.sampling.max_tokens
    reasons = 2 * Judge.reason_tokens if config.judge.votes and not config.judge.url else 0
    longest = max(P + 2 * C + JUDGE_TOKENS + reasons, config.consult.context_tokens if config.get("consult") else 0)
    longest = -(-longest // page) * page
    own = -(-(P + C) // page) * page
    slots = -(-min(config.sampling.slots, config.data.prompts_per_step * config.data.samples_per_prompt) // shards)
    tokens = -(-config.sampling.cache_tokens // shards) or slots * longest
    return Sizes(slots, -(-tokens // page) + 1, page, tuple(sorted({own, longest})), (JUDGE_TOKENS,))


def _work(cfg: ModelConfig, config: ConfigDict, sizes: Sizes, shards: int) -> tuple[dict[str, float], dict[str, int]]:
    """Model FLOPs of each program, and the trips of loops that depend on data, in the largest shapes."""
    n, M, R, P, C = _batch(config)
    row, past, chunk = P + R * C, sizes.pasts[-1], sizes.chunks[-1]
    seen = (P * P / 2 + R * C * (P + C / 2)) / row  # a prompt and R replies that see it and themselves
    prefill = shards * min(sizes.rows_of(chunk), sizes.slots) * chunk
    tokens = shards * sizes.slots * sizes.burst
    work = {
        "update": cost.model_flops(cfg, n * M * row, seen, 3),
        "logprobs": cost.model_flops(cfg, n * M * row, seen, 1),
        "prefill": cost.model_flops(cfg, prefill, past / 2, 1),
        "decode": cost.model_flops(cfg, tokens, past, 1),
        "score": cost.model_flops(cfg, prefill, past, 1),
    }
    return work, {"update": n, "logprobs": n, "decode": sizes.burst}


def _batch(config: ConfigDict) -> tuple[int, int, int, int, int]:
    """Micro-batches, rows in each, samples in a row, and the tokens of a prompt and of a reply."""
    _, M, rows = micro(config)
    R = config.grpo.row_samples or config.data.samples_per_prompt
    whole = config.get("consult") and config.consult.session
    P, C = episode_row(config) if whole else (config.data.max_prompt_tokens, config.sampling.max_tokens)
    return -(-rows // M), M, R, P, C


def _groups(config: ConfigDict, mesh: jax.sharding.Mesh) -> grpo.Groups:
    n, M, R, P, C = _batch(config)

    def array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
        spec = sharding.P(None, ("data", "fsdp"), *(None,) * len(shape))
        return jax.ShapeDtypeStruct((n, M, *shape), dtype, sharding=jax.NamedSharding(mesh, spec))

    each = array(R, C)
    return grpo.Groups(array(P + R * C, dtype=jnp.int32), array(dtype=jnp.int32), each, each, each, each)


def _settings(config: ConfigDict) -> grpo.Grpo:
    g, s = config.grpo, config.sampling
    return grpo.Grpo(s.max_tokens, g.eps_low, g.eps_high, s.temperature or 1.0, g.tis_cap or None, g.remat, g.vanilla)


def _lower_init(config: ConfigDict, mesh: jax.sharding.Mesh, state: step.TrainState) -> jax.stages.Lowered:
    """The optimiser's moments, where the training state wants them."""
    where = jax.tree.map(lambda x: x.sharding, state.opt_state)
    with jax.set_mesh(mesh):
        return jax.jit(optimizer.make(optimizer.read(config, mesh)).init, out_shardings=where).lower(state.trained)


def _lower_restore(mesh: jax.sharding.Mesh, state: step.TrainState) -> jax.stages.Lowered:
    """The training state onto the devices: Orbax reads what each device holds into its host's memory, in the run's
    layout, whatever mesh wrote the checkpoint.
    """

    def read(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding.with_memory_kind(optimizer.HOST))

    where = jax.tree.map(lambda x: x.sharding, state)
    with jax.set_mesh(mesh):
        put = jax.jit(lambda state: jax.tree.map(jax.device_put, state, where))
        return put.lower(jax.tree.map(read, state))


def _lower_update(
    objective: step.Objective, config: ConfigDict, mesh: jax.sharding.Mesh, state: Any, frozen: Any, batch: Any
) -> jax.stages.Lowered:
    with jax.set_mesh(mesh):
        tx = optimizer.make(optimizer.read(config, mesh))
        train_step = step.make_step(objective, tx, jnp.dtype(config.dtype))
        return train_step.lower(state, frozen, batch, _count(mesh))


def _count(mesh: jax.sharding.Mesh) -> jax.ShapeDtypeStruct:
    """How many rows of a batch count."""
    return jax.ShapeDtypeStruct((), jnp.int32, sharding=jax.NamedSharding(mesh, sharding.P()))


def _lower_logprobs(
    cfg: ModelConfig, config: ConfigDict, mesh: jax.sharding.Mesh, state: Any, frozen: Any
) -> jax.stages.Lowered:
    with jax.set_mesh(mesh):
        logprobs = step.make_logprobs(cfg, _settings(config), jnp.dtype(config.dtype))
        return logprobs.lower(state.trained, frozen, _groups(config, mesh), _count(mesh))


def _lower_hand_over(
    cfg: ModelConfig, mesh: jax.sharding.Mesh, serving: jax.sharding.Mesh, trained: Any, dtype: Any, *, stacked: bool
) -> jax.stages.Lowered:
    """What is trained, cast and laid out for the sampler, as one program; `Engine.update` does it array by array."""
    whole = params.abstract(cfg, dtype, stacked=stacked)
    same = jax.tree.structure(whole) == jax.tree.structure(trained)
    axes = params.logical_axes(cfg, stacked=stacked) if same else lora.logical_axes(cfg, stacked=stacked)
    rules = sharding.Rules()
    where = sharding.shardings(serving, axes, trained, rules)
    source = sharding.shardings(_automatic(mesh), axes, trained, rules)
    given = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), trained, source)
    into = jax.tree.map(lambda s: jax.NamedSharding(_automatic(serving), s.spec), where)
    return jax.jit(lambda tree: jax.tree.map(lambda w: w.astype(dtype), tree), out_shardings=into).lower(given)


def _automatic(mesh: jax.sharding.Mesh) -> jax.sharding.Mesh:
    """The same mesh for a program between two meshes, of which neither can be the context."""
    return jax.sharding.Mesh(mesh.devices, mesh.axis_names)


def _lower_sampler(
    name: str, cfg: ModelConfig, mesh: jax.sharding.Mesh, weights: Any, kv: Any, sizes: Sizes, shards: int
) -> jax.stages.Lowered:
    def array(*shape: int, dtype: Any = jnp.int32) -> jax.ShapeDtypeStruct:
        spec = sharding.batch_spec(len(shape)) if shape else sharding.P()
        return jax.ShapeDtypeStruct(shape, dtype, sharding=jax.NamedSharding(mesh, spec))

    past, chunk = sizes.pasts[-1], sizes.chunks[-1]
    B = shards * (sizes.slots if name == "decode" else min(sizes.rows_of(chunk), sizes.slots))
    rows = programs.Rows(array(B, past // sizes.page), array(B), None)
    floats = array(B, dtype=jnp.float32)
    with jax.set_mesh(mesh):
        if name == "prefill" and cache.is_ragged(kv):
            return programs.prefill_in_pages.lower(cfg, weights, kv, rows, array(B, chunk), array(B))
        if name == "prefill":
            return programs.compute_new.lower(cfg, weights, kv, past, rows, array(B, chunk))
        if name == "score":
            return programs.score_choices.lower(
                cfg, weights, kv, past, rows, 1, array(B, chunk), array(B, 1), array(B, 2)
            )
        draws = programs.Draws(
            array(B), array(B, 2, dtype=jnp.uint32), array(B), array(B), array(B, 2),
            Knobs(floats, array(B), floats), None,
        )  # fmt: skip
        seed, enough = array(dtype=jnp.uint32), array()
        return programs.decode.lower(cfg, weights, kv, past, sizes.burst, rows, draws, seed, enough)


def _state(config: ConfigDict, trained: Any, mesh: jax.sharding.Mesh) -> step.TrainState:
    """The abstract training state; moments have the layout of what they follow."""
    settings = optimizer.read(config, mesh)
    moments = jax.eval_shape(optimizer.make(settings).init, trained)
    whole = jax.NamedSharding(mesh, sharding.P())

    def placed(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        if not x.ndim:
            return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole)
        where = jax.NamedSharding(mesh, x.sharding.spec, memory_kind=optimizer.HOST if settings.offload else None)
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)

    count = jax.ShapeDtypeStruct((), jnp.int32, sharding=whole)
    return step.TrainState(count, trained, jax.tree.map(placed, moments))


def _placed(mesh: jax.sharding.Mesh, tree: Any, axes: Any) -> Any:
    where = sharding.shardings(mesh, axes, tree, sharding.Rules())
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, where)


def _cast(tree: Any, dtype: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype, sharding=x.sharding), tree)


def options(config: ConfigDict, name: str) -> dict[str, str] | None:
    """The compiler options of a program: the same as in a run, where only the update takes config.xla_flags."""
    return step.compiler_options(tuple(config.xla_flags)) if name == "update" else None


def bytes_per_device(tree: Any) -> int:
    """What a tree of abstract arrays takes on one device; what waits in the host's memory takes nothing."""
    total = 0
    for x in jax.tree.leaves(tree):
        if x.sharding.memory_kind == optimizer.HOST:
            continue
        size = x.dtype.itemsize
        for n in x.sharding.shard_shape(x.shape):
            size *= n
        total += size
    return total
