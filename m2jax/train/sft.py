"""Supervised fine-tuning: packed chats, next-token cross-entropy on the tokens that are trained on.

    loss = - sum over trained tokens log p(token | what stands before it in its chat) / number of trained tokens

The mean is over all trained tokens of a step, whatever rows, micro-batches and devices they lie in. Logits are made
only where a token is trained on, blockwise over the vocabulary. `start` reads a config (see `configs/sft.py`) and makes
the parts; `stage` joins them for `loop.run`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from m2jax import sharding
from m2jax.data import chats as chat_data
from m2jax.data import made, packing
from m2jax.data.chats import Chat
from m2jax.data.packing import Packed, Segment
from m2jax.data.stream import Stream
from m2jax.models import attention
from m2jax.models.config import ModelConfig
from m2jax.models.decoder import forward, remat_policy, unembed
from m2jax.models.logprobs import token_logprobs
from m2jax.models.params import Params
from m2jax.sharding import batch_spec, reshard, row_spec
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.train import optimizer, policy
from m2jax.train.loop import Metrics, Stage
from m2jax.train.step import TrainState, assemble, init_state, make_step
from m2jax.weights import names
from m2jax.weights.load import read_config

Row = list[int]  # indices of the segments that share a row


@dataclasses.dataclass(frozen=True)
class Side:
    """Chats (or documents) in tokens and packed: those to learn from, or those held out. `branched`: some are of a
    group.
    """

    items: list[Any]
    segments: list[Segment]
    rows: list[Row]
    branched: bool


@dataclasses.dataclass(frozen=True)
class Parts:
    """Everything a run is made of. `frozen` is None where all parameters are trained. shape_TK: tokens of a row, and
    how many of them are trained on at most. steps: how many the run takes.
    """

    config: ConfigDict
    cfg: ModelConfig
    mesh: jax.sharding.Mesh
    tokenizer: Tokenizer
    train: Side
    heldout: Side
    shape_TK: tuple[int, int]
    steps: int
    tx: optax.GradientTransformation
    frozen: Params | None


def token_logps(cfg: ModelConfig, remat: str, params: Params, rows: Packed) -> tuple[jax.Array, jax.Array]:
    """Log-probability of each target, and the entropy where it is predicted: float32 [N, K] in nats."""
    attend = attention.packed(rows.segments, rows.branches)
    tokens, positions, at, targets = (
        reshard(x, row_spec(2)) for x in (rows.tokens, rows.positions, rows.at, rows.targets)
    )
    hidden_NTD, _ = forward(cfg, params, tokens, positions, attend, remat=remat)
    logp, entropy = token_logprobs(sharding.take_positions(hidden_NTD, at), unembed(params), targets)
    return reshard(logp, batch_spec(2)), reshard(entropy, batch_spec(2))


def objective(
    cfg: ModelConfig, remat: str, params: Params, frozen: Params | None, rows: Packed, n_rows: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """(loss, sums) as `step.Objective` wants them; the share of each token is in `rows.weight` already."""
    logp, entropy = token_logps(cfg, remat, params, rows)
    counts = (rows.weight > 0).astype(jnp.float32)
    sums = {"tokens": counts.sum(), "entropy": (entropy * counts).sum()}
    return -(logp * rows.weight).sum(), jax.lax.stop_gradient(sums)


def make_token_logps(cfg: ModelConfig, dtype: Any = jnp.float32) -> Callable[[Any, Params | None, Packed], np.ndarray]:
    """`token_logps` of a batch with its leading axis of micro-batches, [micro-batches, M, K] on the host of every
    process.
    """

    @jax.jit
    def logps(trained: Any, frozen: Params | None, batch: Packed) -> jax.Array:
        params = assemble(jax.tree.map(lambda w: w.astype(dtype), trained), frozen)
        each = jax.lax.map(lambda rows: token_logps(cfg, "none", params, rows)[0], batch)
        return sharding.reshard(each, sharding.P(None, None, None))

    return lambda *args: np.asarray(logps(*args).addressable_data(0))


def start(config: ConfigDict, mesh: jax.sharding.Mesh) -> tuple[Parts, TrainState]:
    """Makes the parts of a run and its first state, on the mesh that is set. ValueError names a value that cannot
    be, before any weights are loaded.
    """
    policy.check_layers(config)
    remat_policy(config.remat)
    check_rows(config, mesh)
    path = names.resolve(config.model)
    cfg, tokenizer = read_config(path), load_tokenizer(path)
    policy.check_context(cfg, mesh, config.data.row_tokens, "config.data.row_tokens")
    train, heldout = (_side(tokenizer, chats, config.data.row_tokens) for chats in read_chats(config))
    N = config.data.rows_per_step
    if len(train.rows) < N:
        raise ValueError(
            f"config.data.rows_per_step is {N}, but the training chats fill only {len(train.rows)} rows of "
            f"{config.data.row_tokens} tokens; lower one of the two"
        )
    most = max(packing.trained_tokens(s.segments, row) for s in (train, heldout) for row in s.rows)
    steps = config.steps or math.ceil(config.epochs * len(train.rows) / N)
    tx = optimizer.make(optimizer.read(config, mesh, fall_steps=steps))

    weights, frozen = policy.read_weights(config, path, mesh), None
    trained = weights
    if config.lora.rank:
        trained = policy.new_adapter(config, cfg, mesh)
        frozen = jax.tree.map(lambda w: w.astype(config.dtype), weights)
    shape = (config.data.row_tokens, -(-most // 16) * 16)
    return Parts(config, cfg, mesh, tokenizer, train, heldout, shape, steps, tx, frozen), init_state(trained, tx)


def read_chats(config: ConfigDict) -> tuple[list[Chat], list[Chat]]:
    """(training chats, held-out chats) of config.data: a file's, or made."""
    d = config.data
    chats = chat_data.load_chats(d.path) if d.path else made.make_chats(d.made, d.train, d.heldout, config.seed)
    return chat_data.split_chats(chats, d.path or d.made)


def stage(parts: Parts, workdir: Path) -> Stage:
    """The SFT stage: each step takes the next rows of the shuffled stream and updates once."""
    config, side = parts.config, parts.train
    stream = Stream(side.rows, config.data.rows_per_step, config.seed)
    run = functools.partial(objective, parts.cfg, config.remat)
    train_step = make_step(run, parts.tx, jnp.dtype(config.dtype), tuple(config.xla_flags))

    def make_batch(step: int, state: TrainState) -> tuple[Any, Metrics]:
        rows = next(stream)
        tokens = sum(len(side.segments[i].tokens) for row in rows for i in row)
        trained = sum(packing.trained_tokens(side.segments, row) for row in rows)
        metrics = {
            "data/epoch": (step + 1) * len(rows) / len(side.rows),
            "data/chats": sum(len(set(side.segments[i].owners.tolist())) for row in rows for i in row),
            "data/fill": tokens / (len(rows) * parts.shape_TK[0]),
            "data/trained": trained / tokens,
        }
        return (put_rows(parts, side, rows), np.int32(len(rows))), metrics

    def update(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        state, metrics = train_step(state, parts.frozen, *batch)
        return state, metrics | {"perplexity": jnp.exp(metrics["loss"])}

    return Stage(make_batch, update, stream.get_state, stream.set_state)


def put_rows(parts: Parts, side: Side, rows: Sequence[Row]) -> Packed:
    """Some rows of a side on the mesh, in micro-batches; the tokens that are trained on weigh the same, together 1."""
    share = 1 / sum(packing.trained_tokens(side.segments, row) for row in rows)

    def build(mine: Sequence[Row]) -> Packed:
        return packing.fill(side.segments, mine, parts.shape_TK, share, side.branched)

    return sharding.place_rows(parts.mesh, rows, parts.config.data.micro_rows, build)


def _side(tokenizer: Tokenizer, chats: Sequence[Chat], row_tokens: int) -> Side:
    segments = packing.segments(tokenizer, chats, row_tokens)
    rows = packing.pack([len(s.tokens) for s in segments], row_tokens)
    return Side(list(chats), segments, rows, any(s.branches.any() for s in segments))


def check_rows(config: ConfigDict, mesh: jax.sharding.Mesh) -> None:
    """ValueError where rows, steps or epochs of a config cannot be."""
    split = mesh.shape["data"] * mesh.shape["fsdp"]
    rows, micro = config.data.rows_per_step, config.data.micro_rows
    if micro < 1 or micro % split:
        raise ValueError(
            f"config.data.micro_rows is {micro}; it must be a multiple of data x fsdp = {split} of the mesh"
        )
    if rows < 1 or rows % micro:
        raise ValueError(
            f"config.data.rows_per_step is {rows}; it must be a multiple of config.data.micro_rows {micro}"
        )
    if config.checkpoint.every < 1:
        raise ValueError(f"config.checkpoint.every is {config.checkpoint.every}; it must be at least 1")
    if config.steps < 0 or config.epochs <= 0:
        raise ValueError(f"config.steps {config.steps} must be 0 or more and config.epochs {config.epochs} above 0")
