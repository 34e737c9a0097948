"""Chats packed into rows of a fixed number of tokens, and what the learner needs to know of each.

A row holds whole chats one after another, each a segment of its own that sees nothing of its neighbours: packing
changes no number, it only wastes less. Chats of one group (`Chat.group`) are one segment: their common beginning once,
then each chat's own rest as a branch, which sees the beginning and itself. All of it is numpy on the host.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Sequence
from os.path import commonprefix

import flax.struct
import jax
import numpy as np

from m2jax.data.chats import Chat
from m2jax.text.chat import Rendered, render
from m2jax.text.tokenizer import Tokenizer

Array = np.ndarray | jax.Array


@flax.struct.dataclass
class Packed:
    """N rows of T tokens, of which at most K are trained on, padded on the right.

    tokens, positions, segments: int32 [N, T]; positions are rope's; segment 0 is padding. branches: int32 [N, T], 0 on
    what all branches of a segment see; None where there are none. at, targets: int32 [N, K], where a token is
    predicted (at the one before it) and which it is. weight: float32 [N, K], its share of the loss; 0 is padding.
    A training step takes these with one more leading axis, the micro-batches.
    """

    tokens: Array
    positions: Array
    segments: Array
    branches: Array | None
    at: Array
    targets: Array
    weight: Array


@dataclasses.dataclass(frozen=True)
class Segment:
    """A chat, or the chats of a group, of n tokens: tokens, positions, branches int32 [n]; at, targets int32 [k], and
    of which of the given chats each target is: owners int32 [k].
    """

    tokens: np.ndarray
    positions: np.ndarray
    branches: np.ndarray
    at: np.ndarray
    targets: np.ndarray
    owners: np.ndarray


def segments(tokenizer: Tokenizer, chats: Sequence[Chat], longest: int) -> list[Segment]:
    """The chats in tokens, laid out by the model's own template. ValueError names one of more than `longest` tokens,
    or of which nothing can be trained on.
    """
    made = []
    for group, members in itertools.groupby(range(len(chats)), lambda i: chats[i].group or i):
        indices = list(members)
        rendered = [render(tokenizer, chats[i].messages, add_generation_prompt=False) for i in indices]
        for i, chat in zip(indices, rendered, strict=True):
            if not chat.trained[1:].any():
                raise ValueError(f"chat {chats[i].id}: the chat template leaves no token to train on")
        segment = _join(rendered, indices)
        if len(segment.tokens) > longest:
            what = f"group {group}" if isinstance(group, str) else f"chat {chats[indices[0]].id}"
            raise ValueError(
                f"{what} has {len(segment.tokens)} tokens; config.data.row_tokens is {longest}: raise it, or cut it"
            )
        made.append(segment)
    return made


def pack(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Which lengths share a row of `size`: the longest first, each into the fullest row that has room (best fit
    decreasing). Within a row indices ascend.
    """
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (what is left, row), ascending
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        place = bisect.bisect_left(room, (lengths[i], -1))
        left, row = room.pop(place) if place < len(room) else (size, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(i)
        bisect.insort(room, (left - lengths[i], row))
    return [sorted(row) for row in rows]


def trained_tokens(segments: Sequence[Segment], row: Sequence[int]) -> int:
    """How many tokens of a row are trained on."""
    return sum(len(segments[i].at) for i in row)


def fill(
    segments: Sequence[Segment], rows: Sequence[Sequence[int]], shape_TK: tuple[int, int], share: float, branched: bool
) -> Packed:
    """The arrays of some rows, each a list of segments' indices (none: an empty row). share: the weight of a token."""
    (T, K), N = shape_TK, len(rows)
    tokens, positions, numbers, branches = (np.zeros((N, T), np.int32) for _ in range(4))
    at, targets, weight = np.zeros((N, K), np.int32), np.zeros((N, K), np.int32), np.zeros((N, K), np.float32)
    for n, row in enumerate(rows):
        t = k = 0
        for number, i in enumerate(row, start=1):
            s = segments[i]
            here, there = slice(t, t + len(s.tokens)), slice(k, k + len(s.at))
            tokens[n, here], positions[n, here], branches[n, here] = s.tokens, s.positions, s.branches
            numbers[n, here] = number
            at[n, there], targets[n, there], weight[n, there] = s.at + t, s.targets, share
            t, k = here.stop, there.stop
    return Packed(tokens, positions, numbers, branches if branched else None, at, targets, weight)


def _join(chats: Sequence[Rendered], indices: Sequence[int]) -> Segment:
    """What the chats share, then the rest of each. Nothing that is trained on is shared."""
    whole = [chat.tokens.tolist() for chat in chats]
    first_trained = min(int(np.flatnonzero(chat.trained[1:])[0]) + 1 for chat in chats)
    shared = min(len(commonprefix(whole)), first_trained) if len(chats) > 1 else 0
    parts = [(np.arange(shared), np.zeros(shared, np.int32), chats[0].tokens[:shared])]
    at, targets, owners, start = [], [], [], shared
    for branch, (i, chat) in enumerate(zip(indices, chats, strict=True), start=1):
        where = np.arange(shared, len(chat.tokens))
        parts.append((where, np.full(len(where), branch if shared else 0), chat.tokens[shared:]))
        trained = np.flatnonzero(chat.trained[1:]) + 1  # nothing predicts a chat's first token
        before = trained - 1
        at.append(np.where(before < shared, before, before - shared + start))
        targets.append(chat.tokens[trained])
        owners.append(np.full(len(trained), i))
        start += len(where)
    positions, branches, tokens = (np.concatenate(x).astype(np.int32) for x in zip(*parts, strict=True))
    return Segment(tokens, positions, branches, *(np.concatenate(x).astype(np.int32) for x in (at, targets, owners)))
