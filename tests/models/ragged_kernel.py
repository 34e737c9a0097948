"""The ragged paged attention kernel without a TPU: itself, interpreted, and an oracle of what it promises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import jax
import jax.numpy as jnp
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas.ops.tpu.ragged_paged_attention import kernel

from m2jax.models import attention


class _ReadByValue(kernel.MultiPageAsyncCopyDescriptor):
    """JAX's interpreter cannot reshape a reference (0.10.2), which the kernel does to the block that it has fetched."""

    def wait(self) -> jax.Array:
        return super().wait()[...]


@contextlib.contextmanager
def interpreted(queries_per_block: int) -> Iterator[None]:
    """`attention.ragged` traced in here runs the kernel in JAX's interpreter for TPUs, float32 only.

    queries_per_block: at most the query heads of a kv head; the interpreter's masked store takes no more (0.10.2).
    """

    def run(*args: jax.Array, **settings: object) -> jax.Array:
        return kernel.ragged_paged_attention(*args, **(settings | {"num_queries_per_block": queries_per_block}))

    with (
        mock.patch.object(kernel, "MultiPageAsyncCopyDescriptor", _ReadByValue),
        mock.patch.object(attention, "ragged_paged_attention", run),
        pltpu.force_tpu_interpret_mode(),
    ):
        yield


def oracle(
    q_TNH: jax.Array,
    pages: jax.Array,
    kv_lens_B: jax.Array,
    table_BP: jax.Array,
    cu_q_lens: jax.Array,
    num_seqs: jax.Array,
    *,
    sm_scale: float,
    num_kv_pages_per_block: int,
    num_queries_per_block: int,
) -> jax.Array:
    """Each query sees the keys of its sequence up to its own place, where the last query's is the last key's."""
    (T, N, H), J = q_TNH.shape, pages.shape[2]
    seq_T = jnp.searchsorted(cu_q_lens, jnp.arange(T), side="right") - 1
    place_T = kv_lens_B[seq_T] - (cu_q_lens[seq_T + 1] - jnp.arange(T))
    kv_TSKJH = pages[table_BP[seq_T]].reshape(T, -1, J // 2, 2, H)
    q_TKGH = q_TNH.reshape(T, J // 2, -1, H)
    scores = sm_scale * jnp.einsum("tkgh,tskh->tkgs", q_TKGH, kv_TSKJH[..., 0, :])
    seen_TS = jnp.arange(scores.shape[-1]) <= place_T[:, None]
    probs = jax.nn.softmax(jnp.where(seen_TS[:, None, None], scores, -jnp.inf))
    return jnp.einsum("tkgs,tskh->tkgh", probs, kv_TSKJH[..., 1, :]).reshape(T, N, H)
