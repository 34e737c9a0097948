"""An RL stage (paper section 5): rollouts, rewards by rubrics or by rules, groups, GRPO updates.

Cases come from a file; where there is `config.consult` they are slices of the policy's own consultations, or these are
trained on whole; where there is `config.tasks` they are tasks that rules reward. `start` reads a config (see
`configs/rl_stage2.py`) and makes the parts; `stage` joins them for `loop.run`.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from m2jax import adapters, distributed, sharding
from m2jax.data import cases as case_data
from m2jax.data import practice
from m2jax.data import tasks as task_data
from m2jax.data.tasks import Task
from m2jax.outside.endpoint import Endpoint
from m2jax.patient.simulate import Units
from m2jax.rollout import dialogues, sessions, slices
from m2jax.rollout.metrics import engine_metrics
from m2jax.rollout.single_turn import Reward, prompt_tokens
from m2jax.rollout.watch import watch
from m2jax.sampler.engine import Engine
from m2jax.sampler.requests import Role
from m2jax.sampler.sampling import Sampling
from m2jax.sampler.scheduler import Sizes
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.train import draws, grpo, optimizer, policy
from m2jax.train.batches import minibatches, put_groups
from m2jax.train.loop import Metrics, Stage
from m2jax.train.overlap import overlapped
from m2jax.train.parts import Parts
from m2jax.train.step import TrainState, init_state, make_logprobs, make_step
from m2jax.verifier.grader import Judge, OutsideJudge, judge_tokens
from m2jax.verifier.rubric import Case
from m2jax.weights import names
from m2jax.weights.load import read_config


def make_mesh(config: ConfigDict) -> jax.sharding.Mesh:
    """The mesh of config.mesh = (data, fsdp, model[, context]); a -1 takes the devices the others leave."""
    shape = list(config.mesh)
    if shape.count(-1) == 1:
        rest = -int(np.prod(shape))
        shape[shape.index(-1)] = max(len(jax.devices()) // rest, 1)
    return sharding.make_mesh(tuple(shape))


def start(config: ConfigDict, mesh: jax.sharding.Mesh) -> tuple[Parts, TrainState]:
    """Makes the parts of a run and its first state, on the mesh that is set. ValueError names a value that cannot
    be, before anything is loaded.
    """
    policy.check_layers(config)
    if config.reward.unchecked not in ("judge", "skip"):
        raise ValueError(f"config.reward.unchecked is {config.reward.unchecked!r}; it must be 'judge' or 'skip'")
    outside = judge_endpoint(config)
    if consult := config.get("consult"):
        _check_consult(config)
    path = names.resolve(config.model)
    cfg, tokenizer = read_config(path), load_tokenizer(path)
    s, g = config.sampling, config.grpo
    sampling = Sampling(s.temperature, s.top_k, s.top_p, s.max_tokens, tuple(tokenizer.eos_ids))
    settings = grpo.Grpo(
        l_max=g.l_max or s.max_tokens * (consult.rounds if consult and consult.session else 1),
        eps_low=g.eps_low,
        eps_high=g.eps_high,
        temperature=s.temperature or 1.0,
        tis_cap=g.tis_cap or None,
        remat=g.remat,
    )
    tx = optimizer.make(optimizer.read(config, mesh))
    paid = config.reward
    reward = Reward(paid.normalisation, paid.length_threshold, paid.length_scale, paid.overlong, s.max_tokens)
    skip = config.reward.unchecked == "skip"
    if consult:
        if consult.session:
            sessions.check_template(tokenizer)
        limit = config.data.max_prompt_tokens
        train, heldout = [], slices.heldout_slices(config.eval.cases, consult.rounds, tokenizer, limit)
        heldout = case_data.checked_only(heldout) if skip else heldout
    elif tasks := config.get("tasks"):
        train, heldout = _tasks(config.data.path, tasks.made, tasks.train, config.eval.cases)
    else:
        if config.data.clinic < 0:
            raise ValueError(f"config.data.clinic is {config.data.clinic}; give how many cases of the clinic, or 0")
        train, heldout = case_data.load(config.data.path, clinic=config.data.clinic, skip_unchecked=skip)
        heldout = heldout[: config.eval.cases or None]
    _check_batches(config, mesh)
    _check_watch(config, heldout)
    policy.check_context(cfg, mesh, s.max_tokens, "config.sampling.max_tokens")
    serving = sharding.rearrange(mesh, tuple(config.sampling.mesh)) if config.sampling.mesh else mesh
    shards = serving.shape["data"] * serving.shape["fsdp"]
    prompt_size, sizes = engine_sizes(config, tokenizer, [*train, *heldout], sampling.max_tokens, shards)

    dtype = jnp.dtype(config.dtype)
    weights = policy.read_weights(config, cfg, path, mesh)
    doctor = Role(sampling, adapter="doctor") if config.lora.rank else Role(sampling, params="doctor")
    roles, units = {"doctor": doctor, "start": Role(sampling)} | outside, None
    if consult:
        speaks = dataclasses.replace(sampling, max_tokens=consult.patient_tokens)
        roles["patient"] = Role(speaks, adapter=consult.adapter or None)
        units = Units(tokenizer, "patient", "patient", None, consult.rounds, consult.patient_tokens)
    engine = Engine(cfg, serving, sizes, roles, dtype)
    served = jax.tree.map(lambda w: w.astype(dtype), weights)
    if config.lora.rank:
        trained, frozen = policy.new_adapter(config, cfg, mesh), served
    else:
        # what is trained is donated to each update: the start weights need arrays of their own
        trained, frozen = weights, None
        served = jax.tree.map(jnp.copy, served) if dtype == jnp.float32 else served
    engine.update("base", served)
    engine.update("doctor", trained)
    if consult and consult.adapter:
        shipped = adapters.load_adapter(consult.adapter, cfg, stacked=config.layers == "scanned")
        engine.update(consult.adapter, policy.place_adapter(shipped, config, cfg, mesh))
    judge = None if skip else OutsideJudge() if outside else Judge(tokenizer, "start", sizes.pasts[-1])
    parts = Parts(
        config, cfg, mesh, tokenizer, train, heldout, engine, judge, prompt_size, sampling, settings, reward, tx,
        frozen, units,
    )  # fmt: skip
    return parts, init_state(trained, tx)


def _tasks(path: str, made: Sequence[str], train: int, heldout: int) -> tuple[list[Task], list[Task]]:
    """Those of a file, of which at most `heldout` are held out (0: all), or as many of the clinic's."""
    if path:
        found, kept = task_data.load(path)
        return found, kept[: heldout or None]
    if train < 1 or heldout < 1:
        raise ValueError(f"config.tasks.train is {train} and config.eval.cases {heldout}; make at least one of each")
    return practice.make(made, train, "train"), practice.make(made, heldout, "heldout")


def judge_endpoint(config: ConfigDict) -> dict[str, Endpoint]:
    """The role "judge", where config.judge says that it is an endpoint. ValueError where that cannot be."""
    if not config.judge.url:
        if config.judge.model or config.judge.key_env:
            raise ValueError("config.judge.url is empty, but config.judge.model or key_env is not; give all, or none")
        return {}
    if config.reward.unchecked == "skip":
        raise ValueError(
            "config.judge.url names a judge, but config.reward.unchecked='skip' asks none; drop one of them"
        )
    endpoint = Endpoint(config.judge.url, config.judge.model, config.judge.key_env)
    endpoint.headers()
    return {"judge": endpoint}


def stage(parts: Parts, workdir: Path) -> Stage:
    """The RL stage: each step rolls out, grades, and updates the policy once per mini-batch. Groups without spread are
    dropped, and up to config.data.refill more draws of prompts fill their places (DAPO's dynamic sampling). What a long
    rollout has generated is kept in `workdir`/rollout.jsonl, consultations in consultations.jsonl; some of each step's
    dialogues stay, to be read (`rollout.dialogues`).
    """
    config, engine = parts.config, parts.engine
    source = draws.of(parts, workdir)
    objective = functools.partial(grpo.objective, parts.cfg, parts.grpo)
    train_step = make_step(objective, parts.tx, jnp.dtype(config.dtype), tuple(config.xla_flags))
    logprobs = make_logprobs(parts.cfg, parts.grpo, jnp.dtype(config.dtype))
    n, R = config.data.prompts_per_step, config.data.samples_per_prompt
    keep = dialogues.write if distributed.is_first() else lambda *_: None

    def make_batch(step: int, state: TrainState) -> tuple[Any, Metrics]:
        began, most = time.perf_counter(), 1 + config.data.refill
        engine.forget()  # a step after a restart is the same to the bit
        engine.update("doctor", state.trained)
        drawn, watched = [], {}
        if config.watch.every and step % config.watch.every == 0:
            cases, tolerance = parts.heldout[: config.watch.cases], config.watch.tolerance
            watched, seen = watch(engine, parts.tokenizer, cases, parts.judge, config.seed, tolerance)
            keep(workdir, step, seen, "watch")
            engine.forget()
        for draw in range(step * most, (step + 1) * most):
            drawn.append(source.take(draw))
            kept = [group for d in drawn for group in d.kept]
            if len(kept) >= n:
                break
        metrics = source.told(drawn) | engine_metrics(engine.stats()) | watched
        keep(workdir, step, source.shown(drawn[0]))
        metrics["rollout/seconds"] = time.perf_counter() - began
        metrics |= {"groups/dropped": sum(len(d.rollouts) for d in drawn) - len(kept), "groups/draws": len(drawn)}
        kept = kept[:n]
        size = -(-n // config.grpo.minibatches)
        return minibatches(
            kept, size, config.grpo.micro_groups, config.grpo.row_samples or R, *source.row(kept)
        ), metrics

    def update(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        placed = [(put_groups(parts.mesh, groups), n) for groups, n in batch]
        told: Metrics = {}
        if parts.grpo.tis_cap and placed:
            placed = [(g.replace(old_logp=logprobs(state.trained, parts.frozen, g)), n) for g, n in placed]
            told = grpo.sampler_gap([groups for groups, _ in placed])
        each = []
        for groups, n in placed:
            state, metrics = train_step(state, parts.frozen, groups, n)
            each.append(metrics)
        means = {key: sum(m[key] for m in each) / (key == "tokens" or len(each)) for key in each[0]} if each else {}
        return state, means | told

    made = Stage(make_batch, update, source.position, source.set_position)
    return overlapped(made, config.steps, workdir) if config.asynchronous else made


def engine_sizes(
    config: ConfigDict, tokenizer: Tokenizer, cases: Sequence[Case | Task], max_tokens: int, shards: int
) -> tuple[int, Sizes]:
    """The longest prompt in tokens, and capacities for every request that can come up, rounded up to whole pages, on
    each of the shards of the sampler's batch.
    """
    prompts = [prompt_tokens(tokenizer, case) for case in cases]
    longest = max(range(len(cases)), key=lambda i: len(prompts[i]))
    limit = config.data.max_prompt_tokens
    if len(prompts[longest]) > limit:
        raise ValueError(
            f"case {cases[longest].id} has a prompt of {len(prompts[longest])} tokens; "
            f"config.data.max_prompt_tokens is {limit}"
        )
    most = limit if config.get("consult") else len(prompts[longest])
    own = most + max_tokens
    judged, suffix = own, max_tokens + 1
    for case in cases:
        for criterion in case.rubric:
            if (criterion.check is None or config.watch.every) and not config.judge.url:
                start, end = judge_tokens(tokenizer, case, "", criterion)
                # a reply becomes quoted lines: some tokens more than its own
                judged, suffix = max(judged, len(start) + 2 * max_tokens), max(suffix, len(end) + 1)
    ceil = lambda n, unit: -(-n // unit) * unit  # noqa: E731
    page = 32
    if consult := config.get("consult"):  # prompts of the patient, and questions about slices that are yet to come
        judged = max(judged, consult.context_tokens)
    pasts = tuple(sorted({ceil(own, page), ceil(judged, page)}))
    slots = ceil(min(config.sampling.slots, config.data.prompts_per_step * config.data.samples_per_prompt), shards)
    slots //= shards
    tokens = ceil(config.sampling.cache_tokens, shards) // shards or slots * pasts[-1]
    if tokens < pasts[-1]:
        raise ValueError(
            f"config.sampling.cache_tokens {config.sampling.cache_tokens} leaves {tokens} to each of {shards} shards; "
            f"one request may need {pasts[-1]}: give at least {shards * pasts[-1]}, or 0"
        )
    # few shapes, since each is compiled: a reply with what a judge's question puts around it, and something longer
    chunk = ceil(max_tokens + page, page)
    chunks = tuple(sorted({chunk, max(min(4 * chunk, pasts[-1]), ceil(suffix, 16))}))
    return ceil(most, 16), Sizes(slots, -(-tokens // page) + 1, page, pasts, chunks)


def _check_consult(config: ConfigDict) -> None:
    for key in ("rounds", "patient_tokens", "context_tokens"):
        if config.consult[key] < 1:
            raise ValueError(f"config.consult.{key} is {config.consult[key]}; it must be at least 1")
    if not 0 <= config.consult.outcome <= 1:
        raise ValueError(f"config.consult.outcome is {config.consult.outcome}; give a share from 0 to 1")
    if config.eval.cases < 1:
        raise ValueError(f"config.eval.cases is {config.eval.cases}; say how many held-out patients to measure on")
    if config.consult.adapter and config.consult.adapter not in adapters.shipped():
        raise ValueError(
            f"config.consult.adapter is {config.consult.adapter!r}; give none (the start "
            f"weights play the patient then) or one of {', '.join(adapters.shipped())}"
        )


def _check_watch(config: ConfigDict, heldout: Sequence[Case | Task]) -> None:
    """ValueError where there is to be a watch and cannot be one."""
    if not config.watch.every:
        return
    if config.reward.unchecked == "skip":
        raise ValueError(
            "config.watch.every asks for a watch on the judge, but config.reward.unchecked='skip' asks none"
        )
    if config.watch.cases < 2:
        raise ValueError(f"config.watch.cases is {config.watch.cases}; the judge is watched on at least 2")
    unknown = [
        case.id for case in heldout[: config.watch.cases] if not any(c.check and c.points > 0 for c in case.rubric)
    ]
    if unknown:
        raise ValueError(
            f"config.watch.every is {config.watch.every}, but held-out case {unknown[0]} has no positive criterion "
            "with a check to set the judge against; give it one, or set config.watch.every=0"
        )


def _check_batches(config: ConfigDict, mesh: jax.sharding.Mesh) -> None:
    split = mesh.shape["data"] * mesh.shape["fsdp"]
    for key, n in (
        ("data.prompts_per_step", config.data.prompts_per_step),
        ("grpo.micro_groups", config.grpo.micro_groups),
    ):
        if n < 1 or n % split:
            raise ValueError(f"config.{key} is {n}; it must be a multiple of data x fsdp = {split} of the mesh")
    if mesh.shape["context"] > 1 and not config.sampling.mesh:
        raise ValueError(
            f"config.mesh {tuple(config.mesh)} splits rows over context, where the sampler has no work to split: give "
            "config.sampling.mesh (data, fsdp, model)"
        )
    if config.data.refill < 0:
        raise ValueError(f"config.data.refill is {config.data.refill}; give the most extra draws of a step, or 0")
    if config.asynchronous and not config.grpo.tis_cap:
        raise ValueError(
            "config.asynchronous=True trains on replies of the weights one step before, but config.grpo.tis_cap is 0; "
            "give the cap of their importance weights, as 2.0"
        )
    if config.checkpoint.rollout_seconds < 0:
        raise ValueError(
            f"config.checkpoint.rollout_seconds is {config.checkpoint.rollout_seconds}; give seconds, or 0 for never"
        )
    if config.grpo.minibatches < 1 or config.steps < 1:
        raise ValueError(
            f"config.grpo.minibatches {config.grpo.minibatches} and config.steps {config.steps} must be at least 1"
        )
    if config.grpo.row_samples < 0 or config.data.samples_per_prompt % (config.grpo.row_samples or 1):
        raise ValueError(
            f"config.grpo.row_samples {config.grpo.row_samples} must divide config.data.samples_per_prompt "
            f"{config.data.samples_per_prompt}; 0: all in one row"
        )
    if config.data.samples_per_prompt < 2:
        raise ValueError("config.data.samples_per_prompt must be at least 2: an advantage is against the group's mean")
