"""Attention for training on a TPU: JAX's splash attention, the flash attention kernel that skips the blocks of a mask
in which nobody sees anybody (`jax.experimental.pallas.ops.tpu.splash_attention`).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu import splash_attention as splash
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask

from m2jax.sharding import batch_spec, heads_spec, reshard, target

BLOCK = 1024  # queries, and keys, of a block: on v5p 1.4 times the kernel's rate at 512, by its compiled schedule
BLOCK_V5E = 512  # more does not fit its vector memory
BLOCK_DQ = 512  # of the kernel that makes dq alone: 1024 does not fit v5p's vector memory
FUSED = 32  # blocks of keys up to which one backward kernel makes all gradients: it holds dq once for each of them


def attend(
    q: jax.Array, k: jax.Array, v: jax.Array, segments_BT: jax.Array, prompt_size: int, branch_size: int
) -> jax.Array:
    """Softmax attention, scaled by 1/sqrt(H), of rows [prompt | branch | ... | branch]: all see the prompt, a branch
    itself too, nobody another segment. q and what comes back are BTKGH, k and v BTKH; segments_BT: int32.
    """
    T = q.shape[1]
    device = target()
    most = BLOCK_V5E if device is not None and device.device_kind == "TPU v5 lite" else BLOCK
    block = min(most, max(128, 1 << (T - 1).bit_length()))
    size = -(-T // block) * block

    def local(q: jax.Array, k: jax.Array, v: jax.Array, segments_BT: jax.Array) -> jax.Array:
        q, k, v, segments_BT = (
            jnp.pad(x, ((0, 0), (0, size - T), *((0, 0),) * (x.ndim - 2))) for x in (q, k, v, segments_BT)
        )
        q_BKGTH, (k_BKTH, v_BKTH) = q.transpose(0, 2, 3, 1, 4), (x.transpose(0, 2, 1, 3) for x in (k, v))
        mask = splash_attention_mask.MultiHeadMask([_Mask(size, prompt_size, branch_size)] * q.shape[3])
        kernel = splash.make_splash_mqa(
            mask,
            block_sizes=_blocks(block, size),
            head_shards=1,
            q_seq_shards=1,
            residual_checkpoint_name="attended",  # what the backward kernel wants, see `decoder.KEPT`
        )

        def row(q_KGTH: jax.Array, k_KTH: jax.Array, v_KTH: jax.Array, segments_T: jax.Array) -> jax.Array:
            ids = splash.SegmentIds(segments_T, segments_T)
            return jax.vmap(lambda q, k, v: kernel(q, k, v, ids))(q_KGTH, k_KTH, v_KTH)

        out_BKGTH = jax.vmap(row)(q_BKGTH * q.shape[-1] ** -0.5, k_BKTH, v_BKTH, segments_BT)
        return out_BKGTH.transpose(0, 3, 1, 2, 4)[:, :T]

    args = q, k, v, segments_BT
    if jax.sharding.get_abstract_mesh().empty:
        return local(*args)
    heads = [heads_spec(x.ndim) for x in (q, k, v)]
    specs = (*heads, batch_spec(2))
    # check_vma: the kernel does not say over which mesh axes its result varies
    f = jax.shard_map(local, in_specs=specs, out_specs=heads[0], check_vma=False)
    return f(*map(reshard, args, specs))


@dataclasses.dataclass(frozen=True)
class _Mask(splash_attention_mask.Mask):
    """Who may see whom in a row of `size` slots, worked out block by block as the kernel's schedule is made."""

    size: int
    prompt_size: int
    branch_size: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.size, self.size

    def __getitem__(self, index: Any) -> np.ndarray:
        q, s = (np.arange(*part.indices(self.size)) for part in index)
        q_branch, s_branch = ((at - self.prompt_size) // self.branch_size for at in (q, s))
        in_prompt = s < self.prompt_size
        return (q[:, None] >= s) & (in_prompt | (q_branch[:, None] == s_branch))


def _blocks(block: int, size: int) -> splash.BlockSizes:
    each = dict.fromkeys(
        ("block_q", "block_kv", "block_kv_compute", "block_q_dkv", "block_kv_dkv", "block_kv_dkv_compute"), block
    )
    if size <= FUSED * block:
        return splash.BlockSizes(**each, use_fused_bwd_kernel=True)
    return splash.BlockSizes(**each, **dict.fromkeys(("block_q_dq", "block_kv_dq"), min(block, BLOCK_DQ)))
