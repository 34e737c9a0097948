"""Attention, given to the forward as `attend`: with `splash` and `cudnn`, the only file that names a kernel.

An `attend(q_BTKGH, k_BTKH, v_BTKH, cache) -> (out_BTKGH, cache)` is called once per layer with that layer's cache
(or None). All of them are exact softmax attention in float32, scaled by 1/sqrt(H); they differ in who may see whom:

- `packed`: causal within a segment, which may branch. Supervised learning uses it;
- `group`: one prompt followed by R completions that each see the prompt and themselves. RL uses it: a prompt is
  computed once for its whole group. On a TPU both are splash attention, on an NVIDIA GPU cuDNN's (without branches);
- `extend`: one or more branches of new tokens, each after the same past. Prefill and scoring use it;
- `decode`: one new token after a past and what was decoded since;
- `ragged`: new tokens after what a row's pages hold, by the TPU kernel: `extend` and `decode` in one.

A past is {"k": BKHS, "v": BKSH}, the layouts a decode step multiplies by as they stand, of which the first
`past_length_B` tokens count. `ragged` has no past: it writes to the pages and reads them (`Pages`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from m2jax import sharding
from m2jax.models import cudnn
from m2jax.sharding import P, batch_spec, einsum, heads_spec, merge_axes, reshard, spec_of, split_axis

Attend = Callable[[jax.Array, jax.Array, jax.Array, Any], tuple[jax.Array, Any]]
Cache = dict[str, jax.Array]
QUERIES = 256  # that `_masked` takes at once
NEVER = -1e30  # a score that no softmax sees; finite, so that a row that sees nothing stays a number
KV_SPEC = P(None, ("data", "fsdp"), None, "model", None)  # of `Pages.kv`


@flax.struct.dataclass
class Pages:
    """The pages of all layers. It goes from layer to layer (`forward` carries it) rather than in parts, one to each:
    the kernel reads only the pages it needs of an array, but to cut a layer out of one would copy them all.

    kv: [L, N, S, 2K, H], the key of each head before its value, laid out by `KV_SPEC`. layer: int32 scalar, whose
    turn it is.
    """

    kv: jax.Array
    layer: jax.Array


@flax.struct.dataclass
class Stack:
    """The keys and values of all layers while tokens are decoded, where layers are scanned: k [L, B, K, H, S] and v [L,
    B, K, S, H]. Like `Pages` it goes from layer to layer, so that a step writes one column and copies nothing else.
    """

    k: jax.Array
    v: jax.Array
    layer: jax.Array


def packed(segments_BT: jax.Array, branches_BT: jax.Array | None = None) -> Attend:
    """Causal attention within segments (int32; 0 is padding and sees only padding). branches_BT: int32; of a segment a
    token sees branch 0 and its own.
    """
    T = segments_BT.shape[1]
    causal_TS = jnp.arange(T)[:, None] >= jnp.arange(T)[None, :]
    mask_BTS = (segments_BT[:, :, None] == segments_BT[:, None, :]) & causal_TS
    if branches_BT is not None:
        mask_BTS &= (branches_BT[:, None, :] == 0) | (branches_BT[:, :, None] == branches_BT[:, None, :])
    bias_BTS = jnp.where(mask_BTS, 0.0, NEVER)

    def attend(q: jax.Array, k: jax.Array, v: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
        if branches_BT is None and splash_serves(q.shape[-1]):
            from m2jax.models import splash

            return splash.attend(q, k, v, segments_BT, 0, T), cache
        if branches_BT is None and cudnn.serves(q.shape[-1], q.dtype):
            return _kept(cudnn.packed(q, k, v, segments_BT)), cache
        return _kept(_masked(q, _layout(k, v), bias_BTS)), cache

    return _of_whole_rows(attend)


def group(prompt_length_B: jax.Array, prompt_size: int, n_samples: int) -> Attend:
    """Attention over rows [prompt (P slots) | completion 1 (C slots) | ... | completion R], each part padded on its
    right.

    prompt_length_B: int32, tokens of each prompt. prompt_size P and n_samples R are static; C = (T - P) / R.
    """
    P = prompt_size

    def attend(q: jax.Array, k: jax.Array, v: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
        if splash_serves(q.shape[-1]):
            from m2jax.models import splash

            at = jnp.arange(q.shape[1])
            taken_BT = (at >= P) | (at < prompt_length_B[:, None])
            return splash.attend(q, k, v, taken_BT.astype(jnp.int32), P, (len(at) - P) // n_samples), cache
        if cudnn.serves(q.shape[-1], q.dtype):
            return _kept(cudnn.group(q, k, v, prompt_length_B, P, n_samples)), cache
        prompt = _layout(k[:, :P], v[:, :P])
        out_p = _branches(q[:, :P], prompt)
        out_c = _branches(q[:, P:], _layout(k[:, P:], v[:, P:]), n_samples, prompt, prompt_length_B)
        return _kept(jnp.concatenate([out_p, out_c], axis=1)), cache

    return _of_whole_rows(attend)


def group_positions(prompt_length_B: jax.Array, prompt_size: int, n_samples: int, size: int) -> jax.Array:
    """Rope positions, int32 [B, P + R*C], of rows laid out for `attention.group`: each completion continues its
    prompt.
    """
    in_completion = jnp.tile(jnp.arange(size), n_samples)
    after_BT = prompt_length_B[:, None] + in_completion[None, :]
    prompt_BP = jnp.broadcast_to(jnp.arange(prompt_size), (prompt_length_B.shape[0], prompt_size))
    return jnp.concatenate([reshard(part, batch_spec(2)) for part in (prompt_BP, after_BT)], axis=1)


def extend(past_length_B: jax.Array, n_branches: int = 1) -> Attend:
    """Attention over rows [branch 1 (C tokens) | ... | branch n], each padded on its right, that see a past and
    themselves; C = T / n.

    The cache of a layer is a past, or None where there is none. What comes back is the new {"k": BKHT, "v": BKTH}.
    """

    def attend(q: jax.Array, k: jax.Array, v: jax.Array, cache: Cache | None) -> tuple[jax.Array, Cache]:
        new = _layout(k, v)
        return _branches(q, new, n_branches, cache, past_length_B), new

    return attend


def decode(past_length_B: jax.Array, past_size: int, step: jax.Array) -> Attend:
    """One token per row, T = 1, after a past and the tokens since.

    The cache is a `Stack`, or of one layer {"k": [B, K, H, S + C], "v": [B, K, S + C, H]}: S = `past_size` columns of
    the past (static), then room for C new tokens. The token's keys and values are written at column S + `step` (int32
    scalar: all rows began this decode together); a row sees its past and the new columns up to that one.

    One array, and a sum for a mask: so XLA's CPU makes one fusion of scores, mask and softmax, which it runs on all
    cores. A product of matrices by itself goes through rows and heads on one.
    """

    def attend(q: jax.Array, k: jax.Array, v: jax.Array, cache: Cache | Stack) -> tuple[jax.Array, Cache | Stack]:
        now = past_size + step
        cache, k_BKHS, v_BKSH = _write_column(cache, k[:, 0, ..., None], v[:, 0, :, None], now)
        at = jnp.arange(v_BKSH.shape[2])
        seen_BS = (at < past_length_B[:, None]) | ((at >= past_size) & (at <= now))
        scores = _scores("bkgh,bkhs->bkgs", q[:, 0], k_BKHS) + jnp.where(seen_BS, 0.0, NEVER)[:, None, None]
        out = einsum("bkgs,bksh->bkgh", jax.nn.softmax(scores).astype(v.dtype), v_BKSH)
        return out[:, None], cache

    return attend


def ragged(table_BN: jax.Array, start_B: jax.Array, count_B: jax.Array) -> Attend:
    """T new tokens per row, padded on the right, after the first `start_B` of the row's pages: a chunk of prefill, or
    with T = 1 a step of decode. By `jax.experimental.pallas.ops.tpu.ragged_paged_attention`.

    The cache is `Pages`; table_BN: int32, each row's pages on its own shard. The keys and values of the first `count_B`
    tokens go into the row's pages, at token `start_B` and on, those of the others to page 0. What comes out for the
    others has no meaning.
    """

    def attend(q: jax.Array, k: jax.Array, v: jax.Array, cache: Pages) -> tuple[jax.Array, Pages]:
        args = cache.kv, q, k, v, table_BN, start_B, count_B, cache.layer
        if jax.sharding.get_abstract_mesh().empty:
            out, kv = _write_and_attend(*args)
        else:
            heads = [P(("data", "fsdp"), None, "model", *(None,) * (x.ndim - 3)) for x in (q, k, v)]
            specs = (KV_SPEC, *heads, batch_spec(2), batch_spec(1), batch_spec(1), P())
            # check_vma: the kernel does not say over which mesh axes its result varies
            f = jax.shard_map(_write_and_attend, in_specs=specs, out_specs=(heads[0], KV_SPEC), check_vma=False)
            out, kv = f(*map(reshard, args, specs))
        return out, Pages(kv, cache.layer + 1)

    return attend


def _kept(out_BTKGH: jax.Array) -> jax.Array:
    """Attention's output under the name by which `remat` keeps it (`decoder.KEPT`). Splash attention names its own, in
    the layout that its backward kernel wants, so that one copy serves both.
    """
    return checkpoint_name(out_BTKGH, "attended")


def splash_serves(d_head: int) -> bool:
    """Whether the mesh that is set is one of TPUs and a head fills the lanes of their registers."""
    device = sharding.target()
    return device is not None and device.platform == "tpu" and d_head % 128 == 0


def ragged_serves(n_kv_heads: int, d_head: int, dtype: Any) -> bool:
    """Whether `ragged` runs on the mesh that is set: its devices are TPUs, a head fills the 128 lanes of a register
    (the TPU compiler takes neither 64 nor 256), and the heads of a shard fill its sublanes as the kernel's
    `get_min_heads_per_blk` wants.
    """
    mesh = jax.sharding.get_mesh()
    device = jax.devices()[0] if mesh.empty else mesh.devices.flat[0]
    rows, odd = divmod(2 * n_kv_heads * jnp.dtype(dtype).itemsize, 4 * (1 if mesh.empty else mesh.shape["model"]))
    return device.platform == "tpu" and d_head == 128 and not odd and (rows in (1, 2, 4) or rows % 8 == 0)


def ragged_paged_attention(*args: jax.Array, **settings: Any) -> jax.Array:
    """JAX's kernel, imported where it is used: only TPUs need what it brings along."""
    from jax.experimental.pallas.ops.tpu import ragged_paged_attention as kernels

    return kernels.ragged_paged_attention(*args, **settings)


def _of_whole_rows(attend: Attend) -> Attend:
    """`attend` where rows may come split along T: devices exchange a part of the tokens of all heads for all tokens of
    a part of the heads, and what comes out back again (DeepSpeed-Ulysses, arXiv 2309.14509).
    """

    def exchange(q: jax.Array, k: jax.Array, v: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
        if spec_of(q)[1] is None:
            return attend(q, k, v, cache)
        out, cache = attend(*(reshard(x, heads_spec(x.ndim)) for x in (q, k, v)), cache)
        return reshard(out, spec_of(q)), cache

    return exchange


def _write_and_attend(
    kv: jax.Array,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    table_BN: jax.Array,
    start_B: jax.Array,
    count_B: jax.Array,
    layer: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """(out_BTKGH, kv) on one shard. The pages of all layers are one list to the kernel, in which a layer's begin at
    `layer * N`.

    Every row has T queries and so T keys more than `start_B`, counted or not: a counted query sees none that are not.
    """
    (L, N, S, _, H), (B, T, K, G, _) = kv.shape, q.shape
    pages, table_BN = kv.reshape(L * N, S, 2 * K, H), table_BN + layer * N
    at_BT = start_B[:, None] + jnp.arange(T)
    page_BT = jnp.take_along_axis(table_BN, jnp.minimum(at_BT // S, table_BN.shape[1] - 1), axis=1)
    page_BT = jnp.where(jnp.arange(T) < count_B[:, None], page_BT, layer * N)
    pages = pages.at[page_BT, at_BT % S].set(jnp.stack([k, v], axis=3).reshape(B, T, 2 * K, H))
    out = ragged_paged_attention(
        q.reshape(B * T, K * G, H),
        pages,
        start_B + T,
        table_BN,
        T * jnp.arange(B + 1, dtype=jnp.int32),
        jnp.array([B], jnp.int32),
        sm_scale=H**-0.5,
        num_kv_pages_per_block=min(table_BN.shape[1], max(1, 512 // S)),  # the sizes that the kernel's own table
        num_queries_per_block=min(32, B * T),  # of measurements has for 8 kv heads of 128, on v5 and v6 alike
    )
    return out.reshape(q.shape), pages.reshape(kv.shape)


def _layout(k: jax.Array, v: jax.Array) -> Cache:
    """Keys and values [B, T, K, H] as they are cached: {"k": BKHT, "v": BKTH}."""
    return {"k": k.transpose(0, 2, 3, 1), "v": v.transpose(0, 2, 1, 3)}


def _masked(q_BTKGH: jax.Array, new: Cache, bias_BTS: jax.Array) -> jax.Array:
    """Causal attention of T tokens among themselves with a bias on the scores, BTKGH in q's dtype.

    A block of queries after another, each over the keys up to its own end: half of the scores are never made. The
    queries of a key head are the rows of one matrix, as in `_branches`.
    """
    B, T, K, G, H = q_BTKGH.shape
    blocks = []
    for start in range(0, T, QUERIES):
        end = min(start + QUERIES, T)
        q_BKMH = merge_axes((q_BTKGH[:, start:end] * H**-0.5).transpose(0, 2, 3, 1, 4), 2)
        bias_BMS = jnp.tile(bias_BTS[:, start:end, :end], (1, G, 1))
        out_BKMH = _softmax_mean(q_BKMH, new["k"][..., :end], new["v"][:, :, :end], bias_BMS)
        blocks.append(split_axis(out_BKMH, 2, (G, -1)).transpose(0, 3, 1, 2, 4))
    return jnp.concatenate(blocks, axis=1)


@jax.custom_vjp
def _softmax_mean(q_BKMH: jax.Array, k_BKHS: jax.Array, v_BKSH: jax.Array, bias_BMS: jax.Array) -> jax.Array:
    """softmax(q k + bias) v, the softmax in float32, BKMH. The bias has no gradient.

    The backward pass is written out, on the probabilities that are kept: what is derived through maximum, exponential
    and quotient goes over the scores three times as often.
    """
    return _softmax_mean_forward(q_BKMH, k_BKHS, v_BKSH, bias_BMS)[0]


def _softmax_mean_forward(q: jax.Array, k: jax.Array, v: jax.Array, bias_BMS: jax.Array) -> tuple[jax.Array, Any]:
    scores = einsum("bkmh,bkhs->bkms", q, k, dtype=jnp.float32) + bias_BMS[:, None]
    weights = jnp.exp(scores - scores.max(-1, keepdims=True))
    probs = (weights / weights.sum(-1, keepdims=True)).astype(v.dtype)
    return einsum("bkms,bksh->bkmh", probs, v), (q, k, v, probs)


def _softmax_mean_backward(saved: Any, d_out: jax.Array) -> tuple[jax.Array | None, ...]:
    q, k, v, probs = saved
    d_probs = einsum("bkmh,bksh->bkms", d_out, v, dtype=jnp.float32)
    total = (probs * d_probs).sum(-1, keepdims=True)
    d_scores = (probs * (d_probs - total)).astype(q.dtype)
    d_k = einsum("bkmh,bkms->bkhs", q, d_scores)
    return einsum("bkms,bkhs->bkmh", d_scores, k), d_k, einsum("bkms,bkmh->bksh", probs, d_out), None


_softmax_mean.defvjp(_softmax_mean_forward, _softmax_mean_backward)


def _branches(
    q: jax.Array, new: Cache, n: int = 1, past: Cache | None = None, past_length_B: jax.Array | None = None
) -> jax.Array:
    """Causal attention within each of n branches of T / n tokens, which all see the same past: q and what comes back
    are BTKGH, in q's dtype.

    All queries of a key head are the rows of one matrix, [n, G, C] of them: a product of matrices per row of the batch
    and head is what a CPU does fast (three times as fast as einsums over the separate axes), and no TPU minds.
    """
    G, H = q.shape[3:]
    q_BKnGCH = split_axis(q * H**-0.5, 1, (n, -1)).transpose(0, 3, 1, 4, 2, 5)
    C = q_BKnGCH.shape[4]
    q_BKnMH = merge_axes(q_BKnGCH, 3)
    k_BKnHC = split_axis(new["k"], 3, (n, -1)).transpose(0, 1, 3, 2, 4)
    v_BKnCH = split_axis(new["v"], 2, (n, -1))
    to_self = einsum("bknmh,bknhc->bknmc", q_BKnMH, k_BKnHC, dtype=jnp.float32)
    to_self = jnp.where(jnp.tile(jnp.tri(C, dtype=bool), (G, 1)), to_self, NEVER)
    top = to_self.max(-1, keepdims=True)
    if past is not None:
        to_past = einsum("bkmh,bkhs->bkms", merge_axes(q_BKnMH, 2), past["k"], dtype=jnp.float32)
        in_past_BS = jnp.arange(to_past.shape[-1]) < past_length_B[:, None]
        to_past = jnp.where(in_past_BS[:, None, None], to_past, NEVER)
        top = jnp.maximum(top, split_axis(to_past.max(-1, keepdims=True), 2, (n, -1)))
    top = jax.lax.stop_gradient(top)
    weights = jnp.exp(to_self - top)
    total = weights.sum(-1, keepdims=True)
    out = einsum("bknmc,bknch->bknmh", weights.astype(q.dtype), v_BKnCH)
    if past is not None:
        weights = jnp.exp(to_past - merge_axes(top, 2))
        total += split_axis(weights.sum(-1, keepdims=True), 2, (n, -1))
        from_past = einsum("bkms,bksh->bkmh", weights.astype(q.dtype), past["v"])
        out += split_axis(from_past, 2, (n, -1))
    out_BKnGCH = split_axis((out / total).astype(q.dtype), 3, (G, C))
    return merge_axes(out_BKnGCH.transpose(0, 2, 4, 1, 3, 5), 1)


def _write_column(
    cache: Cache | Stack, k_BKH1: jax.Array, v_BK1H: jax.Array, now: jax.Array
) -> tuple[Cache | Stack, jax.Array, jax.Array]:
    """(cache, and this layer's keys BKHS and values BKSH), with a token's at column `now`."""
    write, zero = jax.lax.dynamic_update_slice, jnp.int32(0)
    if not isinstance(cache, Stack):
        k = write(cache["k"], k_BKH1, (zero, zero, zero, now))
        v = write(cache["v"], v_BK1H, (zero, zero, now, zero))
        k, v = jax.lax.optimization_barrier((k, v))  # without it, XLA's CPU copies the arrays of a single row each step
        return {"k": k, "v": v}, k, v
    k = write(cache.k, k_BKH1[None], (cache.layer, zero, zero, zero, now))
    v = write(cache.v, v_BK1H[None], (cache.layer, zero, zero, now, zero))
    own = (jax.lax.dynamic_index_in_dim(x, cache.layer, keepdims=False) for x in (k, v))
    return Stack(k, v, cache.layer + 1), *own


def _scores(equation: str, q: jax.Array, k: jax.Array) -> jax.Array:
    """Scaled scores in float32."""
    return einsum(equation, q * q.shape[-1] ** -0.5, k, dtype=jnp.float32)
