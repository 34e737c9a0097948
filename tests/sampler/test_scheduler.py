"""Who may enter, on a scheduler alone."""

from __future__ import annotations

import dataclasses

from m2jax.sampler.requests import Generate, Role
from m2jax.sampler.scheduler import Row, Scheduler, Sizes, Ticket

SIZES = Sizes(slots=1, n_pages=4, page=4, pasts=(12,), chunks=(16,), batch_tokens=16, burst=4)


TWO = dataclasses.replace(SIZES, slots=2)  # of each shard


def asked(scheduler: Scheduler, number: int, tokens: list[int], new: int = 1) -> Row:
    """A row that waits."""
    row = Row(Ticket(number, 0, 0, 0), Generate("doctor", tokens, new), Role(), tokens, len(tokens) - 1)
    scheduler.submit(row)
    return row


def enter(scheduler: Scheduler, number: int, tokens: list[int], new: int) -> Row:
    """A row that was admitted, with all of its prompt computed."""
    row = asked(scheduler, number, tokens, new)
    scheduler.admit()
    assert scheduler.rows == [row]
    scheduler.advance(row, row.target - row.cached)
    return row


def test_a_request_that_needs_every_page_enters_though_it_shares_part_of_one():
    scheduler = Scheduler(SIZES, 1)
    scheduler.leave(enter(scheduler, 0, list(range(8)), 1))
    long = enter(scheduler, 1, [0, 1, 2, 3, 4, 5, *range(20, 26)], 1)
    assert len(long.table) == 3 and scheduler.counts["prompt_tokens_hit"] == 4  # the whole page is shared
    scheduler.leave(long)
    scheduler.pages[0].check()
    again = enter(scheduler, 2, [0, 1, 2, 3, 4, 30], 1)
    assert scheduler.counts["prompt_tokens_hit"] == 4 + 5 and len(again.table) == 2  # with room, part of a page too


def test_a_shard_without_pages_keeps_nobody_from_another():
    scheduler = Scheduler(TWO, 2)
    enter(scheduler, 0, list(range(12)), 1)  # all pages of the first shard
    alike, other = asked(scheduler, 1, [*range(8), 20, 21, 22, 23]), asked(scheduler, 2, [30, 31])
    scheduler.admit()
    assert (alike.shard, len(alike.table)) == (1, 3) and scheduler.rows[1:] == [alike]
    scheduler.leave(alike)
    scheduler.admit()
    assert other in scheduler.rows


def test_a_prefix_is_computed_once_a_shard_also_where_one_that_has_it_is_full():
    scheduler = Scheduler(dataclasses.replace(TWO, n_pages=8), 2)
    first = enter(scheduler, 0, list(range(9)), 1)
    rows = [first, *(asked(scheduler, n, list(range(9))) for n in (1, 2, 3))]
    scheduler.admit()
    assert scheduler.rows == rows[:3] and [row.shard for row in rows[:3]] == [0, 0, 1]
    assert [row.cached for row in rows[:3]] == [8, 8, 0]  # the last waits for the third
    scheduler.advance(rows[2], 8)
    scheduler.admit()
    assert (rows[3].shard, rows[3].cached) == (1, 8)


def test_nobody_waits_for_a_prefix_on_a_shard_that_is_full():
    scheduler = Scheduler(dataclasses.replace(TWO, slots=1, n_pages=8), 2)
    rows = [asked(scheduler, n, list(range(9))) for n in range(2)]
    scheduler.admit()
    assert [row.shard for row in scheduler.rows] == [0, 1] and scheduler.rows == rows
