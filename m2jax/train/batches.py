"""From graded rollouts to what the learner takes: rows of fixed shapes, in mini- and micro-batches, on the devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from m2jax import sharding
from m2jax.rollout.sessions import Episode
from m2jax.rollout.single_turn import Rollout
from m2jax.train import grpo

OPENING = 128  # tokens of what the consultations with a patient share that are computed once for all of them


@dataclasses.dataclass(frozen=True)
class Sample:
    """What is learned of one rollout: the n tokens after a prompt that its group shares. tokens: int32 [n]; mask: 1 on
    the policy's own; advantage, and logp as the sampler gave it, 0 on others. All but the tokens are float32 [n].
    """

    prompt: Sequence[int]
    tokens: np.ndarray
    mask: np.ndarray
    advantage: np.ndarray
    logp: np.ndarray


def of_replies(group: Sequence[Rollout], vanilla: bool = False) -> list[Sample]:
    """The replies to one prompt, each with one advantage, which may be vanilla GRPO's."""
    advantages = grpo.advantages(np.asarray([r.reward for r in group]), vanilla)
    made = []
    for rollout, advantage in zip(group, advantages, strict=True):
        done, ones = rollout.completion, np.ones(len(rollout.completion.tokens), np.float32)
        made.append(Sample(rollout.prompt, done.tokens, ones, advantage * ones, done.logp_full))
    return made


def of_episodes(group: Sequence[Episode], prompt_size: int) -> list[Sample]:
    """The consultations with one patient. The prompt is of the opening what has room in `prompt_size`; all that follows
    stands in the sample, the doctor's messages as they were sampled and what is between them masked.
    """
    made = []
    for episode in group:
        shared = min(prompt_size, episode.turns[0].start)
        mask, advantage, logp = (np.zeros(len(episode.tokens), np.float32) for _ in range(3))
        for turn in episode.turns:
            at = slice(turn.start, turn.start + len(turn.completion.tokens))
            mask[at], advantage[at], logp[at] = 1, turn.advantage, turn.completion.logp_full
        rest = np.asarray(episode.tokens[shared:], np.int32)
        made.append(Sample(episode.tokens[:shared], rest, mask[shared:], advantage[shared:], logp[shared:]))
    return made


def minibatches(
    kept: Sequence[Sequence[Sample]],
    size: int,
    micro: int,
    row_samples: int,
    prompt_size: int,
    max_tokens: int,
) -> list[tuple[grpo.Groups, np.int32]]:
    """Splits the groups into as few mini-batches of at most `size` as hold them, as evenly as they go: no update is of
    a remainder alone. Each is `Groups` with leading axes [micro-batches, micro], and how many of its rows count. A row
    holds `row_samples` of a group's samples after a copy of the prompt.

    Shapes do not depend on how many groups were kept: missing rows are empty and come last.
    """
    made, parts = [], -(-len(kept) // size)
    for part in range(parts):
        groups = kept[part * len(kept) // parts : (part + 1) * len(kept) // parts]
        rows = [group[i : i + row_samples] for group in groups for i in range(0, len(group), row_samples)]
        n_rows = size * (len(kept[0]) // row_samples)
        made.append((_groups(rows, n_rows, micro, prompt_size, max_tokens), np.int32(len(rows))))
    return made


def recut(groups: grpo.Groups, micro: int) -> grpo.Groups:
    """The same rows in micro-batches of `micro`: one that waited while a run was stopped may have been cut for another
    mesh.
    """
    n_micro, before = groups.prompt_length.shape
    if before == micro:
        return groups
    rows = n_micro * before
    missing = -rows % micro

    def cut(x: np.ndarray, empty: int) -> np.ndarray:
        flat = x.reshape(rows, *x.shape[2:])
        padded = np.concatenate([flat, np.full((missing, *flat.shape[1:]), empty, x.dtype)])
        return padded.reshape(-1, micro, *flat.shape[1:])

    return jax.tree.map(lambda x: cut(x, 0), groups).replace(prompt_length=cut(groups.prompt_length, 1))


def episode_row(config: ConfigDict) -> tuple[int, int]:
    """(tokens for what the consultations with a patient share, for the rest of each at most), both multiples of 16."""
    longest = config.data.max_prompt_tokens
    ceil = lambda n, unit: -(-n // unit) * unit  # noqa: E731
    return min(ceil(longest, 16), OPENING), ceil(longest + config.sampling.max_tokens, 64)


def width(kept: Sequence[Sequence[Sample]], most: int) -> int:
    """The tokens that the longest sample needs, in quarters of `most`: each of the four is compiled once."""
    quarter = most // 4
    longest = max((len(sample.tokens) for group in kept for sample in group), default=1)
    return -(-longest // quarter) * quarter


def put_groups(mesh: jax.sharding.Mesh, groups: grpo.Groups) -> grpo.Groups:
    """Places [micro-batches, M, ...] arrays: the rows of a micro-batch over (data, fsdp)."""

    def put(x: np.ndarray) -> jax.Array:
        spec = sharding.P(None, ("data", "fsdp"), *([None] * (x.ndim - 2)))
        return sharding.place(x, jax.NamedSharding(mesh, spec))

    return jax.tree.map(put, groups)


def _groups(rows: Sequence[Sequence[Sample]], size: int, micro: int, prompt_size: int, max_tokens: int) -> grpo.Groups:
    """`size` rows of samples, of which the last may be missing."""
    n_micro = -(-size // micro)
    N, R, P, C = n_micro * micro, len(rows[0]), prompt_size, max_tokens
    tokens = np.zeros((N, P + R * C), np.int32)
    length = np.ones(N, np.int32)
    mask, advantage, old = (np.zeros((N, R, C), np.float32) for _ in range(3))
    for n, samples in enumerate(rows):
        length[n] = len(samples[0].prompt)
        if length[n] > P:
            raise ValueError(f"a prompt of {length[n]} tokens in rows that have {P} for it")
        tokens[n, : length[n]] = samples[0].prompt
        for r, sample in enumerate(samples):
            own = len(sample.tokens)
            tokens[n, P + r * C : P + r * C + own] = sample.tokens
            mask[n, r, :own], advantage[n, r, :own], old[n, r, :own] = sample.mask, sample.advantage, sample.logp
    groups = grpo.Groups(tokens, length, mask, advantage, old, old)
    return jax.tree.map(lambda x: x.reshape(n_micro, micro, *x.shape[1:]), groups)
