"""Attention for training on an NVIDIA GPU: cuDNN's flash attention, by `jax.nn.dot_product_attention`.

It knows causal masks, and any other only as an array of all pairs. So a group is not given as it lies, [prompt | reply
| ... | reply], but as the rows it stands for, [prompt | reply] each, with what pads the prompt moved behind the reply:
causal is then all there is to the mask. A prompt's attention, not its other products, is computed once for each of its
replies. Packed segments take the array of all pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from m2jax import sharding
from m2jax.sharding import batch_spec, heads_spec, reshard


def serves(d_head: int, dtype: Any) -> bool:
    """Whether the mesh that is set is one of NVIDIA GPUs with flash attention (Ampere or newer), heads are at most 128
    wide in eighths, and numbers have 16 bits: what every version of it takes.
    """
    device = sharding.target()
    if device is None or device.platform != "gpu" or d_head % 8 or d_head > 128:
        return False
    if jnp.dtype(dtype) not in (jnp.bfloat16, jnp.float16):
        return False
    capability = getattr(jax.devices()[0], "compute_capability", "9.0")  # compiled elsewhere: for a new one
    return capability.replace(".", "").isdecimal() and float(capability) >= 8.0  # AMD's have names


def group(
    q: jax.Array, k: jax.Array, v: jax.Array, prompt_length_B: jax.Array, prompt_size: int, n_samples: int
) -> jax.Array:
    """What `attention.group` says; q and what comes back are BTKGH, k and v BTKH."""
    R, P_ = n_samples, prompt_size
    C = (q.shape[1] - P_) // R

    def local(q: jax.Array, k: jax.Array, v: jax.Array, length_B: jax.Array) -> jax.Array:
        at, length = jnp.arange(P_ + C), length_B[:, None]
        order_BT = jnp.where(at < length, at, jnp.where(at < length + C, at + P_ - length, at - C))
        back_BT = jnp.where(at < length, at, jnp.where(at < P_, at + C, at - P_ + length))

        def rows(x: jax.Array) -> jax.Array:
            prompt = jnp.broadcast_to(x[:, None, :P_], (x.shape[0], R, *x[0, :P_].shape))
            replies = x[:, P_:].reshape(x.shape[0], R, C, *x.shape[2:])
            x = _reordered(jnp.concatenate([prompt, replies], axis=2), order_BT)
            return x.reshape(-1, P_ + C, *x.shape[3:])

        out = _causal(rows(q), rows(k), rows(v))
        out = _reordered(out.reshape(-1, R, *out.shape[1:]), back_BT)
        return jnp.concatenate([out[:, 0, :P_], out[:, :, P_:].reshape(-1, R * C, *out.shape[3:])], axis=1)

    return _on_each_device(local, q, k, v, prompt_length_B)


def packed(q: jax.Array, k: jax.Array, v: jax.Array, segments_BT: jax.Array) -> jax.Array:
    """What `attention.packed` says; shapes as of `group`. The mask costs B * T * T numbers of q's dtype, and in the
    backward pass as many again for a gradient that nobody uses.
    """
    even = segments_BT.shape[1] % 2  # with a mask cuDNN trains only on even lengths

    def local(q: jax.Array, k: jax.Array, v: jax.Array, segments_BT: jax.Array) -> jax.Array:
        q, k, v, segments_BT = (
            jnp.pad(x, ((0, 0), (0, even), *((0, 0),) * (x.ndim - 2))) for x in (q, k, v, segments_BT)
        )
        mask_BTS = segments_BT[:, :, None] == segments_BT[:, None, :]
        return _causal(q, k, v, mask_BTS[:, None])[:, : q.shape[1] - even]

    return _on_each_device(local, q, k, v, segments_BT)


def _causal(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    heads = q.reshape(*q.shape[:2], -1, q.shape[-1])
    out = jax.nn.dot_product_attention(heads, k, v, mask=mask, is_causal=True, implementation="cudnn")
    return out.reshape(q.shape)


def _reordered(x: jax.Array, order_BT: jax.Array) -> jax.Array:
    """[B, R, T, ...] with the slots of each row in another order; as none is taken twice, the way back adds nothing."""
    pick = lambda x, order: x.at[:, order].get(unique_indices=True, mode="promise_in_bounds")  # noqa: E731
    return jax.vmap(pick)(x, order_BT)


def _on_each_device(local: Callable[..., jax.Array], q: jax.Array, k: jax.Array, v: jax.Array, rows: jax.Array) -> Any:
    if jax.sharding.get_abstract_mesh().empty:
        return local(q, k, v, rows)
    args = q, k, v, rows
    heads = [heads_spec(x.ndim) for x in (q, k, v)]
    specs = (*heads, batch_spec(rows.ndim))
    # check_vma: the kernel does not say over which mesh axes its result varies
    f = jax.shard_map(local, in_specs=specs, out_specs=heads[0], check_vma=False)
    return f(*map(reshard, args, specs))
