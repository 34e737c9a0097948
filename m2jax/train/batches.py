"""From graded replies to what the learner takes: rows of fixed shapes, in mini- and micro-batches, on the devices."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from m2jax import sharding
from m2jax.rollout.single_turn import Rollout
from m2jax.train import grpo


def minibatches(
    kept: Sequence[Sequence[Rollout]],
    size: int,
    micro: int,
    row_samples: int,
    prompt_size: int,
    max_tokens: int,
) -> list[tuple[grpo.Groups, np.int32]]:
    """Splits the groups into mini-batches of at most `size`, each `Groups` with leading axes [micro-batches, micro],
    and how many of its rows count. A row holds `row_samples` of a group's samples after a copy of the prompt.

    Shapes do not depend on how many groups were kept: missing rows are empty and come last.
    """
    made = []
    for start in range(0, len(kept), size):
        rows = []
        for group in kept[start : start + size]:
            advantage = grpo.advantages(np.asarray([r.reward for r in group]))
            for i in range(0, len(group), row_samples):
                rows.append((group[i : i + row_samples], advantage[i : i + row_samples]))
        n_rows = size * (len(kept[0]) // row_samples)
        made.append((_groups(rows, n_rows, micro, prompt_size, max_tokens), np.int32(len(rows))))
    return made


def put_groups(mesh: jax.sharding.Mesh, groups: grpo.Groups) -> grpo.Groups:
    """Places [micro-batches, M, ...] arrays: the rows of a micro-batch over (data, fsdp)."""

    def put(x: np.ndarray) -> jax.Array:
        spec = sharding.P(None, ("data", "fsdp"), *([None] * (x.ndim - 2)))
        return sharding.place(x, jax.NamedSharding(mesh, spec))

    return jax.tree.map(put, groups)


def _groups(
    rows: Sequence[tuple[Sequence[Rollout], np.ndarray]], size: int, micro: int, prompt_size: int, max_tokens: int
) -> grpo.Groups:
    """`size` rows of samples with their advantages, of which the last may be missing."""
    n_micro = -(-size // micro)
    N, R, P, C = n_micro * micro, len(rows[0][0]), prompt_size, max_tokens
    tokens = np.zeros((N, P + R * C), np.int32)
    length = np.ones(N, np.int32)
    mask, old = np.zeros((N, R, C), np.float32), np.zeros((N, R, C), np.float32)
    advantage = np.zeros((N, R), np.float32)
    for n, (samples, advantages) in enumerate(rows):
        length[n] = len(samples[0].prompt)
        tokens[n, : length[n]] = samples[0].prompt
        advantage[n] = advantages
        for r, rollout in enumerate(samples):
            own = rollout.completion.tokens
            tokens[n, P + r * C : P + r * C + len(own)] = own
            mask[n, r, : len(own)] = 1
            old[n, r, : len(own)] = rollout.completion.logp_full
    groups = grpo.Groups(tokens, length, mask, advantage, old, old)
    return jax.tree.map(lambda x: x.reshape(n_micro, micro, *x.shape[1:]), groups)
