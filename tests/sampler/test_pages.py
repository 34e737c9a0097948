"""The page allocator and prefix trie under random traffic, against a plain model of what every page holds."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from m2jax.sampler.pages import Match, Pages

PAGE, N_PAGES = 3, 12
# few tokens and short sequences: prefixes meet, and pages run out
sequences = st.lists(st.integers(0, 1), min_size=1, max_size=14)


class Traffic(RuleBasedStateMachine):
    """Sequences come, share, diverge, grow, are made known and leave; `held` says what is written in each page."""

    def __init__(self) -> None:
        super().__init__()
        self.pages = Pages(N_PAGES, PAGE)
        self.held: dict[int, list[int]] = {}
        self.rows: list[tuple[str, list[int], list[int]]] = []  # root, tokens, table

    def _write(self, table: list[int], tokens: list[int], start: int) -> None:
        for at in range(start, len(tokens)):
            content = self.held.setdefault(table[at // PAGE], [])
            del content[at % PAGE :]
            content.append(tokens[at])

    @rule(root=st.sampled_from("ab"), tokens=sequences)
    def enter(self, root: str, tokens: list[int]) -> None:
        found = self.pages.match(root, tokens)
        assert found.length <= len(tokens)
        source = [found.partial[0]] if found.partial else []
        self.pages.take([*found.pages, *source])
        fresh = self.pages.allocate(-(-len(tokens) // PAGE) - len(found.pages))
        if fresh is None:
            self.pages.release([*found.pages, *source])
            return
        table = [*found.pages, *fresh]
        if found.partial:
            self.held[fresh[0]] = list(self.held[source[0]])
            self.pages.release(source)
        assert [t for page in table for t in self.held.get(page, [])[:PAGE]][: found.length] == tokens[: found.length]
        self._write(table, tokens, found.length)
        self.rows.append((root, list(tokens), table))

    @precondition(lambda self: self.rows)
    @rule(pick=st.randoms(use_true_random=False), token=st.integers(0, 1))
    def grow(self, pick: random.Random, token: int) -> None:
        _, tokens, table = pick.choice(self.rows)
        if len(tokens) == len(table) * PAGE:
            more = self.pages.allocate(1)
            if more is None:
                return
            table += more
        tokens.append(token)
        self._write(table, tokens, len(tokens) - 1)

    @precondition(lambda self: self.rows)
    @rule(pick=st.randoms(use_true_random=False))
    def make_known(self, pick: random.Random) -> None:
        root, tokens, table = pick.choice(self.rows)
        table[:] = self.pages.insert(root, tokens, table)
        found = self.pages.match(root, tokens)
        assert found.length == len(tokens)

    @precondition(lambda self: self.rows)
    @rule(pick=st.randoms(use_true_random=False), known=st.booleans())
    def leave(self, pick: random.Random, known: bool) -> None:
        row = pick.choice(self.rows)
        self.rows.remove(row)
        root, tokens, table = row
        self.pages.release(self.pages.insert(root, tokens, table) if known else table)

    @rule(root=st.sampled_from("ab"))
    def forget(self, root: str) -> None:
        self.pages.drop(root)
        assert self.pages.match(root, [0, 1, 0, 1]).length == 0

    @invariant()
    def books_balance(self) -> None:
        self.pages.check()

    @invariant()
    def nobody_writes_on_what_others_read(self) -> None:
        for _, tokens, table in self.rows:
            for i, page in enumerate(table):
                mine = tokens[i * PAGE : (i + 1) * PAGE]
                assert self.held[page][: len(mine)] == mine

    def teardown(self) -> None:
        for _, _, table in self.rows:
            self.pages.release(table)
        self.pages.check()
        assert self.pages.available == N_PAGES - 1


Traffic.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_traffic = Traffic.TestCase


def test_the_least_recently_used_prefix_goes_first_and_leaves_before_stems() -> None:
    pages = Pages(5, 2)
    first, second = pages.allocate(2), pages.allocate(2)
    pages.release(pages.insert("r", [1, 2, 3, 4], first))
    pages.release(pages.insert("r", [5, 6, 7, 8], second))
    pages.take(pages.match("r", [1, 2]).pages)  # the first stem is read again
    assert pages.allocate(2) is not None
    assert pages.match("r", [1, 2, 3, 4]).length == 2  # its leaf went, it stays
    assert pages.match("r", [5, 6, 7, 8]).length == 2  # of the second, the leaf went, being older than its stem
    assert pages.allocate(2) is None and pages.available == 1


def test_a_tail_is_matched_in_part_and_never_shared_as_it_is() -> None:
    pages = Pages(4, 4)
    table = pages.allocate(2)
    table = pages.insert("r", [1, 2, 3, 4, 5, 6], table)
    assert pages.match("r", [1, 2, 3, 4, 5, 6]) == Match((table[0],), (table[1], 2), 6)
    assert pages.match("r", [1, 2, 3, 4, 5, 9]) == Match((table[0],), (table[1], 1), 5)
    assert pages.match("r", [1, 2, 9]) == Match((), (table[0], 2), 2)
    assert pages.match("other", [1, 2]).length == 0


def test_a_pool_without_room_for_a_page_is_refused() -> None:
    with pytest.raises(ValueError, match="1 pages of 4 tokens"):
        Pages(1, 4)
