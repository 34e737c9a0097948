"""Who may enter, on a scheduler alone."""

from __future__ import annotations

from m2jax.sampler.requests import Generate, Role
from m2jax.sampler.scheduler import Row, Scheduler, Sizes, Ticket

SIZES = Sizes(slots=1, n_pages=4, page=4, pasts=(12,), chunks=(16,), batch_tokens=16, burst=4)


def enter(scheduler: Scheduler, number: int, tokens: list[int], new: int) -> Row:
    """A row that was admitted, with all of its prompt computed."""
    row = Row(Ticket(number, 0, 0, 0), Generate("doctor", tokens, new), Role(), tokens, len(tokens) - 1)
    scheduler.submit(row)
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
