"""The paper's GRPO (arXiv 2509.02208, eq. 2): the objective, the advantages, and the batch both are stated on.

    J = E[ 1/G sum_i 1/l_max sum_t min( r_it A_i, clip(r_it, 1 - eps_low, 1 + eps_high) A_i ) ]
    A_i = R_i - mean_j R_j

No KL term, no division by the group's standard deviation, and a constant l_max instead of the length. To compare with,
`Grpo.vanilla` is GRPO as DeepSeekMath has it (arXiv 2402.03300, eq. 3 and 4):

    J = E[ 1/G sum_i 1/|o_i| sum_t ( min( r_it A_i, clip(r_it, 1 - eps_low, 1 + eps_low) A_i ) - KL * kl_it ) ]
    A_i = (R_i - mean_j R_j) / std_j R_j,    kl_it = pi_start / pi - log(pi_start / pi) - 1

A group is one prompt with its R completions in a single row [prompt | completion 1 | ... | completion R]: the prompt is
computed once for all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from m2jax.models import attention
from m2jax.models.config import ModelConfig
from m2jax.models.decoder import forward, remat_policy, unembed
from m2jax.models.logprobs import token_logprobs
from m2jax.models.params import Params
from m2jax.sharding import batch_spec, einsum, merge_axes, reshard, row_spec, split_axis

KL = 0.04  # the weight of vanilla GRPO's KL to the start model


@dataclasses.dataclass(frozen=True)
class Grpo:
    """eps_low, eps_high: the asymmetric clip. l_max: the constant divisor, in tokens (the generation cap).
    temperature: that of the sampler. remat: see `decoder.forward`.
    tis_cap: cap of the truncated importance weight pi_learner / pi_sampler; None trusts the sampler's
    log-probabilities as the old ones. vanilla: see the module; eps_high and l_max say nothing then.
    """

    l_max: int
    eps_low: float = 0.2
    eps_high: float = 0.28
    temperature: float = 1.0
    tis_cap: float | None = None
    remat: str = "none"
    vanilla: bool = False

    def __post_init__(self) -> None:
        remat_policy(self.remat)  # names what is wrong with it


@flax.struct.dataclass
class Groups:
    """N groups of one prompt (P slots) and R completions (C slots each), padded on the right. A completion may be what
    follows of a whole conversation, of which the mask marks the policy's own parts.

    tokens: int32 [N, P + R*C]. prompt_length: int32 [N]. mask: float32 [N, R, C], 1 on the policy's own tokens.
    advantage: float32 [N, R, C], of each token. old_logp: float32 [N, R, C], log-probabilities that the ratio is taken
    against.
    sampler_logp: float32 [N, R, C], those the sampler gave; the same array unless the learner recomputed the old ones.
    A training step takes these with one more leading axis, the micro-batches.
    """

    tokens: jax.Array
    prompt_length: jax.Array
    mask: jax.Array
    advantage: jax.Array
    old_logp: jax.Array
    sampler_logp: jax.Array


def advantages(rewards_NR: np.ndarray, vanilla: bool = False) -> np.ndarray:
    """R_i - mean of its group, of vanilla GRPO over its standard deviation; float32 like the input's shape."""
    off = rewards_NR - rewards_NR.mean(-1, keepdims=True)
    return (off / (rewards_NR.std(-1, keepdims=True) + 1e-6) if vanilla else off).astype(np.float32)


def has_signal(rewards_NR: np.ndarray) -> np.ndarray:
    """bool [N]: False where all rewards of a group are equal, and the group can teach nothing."""
    return np.ptp(rewards_NR, axis=-1) > 1e-6


def completion_logprobs(
    cfg: ModelConfig,
    grpo: Grpo,
    params: Params,
    tokens: jax.Array,
    prompt_length: jax.Array,
    shape_RC: tuple[int, int],
) -> tuple[jax.Array, jax.Array]:
    """Log-probability and entropy, float32 [N, R, C] in nats, of every completion token of rows laid out as in
    `Groups`.
    """
    (N, T), (R, C) = tokens.shape, shape_RC
    P_ = T - R * C
    positions = attention.group_positions(prompt_length, P_, R, C)
    attend = attention.group(prompt_length, P_, R)
    split = (reshard(x, row_spec(2)) for x in (tokens, positions))
    hidden_NTD, _ = forward(cfg, params, *split, attend, remat=grpo.remat)
    hidden_NTD = reshard(hidden_NTD, batch_spec(3))
    # a completion's first token is predicted by the prompt's last, the others by the one before
    at_end_NP = (jnp.arange(P_) == prompt_length[:, None] - 1).astype(hidden_NTD.dtype)
    last_ND = einsum("np,npd->nd", at_end_NP, hidden_NTD[:, :P_])
    own_NRCD = split_axis(hidden_NTD[:, P_:], 1, (R, C))
    # a row alone loses its layout where it is broadcast
    first_NRCD = reshard(jnp.broadcast_to(last_ND[:, None, None], (N, R, 1, last_ND.shape[-1])), batch_spec(4))
    before_NTD = merge_axes(jnp.concatenate([first_NRCD, own_NRCD[:, :, :-1]], axis=2), 1)
    before_NTD, targets = reshard(before_NTD, row_spec(3)), reshard(tokens[:, P_:], row_spec(2))
    each = token_logprobs(before_NTD, unembed(params), targets, grpo.temperature)
    logp, entropy = (split_axis(reshard(x, batch_spec(2)), 1, (R, C)) for x in each)
    return logp, entropy


def objective(
    cfg: ModelConfig, grpo: Grpo, params: Params, frozen: Params | None, groups: Groups, n_groups: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Minus J over these groups, as their share of a batch of `n_groups`, so that micro-batches add up.

    Returns (loss, sums): `sums` are totals over the policy's tokens, to be divided by "tokens" once all are added.
    """
    R, C = groups.mask.shape[-2:]
    logp, entropy = completion_logprobs(cfg, grpo, params, groups.tokens, groups.prompt_length, (R, C))
    log_ratio = (logp - groups.old_logp) * groups.mask
    ratio = jnp.exp(log_ratio)
    gain = ratio * groups.advantage
    eps_high = grpo.eps_low if grpo.vanilla else grpo.eps_high
    clipped = jnp.clip(ratio, 1 - grpo.eps_low, 1 + eps_high) * groups.advantage
    surrogate = jnp.minimum(gain, clipped) * groups.mask
    if grpo.tis_cap is not None:
        surrogate = surrogate * importance_weight(groups.old_logp, groups.sampler_logp, grpo.tis_cap)
    own, extra = float(grpo.l_max), {}
    if grpo.vanilla:
        start, _ = completion_logprobs(cfg, grpo, frozen, groups.tokens, groups.prompt_length, (R, C))
        away = (jax.lax.stop_gradient(start) - logp) * groups.mask
        kl = jnp.exp(away) - away - 1
        surrogate, own = surrogate - KL * kl, jnp.maximum(groups.mask.sum(-1, keepdims=True), 1)
        extra = {"kl_start": kl.sum()}
    loss = -(surrogate / own).sum() / (n_groups * R)
    sums = extra | {
        "tokens": groups.mask.sum(),
        "entropy": (entropy * groups.mask).sum(),
        "clip_fraction": ((clipped < gain) * groups.mask).sum(),
        "logp_gap_mean": (jnp.abs(logp - groups.sampler_logp) * groups.mask).sum(),
        "ratio_mean": (ratio * groups.mask).sum(),
    }
    return loss, jax.lax.stop_gradient(sums)


def sampler_gap(batch: Sequence[Groups]) -> dict[str, jax.Array]:
    """How far the sampler's log-probabilities are from the learner's old ones, in nats over the policy's tokens: of
    numerics alone where the weights were the same, and of the update since where they were one step older.
    """
    gaps = [jnp.abs(groups.old_logp - groups.sampler_logp) * groups.mask for groups in batch]
    tokens = sum(groups.mask.sum() for groups in batch)
    return {
        "sampler_gap_mean": sum(g.sum() for g in gaps) / tokens,
        "sampler_gap_max": jnp.stack([g.max() for g in gaps]).max(),
    }


def importance_weight(learner_logp: jax.Array, sampler_logp: jax.Array, cap: float) -> jax.Array:
    """min(pi_learner / pi_sampler, cap) per token: truncated importance sampling between two numerics of one policy."""
    return jnp.minimum(jnp.exp(learner_logp - sampler_logp), cap)
