"""Rows of the scheduler as the arrays of a batch, and what they have made as answers. Host code, numpy alone.

A batch has B = each * shards rows, `each` on every shard of (data, fsdp); those that only fill it are zeros, and
sample plainly. Places are (row, its index in the batch).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from m2jax.sampler import programs
from m2jax.sampler.requests import Alternatives, Answer, Completion, Score
from m2jax.sampler.sampling import Knobs
from m2jax.sampler.scheduler import Row, power

Places = list[tuple[Row, int]]


def places_of(batch: Sequence[Row], shards: int, limit: int) -> tuple[Places, int]:
    """Each row with its index in a batch in which every shard has the same number of rows, at most `limit`, and the
    number of them all.
    """
    on = [[row for row in batch if row.shard == shard] for shard in range(shards)]
    each = power(max(map(len, on)), 4, limit)
    place = {id(row): shard * each + i for shard, rows in enumerate(on) for i, row in enumerate(rows)}
    return [(row, place[id(row)]) for row in batch], each * shards


def rows_of(places: Places, B: int, pages: int, own_ranks: Mapping[str | None, np.ndarray]) -> programs.Rows:
    """What the programs need to know of each row: page ids int32 [B, pages], cached tokens int32 [B], and which of the
    joined adapters' ranks it uses, float32 [B, ranks]; None of these without adapters (`own_ranks` is then empty).
    """
    table = np.zeros((B, pages), np.int32)
    for row, b in places:
        table[b, : len(row.table)] = row.table
    ranks = np.tile(own_ranks[None], (B, 1)) if own_ranks else None
    for row, b in places if own_ranks else ():
        ranks[b] = own_ranks[row.role.adapter]
    return programs.Rows(table, _column(places, B, lambda row: row.cached), ranks)


def draws_of(
    places: Places, B: int, budget: Mapping[Row, int], n_stops: int, vocab_size: int, constrained: bool
) -> programs.Draws:
    """How each row samples. budget: tokens that a row may make. constrained: with what grammars allow next,
    bool [B, V].
    """
    request = np.zeros((B, 2), np.uint32)
    stop = np.full((B, n_stops), -1, np.int32)
    allowed = np.ones((B, vocab_size), bool) if constrained else None
    for row, b in places:
        request[b] = row.ticket.key, row.ticket.number
        stop[b, : len(row.sampling.stop)] = row.sampling.stop
        if row.constraint:
            allowed[b] = row.constraint.allowed()
    return programs.Draws(
        token_B=_column(places, B, lambda row: row.tokens[-1]),
        request_BW=request,
        made_B=_column(places, B, lambda row: row.made),
        budget_B=_column(places, B, lambda row: budget[row]),
        stop_BE=stop,
        knobs=Knobs(  # of a row that only fills: neither an argmax nor a cut, which any one row makes all pay for
            _column(places, B, lambda row: row.sampling.temperature, np.float32, fill=1),
            _column(places, B, lambda row: row.sampling.top_k),
            _column(places, B, lambda row: row.sampling.top_p, np.float32, fill=1),
        ),
        allowed_BV=allowed,
    )


def answer_of(row: Row, version: int) -> Answer | ValueError:
    """What a row has made so far; where its grammar gave up, the error. version: of the weights that made it."""
    if isinstance(row.request, Score):
        return list(row.scores)
    if row.constraint and row.constraint.error:
        return row.constraint.error
    tokens = np.asarray(row.tokens[len(row.request.prompt) :], np.int32)
    full, sampling = np.concatenate(row.logps, axis=1)
    stopped = row.complete or int(tokens[-1]) in row.sampling.stop
    wide = None
    if row.alternatives:
        wide = Alternatives(*(np.concatenate([getattr(a, x) for a in row.alternatives]) for x in ("ids", "logps")))
    return Completion(tokens, full, sampling, stopped, version, wide)


def _column(places: Places, B: int, f: Callable[[Row], float], dtype: Any = np.int32, fill: float = 0) -> np.ndarray:
    """One value per row of the batch; `fill` for rows that only fill it."""
    out = np.full(B, fill, dtype)
    for row, b in places:
        out[b] = f(row)
    return out
