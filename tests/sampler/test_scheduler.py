"""Who may enter, on a scheduler alone."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

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


WIDE = Sizes(slots=32, n_pages=1281, page=32, pasts=(1280,), chunks=(256,))
HEAD = list(range(40))  # of a template, or of a question that all prompts begin with


def prompts(n: int, length: int, head: list[int]) -> list[list[int]]:
    """They share their head and nothing behind it."""
    return [[*head, *range(1000 * (i + 1), 1000 * (i + 1) + length - len(head))] for i in range(n)]


def compute(scheduler: Scheduler, rows: list[Row]) -> tuple[int, list[int]]:
    """Admits and prefills until every row has its prompt: (prefills, the tokens that each found when it came in)."""
    found: dict[Row, int] = {}
    for prefills in range(1000):
        scheduler.admit()
        found |= {row: row.cached for row in scheduler.rows if row not in found}
        batch, chunk = scheduler.pick_prefill() or ([], 0)
        if not batch:
            return prefills, [found[row] for row in rows]
        for row in batch:
            scheduler.advance(row, min(chunk, row.target - row.cached))
    raise AssertionError("it never ends")


def test_prompts_with_a_head_in_common_are_computed_side_by_side():
    scheduler = Scheduler(WIDE, 16)
    rows = [asked(scheduler, i, tokens) for i, tokens in enumerate(prompts(16, 1000, HEAD))]
    prefills, _ = compute(scheduler, rows)
    assert prefills == 4 and {row.shard for row in rows} == {*range(16)}  # four chunks of a prompt


@pytest.mark.parametrize("length", [120, 500])
def test_samples_find_their_prompt_whatever_head_prompts_have_in_common(length: int):
    scheduler = Scheduler(WIDE, 8)
    asked_for = [tokens for tokens in prompts(64, length, HEAD) for _ in range(4)]
    rows = [asked(scheduler, i, tokens) for i, tokens in enumerate(asked_for)]
    prefills, found = compute(scheduler, rows)
    assert prefills == 2 * -(-length // 256)  # eight prompts to a shard, four rows to a batch
    assert Counter(n == length - 1 for n in found) == {True: 192, False: 64}
    assert all(len({row.shard for row in rows[i : i + 4]}) == 1 for i in range(0, 256, 4))
    assert Counter(row.shard for row in rows) == dict.fromkeys(range(8), 32)


def test_questions_about_one_dialogue_wait_for_it_and_share_it():
    scheduler = Scheduler(WIDE, 4)
    dialogues = prompts(4, 600, HEAD)
    rows = [asked(scheduler, 8 * i + j, [*d, *range(500 + 50 * j, 550 + 50 * j)])
            for i, d in enumerate(dialogues) for j in range(8)]  # fmt: skip
    _, found = compute(scheduler, rows)
    assert [n >= 600 for n in found] == [j > 0 for _ in dialogues for j in range(8)]
    assert all(len({row.shard for row in rows[i : i + 8]}) == 1 for i in range(0, 32, 8))


def test_of_shards_as_free_as_each_other_the_one_that_knows_the_head_is_taken():
    scheduler = Scheduler(WIDE, 2)
    first, second = (asked(scheduler, i, [*head, *range(900, 1000)]) for i, head in enumerate(([7] * 40, HEAD)))
    compute(scheduler, [first, second])
    assert (first.shard, second.shard) == (0, 1)
    for row in (first, second):
        scheduler.leave(row)
    third = asked(scheduler, 2, [*HEAD, *range(2000, 2100)])
    assert compute(scheduler, [third]) == (1, [40]) and third.shard == 1
