"""Mid-training under a domain self-constraint (arXiv 2509.02208, eq. 1): each kind of document has a loss of its own.

    knowledge                  - log p(token | what stands before it)        at every token
    reasoning                  the same, at the tokens of its notes alone; the text around them is context
    general, mathematics       KL(p || p of the start model), over the whole vocabulary, at every token

    loss = sum over counted tokens of (weight of the kind) * (the token's loss) / number of counted tokens

The mean is over all counted tokens of a step, whatever rows, micro-batches and devices they lie in. A row holds
documents of one share of the mixture (medical, general or mathematics), and the stream gives rows of the three in
proportion. The start model is `frozen`: where an adapter is trained, the very weights under it; else a copy in
config.dtype.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from m2jax import sharding
from m2jax.data import corpus, documents, packing
from m2jax.data.documents import KINDS, SHARES, Document
from m2jax.data.packing import Packed
from m2jax.data.stream import Mixture
from m2jax.models import attention
from m2jax.models.config import ModelConfig
from m2jax.models.decoder import forward, remat_policy, unembed
from m2jax.models.logprobs import token_logprobs_and_kl
from m2jax.models.params import Params
from m2jax.sharding import batch_spec, reshard, row_spec
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.train import optimizer, policy
from m2jax.train.loop import Metrics, Stage
from m2jax.train.sft import Parts, Row, Side, check_rows
from m2jax.train.step import TrainState, assemble, init_state, make_step
from m2jax.weights import names
from m2jax.weights.load import read_config

CONSTRAINED = ("general", "mathematics")


@flax.struct.dataclass
class Mixed:
    """Rows, and of which kind each of their targets is: int32 [N, K], an index of `documents.KINDS`."""

    packed: Packed
    kinds: Any


def token_losses(
    cfg: ModelConfig, remat: str, params: Params, start: Params, rows: Packed
) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy of each target, and KL(model || start model) where it is predicted: float32 [N, K] in nats."""
    attend = attention.packed(rows.segments, rows.branches)
    tokens, positions, at, targets = (
        reshard(x, row_spec(2)) for x in (rows.tokens, rows.positions, rows.at, rows.targets)
    )

    def hidden(params: Params, remat: str) -> jax.Array:
        return sharding.take_positions(forward(cfg, params, tokens, positions, attend, remat=remat)[0], at)

    logp, kl = token_logprobs_and_kl(
        hidden(params, remat), unembed(params), targets, hidden(start, "none"), unembed(start)
    )
    return reshard(-logp, batch_spec(2)), reshard(kl, batch_spec(2))


def objective(
    cfg: ModelConfig,
    remat: str,
    weights: tuple[float, ...],
    params: Params,
    frozen: Params,
    rows: Mixed,
    n_rows: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """(loss, sums) as `step.Objective` wants them. weights: of the kinds, in the order of `KINDS`. The share of each
    token is in `rows.packed.weight` already. sums: of each kind its tokens and its loss.
    """
    ce, kl = token_losses(cfg, remat, params, frozen, rows.packed)
    counts = (rows.packed.weight > 0).astype(jnp.float32)
    loss, sums = jnp.float32(0), {"tokens": counts.sum()}
    for i, (kind, weight) in enumerate(zip(KINDS, weights, strict=True)):
        each, own = (kl if kind in CONSTRAINED else ce), (rows.kinds == i).astype(jnp.float32)
        loss += weight * (each * rows.packed.weight * own).sum()
        sums |= {f"tokens_{kind}": (counts * own).sum(), f"loss_{kind}": (each * counts * own).sum()}
    return loss, jax.lax.stop_gradient(sums)


def make_token_losses(cfg: ModelConfig, dtype: Any = jnp.float32) -> Callable[[Any, Params, Mixed], np.ndarray]:
    """`token_losses` of a batch with its leading axis of micro-batches, [2, micro-batches, M, K] on the host of every
    process.
    """

    @jax.jit
    def losses(trained: Any, frozen: Params, batch: Mixed) -> jax.Array:
        params = assemble(jax.tree.map(lambda w: w.astype(dtype), trained), frozen)
        each = jax.lax.map(lambda rows: jnp.stack(token_losses(cfg, "none", params, frozen, rows)), batch.packed)
        return sharding.reshard(each, sharding.P(None, None, None, None))

    return lambda *args: np.moveaxis(np.asarray(losses(*args).addressable_data(0)), 1, 0)


def start(config: ConfigDict, mesh: jax.sharding.Mesh) -> tuple[Parts, TrainState]:
    """Makes the parts of a run and its first state, on the mesh that is set. ValueError names a value that cannot
    be, before any weights are loaded.
    """
    policy.check_layers(config)
    remat_policy(config.remat)
    check_rows(config, mesh)
    shares = _shares(config)
    path = names.resolve(config.model)
    cfg, tokenizer = read_config(path), load_tokenizer(path)
    policy.check_context(cfg, mesh, config.data.row_tokens, "config.data.row_tokens")
    train, heldout = (_side(tokenizer, side, config.data.row_tokens) for side in read_documents(config))
    N = config.data.rows_per_step
    for (name, rows), share in zip(by_share(train).items(), shares, strict=True):
        if len(rows) < math.ceil(N * share):
            raise ValueError(
                f"config.data.rows_per_step is {N}, of which {share:.0%} {name}, but the training documents fill only "
                f"{len(rows)} such rows of {config.data.row_tokens} tokens; lower one of the two, or give more"
            )
    if not by_share(heldout)["medical"]:
        raise ValueError(f"{config.data.path} has no held-out document of {' or '.join(SHARES['medical'])}; mark some")
    most = max(packing.trained_tokens(s.segments, row) for s in (train, heldout) for row in s.rows)
    steps = config.steps or math.ceil(config.epochs * len(by_share(train)["medical"]) / (N * shares[0]))
    tx = optimizer.make(optimizer.read(config, mesh, fall_steps=steps))

    weights = policy.read_weights(config, path, mesh)
    frozen = jax.tree.map(lambda w: jnp.array(w, config.dtype), weights)  # a copy: the state is donated
    trained = policy.new_adapter(config, cfg, mesh) if config.lora.rank else weights
    shape = (config.data.row_tokens, -(-most // 16) * 16)
    return Parts(config, cfg, mesh, tokenizer, train, heldout, shape, steps, tx, frozen), init_state(trained, tx)


def read_documents(config: ConfigDict) -> tuple[list[Document], list[Document]]:
    """(training documents, held-out ones) of config.data: a file's, or made."""
    d = config.data
    if d.path:
        return documents.split_documents(documents.load_documents(d.path), d.path)
    return documents.split_documents(corpus.make_documents(d.train, d.heldout, config.seed), "data.corpus")


def by_share(side: Side) -> dict[str, list[Row]]:
    """The rows of each share of the mixture."""
    kind_of = lambda row: side.items[side.segments[row[0]].owners[0]].kind  # noqa: E731
    return {name: [row for row in side.rows if kind_of(row) in kinds] for name, kinds in SHARES.items()}


def kind_weights(config: ConfigDict) -> tuple[float, ...]:
    """Of config.weights, in the order of `KINDS`."""
    return tuple(config.weights[kind] for kind in KINDS)


def stage(parts: Parts, workdir: Path) -> Stage:
    """The stage: each step takes the next rows of the mixture and updates once."""
    config, side = parts.config, parts.train
    stream = Mixture([*by_share(side).values()], config.data.mixture, config.data.rows_per_step, config.seed)
    run = functools.partial(objective, parts.cfg, config.remat, kind_weights(config))
    train_step = make_step(run, parts.tx, jnp.dtype(config.dtype), tuple(config.xla_flags))

    def make_batch(step: int, state: TrainState) -> tuple[Any, Metrics]:
        rows = next(stream)
        tokens = sum(len(side.segments[i].tokens) for row in rows for i in row)
        metrics = {
            "data/documents": len({side.segments[i].owners[0] for row in rows for i in row}),
            "data/fill": tokens / (len(rows) * parts.shape_TK[0]),
        }
        return (put_rows(parts, side, rows), np.int32(len(rows))), metrics

    def update(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        state, metrics = train_step(state, parts.frozen, *batch)
        return state, _apart(metrics)

    return Stage(make_batch, update, stream.get_state, stream.set_state)


def put_rows(parts: Parts, side: Side, rows: Sequence[Row]) -> Mixed:
    """Some rows of a side on the mesh, in micro-batches; the tokens that count weigh the same, together 1."""
    share = 1 / sum(packing.trained_tokens(side.segments, row) for row in rows)

    def build(mine: Sequence[Row]) -> Mixed:
        packed = packing.fill(side.segments, mine, parts.shape_TK, share, side.branched)
        kinds = np.zeros_like(packed.at)
        for n, row in enumerate(mine):
            own = [KINDS.index(side.items[owner].kind) for i in row for owner in side.segments[i].owners]
            kinds[n, : len(own)] = own
        return Mixed(packed, kinds)

    return sharding.place_rows(parts.mesh, rows, parts.config.data.micro_rows, build)


def _apart(metrics: Metrics) -> Metrics:
    """The step's metrics with each kind's tokens, and ce and kl as means over their own tokens, 0 where none are."""
    n = metrics["tokens"]
    kept = {k: v for k, v in metrics.items() if not k.startswith(("tokens_", "loss_"))}
    for name, constrained in (("ce", False), ("kl", True)):
        own = [kind for kind in KINDS if (kind in CONSTRAINED) is constrained]
        total, share = (sum(metrics[f"{what}_{kind}"] for kind in own) for what in ("loss", "tokens"))
        kept[name] = total / jnp.maximum(share, 1 / n)
    return kept | {f"tokens_{kind}": jnp.round(metrics[f"tokens_{kind}"] * n) for kind in KINDS}


def _side(tokenizer: Tokenizer, items: Sequence[Document], row_tokens: int) -> Side:
    """The documents packed into rows, those of each share by themselves."""
    segments = documents.segments(tokenizer, items, row_tokens)
    rows = []
    for kinds in SHARES.values():
        own = [i for i, s in enumerate(segments) if items[s.owners[0]].kind in kinds]
        rows += [[own[i] for i in row] for row in packing.pack([len(segments[i].tokens) for i in own], row_tokens)]
    return Side(list(items), segments, rows, branched=False)


def _shares(config: ConfigDict) -> list[float]:
    """The mixture's shares, which add up to 1; ValueError where they or the kinds' weights cannot be."""
    mixture = tuple(config.data.mixture)
    if len(mixture) != len(SHARES) or any(type(n) is not int or n < 0 for n in mixture) or not mixture[0]:
        raise ValueError(
            f"config.data.mixture is {mixture}; give whole numbers for {', '.join(SHARES)}, the first of them above 0"
        )
    if min(kind_weights(config)) < 0:
        raise ValueError(f"config.weights are {kind_weights(config)} of {', '.join(KINDS)}; none may be below 0")
    return [part / sum(mixture) for part in mixture]
