"""What runs on the device: prefill, decode and score over a paged cache, each a pure function jitted once per shape.

A batch is B rows, each with a table of pages. `prefill` writes the keys and values of tokens and computes no logits:
the last token of a prompt is left to `decode`, whose first step reads it. So every sampled token comes out of the
same program, and requests that share a prompt begin from nothing but its pages. Rows with a count or budget of 0
fill the batch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from m2jax.models import attention
from m2jax.models.config import ModelConfig
from m2jax.models.decoder import forward, unembed
from m2jax.models.logprobs import token_logprobs
from m2jax.models.params import Params
from m2jax.sampler import cache as paged
from m2jax.sampler.cache import Cache
from m2jax.sampler.sampling import LIKELIEST, Knobs, alternatives, keys, sample
from m2jax.sharding import AXES, P, batch_spec, einsum, merge_axes, reshard, split_axis, times

LOGITS_AT_ONCE = 128  # tokens whose logits are held together where alternatives are asked for


@flax.struct.dataclass
class Rows:
    """Who is in a batch. table_BN: int32 pages. length_B: int32 tokens in the cache. ranks_BR: float32, the adapter
    ranks each row uses (`lora.join`), None without adapters.
    """

    table_BN: jax.Array
    length_B: jax.Array
    ranks_BR: jax.Array | None


@flax.struct.dataclass
class Draws:
    """How each row samples. token_B: int32, the token to read first. request_BW: uint32 words that name the request.
    made_B: int32, tokens it has made before. budget_B: int32, how many it may make now. stop_BE: int32 tokens that end
    it, padded with -1. allowed_BV: bool, what a grammar allows (None: everything), for a budget of one token.
    """

    token_B: jax.Array
    request_BW: jax.Array
    made_B: jax.Array
    budget_B: jax.Array
    stop_BE: jax.Array
    knobs: Knobs
    allowed_BV: jax.Array | None


# How decode reads tokens: its state at first; (state, token_B1, step, done_B) -> (hidden_B1D, state); and
# (state, made_B) -> the cache in the end.
Steps = tuple[Any, Callable[..., tuple[jax.Array, Any]], Callable[[Any, jax.Array], Cache]]


@flax.struct.dataclass
class Burst:
    """What a burst of decode steps made: tokens [B, C] and their two log-probabilities (see `sampling`), of which the
    first `made_B` count; ids and logps [B, C, 1 + K] of their alternatives, where they are asked for.
    """

    made_B: jax.Array
    tokens: jax.Array
    logp_full: jax.Array
    logp_sampling: jax.Array
    ids: jax.Array | None = None
    logps: jax.Array | None = None


def prefill(
    cfg: ModelConfig, params: Params, cache: Cache, past_size: int, rows: Rows, tokens_BT: jax.Array, count_B: jax.Array
) -> Cache:
    """Writes the keys and values of the first `count_B` of tokens_BT, which follow each row's `length_B` tokens; the
    cache is donated.

    past_size: static, at least the longest `length_B`, in tokens, a multiple of the page; 0 where all rows are new.
    """
    if paged.is_ragged(cache):
        return prefill_in_pages(cfg, params, cache, rows, tokens_BT, count_B)
    # two programs: in one, XLA's CPU would copy every page before it writes to what it also reads
    return write_new(cache, compute_new(cfg, params, cache, past_size, rows, tokens_BT), rows, count_B)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=2)
def prefill_in_pages(
    cfg: ModelConfig, params: Params, cache: Cache, rows: Rows, tokens_BT: jax.Array, count_B: jax.Array
) -> Cache:
    """`prefill` of a ragged cache."""
    return _forward_in_pages(cfg, params, cache, rows, tokens_BT, count_B)[1]


@functools.partial(jax.jit, static_argnums=(0, 3))
def compute_new(
    cfg: ModelConfig, params: Params, cache: Cache, past_size: int, rows: Rows, tokens_BT: jax.Array
) -> Any:
    """The keys and values of each layer that `prefill` adds to a dense cache."""
    return _extend(cfg, params, cache, past_size, rows, tokens_BT, 1)[1]


@functools.partial(jax.jit, donate_argnums=0)
def write_new(cache: Cache, new: Any, rows: Rows, count_B: jax.Array) -> Cache:
    """Puts them into the pages."""
    return paged.per_layer(lambda c, n: paged.write(c, n, rows.table_BN, rows.length_B, count_B), cache, new)


@functools.partial(jax.jit, static_argnums=(0, 3, 4), static_argnames="with_alternatives", donate_argnums=2)
def decode(
    cfg: ModelConfig,
    params: Params,
    cache: Cache,
    past_size: int,
    n_steps: int,
    rows: Rows,
    draws: Draws,
    seed: jax.Array,
    enough: jax.Array,
    with_alternatives: bool = False,
) -> tuple[Cache, Burst]:
    """Up to `n_steps` tokens for every row, each until its budget or a stop token; ends once at most `enough` rows
    are unfinished (int32 scalar).

    past_size: as in `prefill`, and at least a page; a ragged cache has no use for it.
    """
    B, C = draws.token_B.shape[0], n_steps
    if paged.is_ragged(cache):
        state, read_token, pages_of = _steps_in_pages(cfg, params, cache, rows)
    else:
        state, read_token, pages_of = _steps_after_past(cfg, params, cache, past_size, C, rows)
    row_BC = reshard(jnp.zeros((B, C)), batch_spec(2))
    made = (row_BC.astype(jnp.int32), row_BC, row_BC)
    if with_alternatives:
        row_BCK = reshard(jnp.zeros((B, C, 1 + min(LIKELIEST, cfg.vocab_size))), batch_spec(3))
        made += (row_BCK.astype(jnp.int32), row_BCK)

    def unfinished(carry: Any) -> jax.Array:
        _, done_B, _, _, step, _ = carry
        return (step < C) & ((~done_B).sum() > enough)

    def advance(carry: Any) -> Any:
        arrays, done_B, made_B, token_B, step, state = carry
        hidden_B1D, state = read_token(state, token_B[:, None], step, done_B)
        drawn = _draw(_logits(params, hidden_B1D[:, 0]), draws, draws.made_B + step, seed, with_alternatives)
        arrays = tuple(
            jax.lax.dynamic_update_slice_in_dim(a, x[:, None].astype(a.dtype), step, axis=1)
            for a, x in zip(arrays, drawn, strict=True)
        )
        token_B = drawn[0]
        made_B = jnp.where(done_B, made_B, step + 1)
        done_B = done_B | (token_B[:, None] == draws.stop_BE).any(-1) | (made_B >= draws.budget_B)
        return arrays, done_B, made_B, token_B, step + 1, state

    carry = (
        made,
        draws.budget_B == 0,
        jnp.zeros_like(draws.budget_B),
        draws.token_B,
        jnp.int32(0),
        state,
    )
    arrays, _, made_B, _, _, state = jax.lax.while_loop(unfinished, advance, carry)
    # every process reads the whole burst
    return pages_of(state, made_B), jax.tree.map(lambda x: reshard(x, P(*(None,) * x.ndim)), Burst(made_B, *arrays))


@functools.partial(jax.jit, static_argnums=(0, 3, 5))
def score_choices(
    cfg: ModelConfig,
    params: Params,
    cache: Cache,
    past_size: int,
    rows: Rows,
    n_branches: int,
    tokens_BT: jax.Array,
    length_Bn: jax.Array,
    choices_BC: jax.Array,
) -> jax.Array:
    """Log-probabilities [B, n, C] of single next tokens after each of n branches of each row; the cache is only read.

    tokens_BT: [branch 1 | ... | branch n], padded on the right to T / n; length_Bn: their lengths. choices_BC: int32.
    """
    hidden_BTD, _ = _extend(cfg, params, cache, past_size, rows, tokens_BT, n_branches)
    hidden_BnSD = split_axis(hidden_BTD, 1, (n_branches, -1))
    at_end_BnS = (jnp.arange(hidden_BnSD.shape[2]) == length_Bn[..., None] - 1).astype(hidden_BTD.dtype)
    logits_BnV = _logits(params, einsum("bns,bnsd->bnd", at_end_BnS, hidden_BnSD))
    logp_BnV = reshard(jax.nn.log_softmax(logits_BnV), batch_spec(3))
    picked = jax.vmap(lambda logp, choices: logp[:, choices])(logp_BnV, choices_BC)
    return reshard(picked, P(None, None, None))


@functools.partial(jax.jit, static_argnums=(0, 3, 5))
def score_tokens(
    cfg: ModelConfig,
    params: Params,
    cache: Cache,
    past_size: int,
    rows: Rows,
    n_branches: int,
    tokens_BT: jax.Array,
    targets_BT: jax.Array,
) -> jax.Array:
    """Log-probabilities [B, T] of `targets_BT`, each after the token at its place and all before it in its branch and
    past. See `score_choices`.
    """
    hidden_BTD, _ = _extend(cfg, params, cache, past_size, rows, tokens_BT, n_branches)
    logp_BT, _ = token_logprobs(hidden_BTD, unembed(params), targets_BT)
    return reshard(logp_BT, P(None, None))


@functools.partial(jax.jit, static_argnums=(0, 3, 5))
def score_alternatives(
    cfg: ModelConfig,
    params: Params,
    cache: Cache,
    past_size: int,
    rows: Rows,
    n_branches: int,
    tokens_BT: jax.Array,
    targets_BT: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """As `score_tokens`, for the targets and what else is likely in their places: ids and log-probabilities, [B, T,
    1 + K].
    """
    hidden_BTD, _ = _extend(cfg, params, cache, past_size, rows, tokens_BT, n_branches)

    block = math.gcd(hidden_BTD.shape[1], max(1, LOGITS_AT_ONCE // hidden_BTD.shape[0]))

    def one(taken: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        hidden_BSD, target_BS = taken
        logits_BSV = reshard(_logits(params, hidden_BSD), batch_spec(3))
        return jax.vmap(alternatives, 1, 1)(logits_BSV, target_BS)

    blocks = [jnp.moveaxis(split_axis(x, 1, (-1, block)), 1, 0) for x in (hidden_BTD, targets_BT)]
    out_NBSK = jax.lax.map(one, tuple(blocks))
    return jax.tree.map(lambda x: merge_axes(reshard(jnp.moveaxis(x, 0, 1), P(None, None, None, None)), 1), out_NBSK)


copy_pages = jax.jit(paged.copy, donate_argnums=0)


def _steps_after_past(
    cfg: ModelConfig, params: Params, cache: Cache, past_size: int, n_steps: int, rows: Rows
) -> Steps:
    """The past is gathered once, with room behind it for the keys and values of the steps, which go into the pages at
    the end.
    """
    room = -(-n_steps // paged.page_size(cache))  # pages, of which page 0 takes the place
    table_BN = jnp.pad(_first_pages(rows, cache, past_size), ((0, 0), (0, room)))
    layers = paged.per_layer(lambda c: paged.read(c, table_BN), cache)

    def read_token(layers: Any, token_B1: jax.Array, step: jax.Array, done_B: jax.Array) -> tuple[jax.Array, Any]:
        positions_B1 = (rows.length_B + step)[:, None]
        attend = attention.decode(rows.length_B, past_size, step)
        state = attention.Stack(**layers, layer=jnp.int32(0)) if isinstance(layers, dict) else layers
        hidden_B1D, state = forward(cfg, params, token_B1, positions_B1, attend, state, ranks_BR=rows.ranks_BR)
        return hidden_B1D, {"k": state.k, "v": state.v} if isinstance(layers, dict) else state

    def pages_of(layers: Any, made_B: jax.Array) -> Cache:
        def put(pages: Cache, layer: Cache) -> Cache:
            new = {
                "k": layer["k"][..., past_size : past_size + n_steps],
                "v": layer["v"][..., past_size : past_size + n_steps, :],
            }
            return paged.write(pages, new, rows.table_BN, rows.length_B, made_B)

        return paged.per_layer(put, cache, layers)

    return layers, read_token, pages_of


def _steps_in_pages(cfg: ModelConfig, params: Params, cache: Cache, rows: Rows) -> Steps:
    """The state is the cache itself. A row that is done writes to page 0, and what it reads is dropped."""

    def read_token(cache: Cache, token_B1: jax.Array, step: jax.Array, done_B: jax.Array) -> tuple[jax.Array, Cache]:
        rows_now = rows.replace(length_B=rows.length_B + step)
        return _forward_in_pages(cfg, params, cache, rows_now, token_B1, 1 - done_B.astype(jnp.int32))

    return cache, read_token, lambda cache, _: cache


def _forward_in_pages(
    cfg: ModelConfig, params: Params, cache: Cache, rows: Rows, tokens_BT: jax.Array, count_B: jax.Array
) -> tuple[jax.Array, Cache]:
    """(hidden_BTD, cache): the first `count_B` of tokens_BT go into a ragged cache."""
    positions_BT = rows.length_B[:, None] + jnp.arange(tokens_BT.shape[1])
    attend = attention.ragged(rows.table_BN, rows.length_B, count_B)
    pages = attention.Pages(cache["kv"], jnp.int32(0))
    hidden_BTD, pages = forward(cfg, params, tokens_BT, positions_BT, attend, pages, ranks_BR=rows.ranks_BR)
    return hidden_BTD, {"kv": pages.kv}


def _extend(
    cfg: ModelConfig,
    params: Params,
    cache: Cache,
    past_size: int,
    rows: Rows,
    tokens_BT: jax.Array,
    n_branches: int,
) -> tuple[jax.Array, Any]:
    """(hidden_BTD, and of a dense cache the new keys and values of each layer) of n branches after each row's past."""
    in_branch = jnp.tile(jnp.arange(tokens_BT.shape[1] // n_branches), n_branches)
    positions_BT = rows.length_B[:, None] + in_branch
    extend = attention.extend(rows.length_B, n_branches)
    table = _first_pages(rows, cache, past_size)

    def attend(q: jax.Array, k: jax.Array, v: jax.Array, layer: Any) -> tuple[jax.Array, Any]:
        out, new = extend(q, k, v, paged.read(layer, table) if past_size else None)
        return out, layer.replace(layer=layer.layer + 1) if paged.is_ragged(cache) else new

    layers = attention.Pages(cache["kv"], jnp.int32(0)) if paged.is_ragged(cache) else cache
    return forward(cfg, params, tokens_BT, positions_BT, attend, layers, ranks_BR=rows.ranks_BR)


def _draw(
    logits_BV: jax.Array, draws: Draws, position_B: jax.Array, seed: jax.Array, with_alternatives: bool
) -> tuple[jax.Array, ...]:
    """(token, logp_full, logp_sampling), each [B], and ids and log-probabilities [B, 1 + K] of alternatives. A device
    draws for rows of its own: with the vocabulary whole, those that share a copy of the weights would all do the same;
    so its rows go over them too, where they go round.
    """

    def local(logits: jax.Array, position: jax.Array, draws: Draws, seed: jax.Array) -> tuple[jax.Array, ...]:
        drawn = sample(logits, keys(seed, draws.request_BW, position), draws.knobs, draws.allowed_BV)
        return (*drawn, *alternatives(logits, drawn[0])) if with_alternatives else drawn

    args, mesh = (logits_BV, position_B, draws, seed), jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return local(*args)
    over = AXES if logits_BV.shape[0] % mesh.size == 0 else AXES[:2]
    specs = jax.tree.map(lambda x: P(over, *(None,) * (x.ndim - 1)) if x.ndim else P(), args)
    out_specs = (P(over),) * 3 + (P(over, None),) * 2 * with_alternatives
    drawn = jax.shard_map(local, in_specs=specs, out_specs=out_specs)(*jax.tree.map(reshard, args, specs))
    return tuple(reshard(x, batch_spec(x.ndim)) for x in drawn)


def _logits(params: Params, hidden: jax.Array) -> jax.Array:
    """[..., D] -> [..., V] in float32."""
    dims = "br"[: hidden.ndim - 1]
    return times(f"{dims}d,vd->{dims}v", hidden, unembed(params), dtype=jnp.float32)


def _first_pages(rows: Rows, cache: Cache, past_size: int) -> jax.Array:
    return rows.table_BN[:, : past_size // paged.page_size(cache)]
