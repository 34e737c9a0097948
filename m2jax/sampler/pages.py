"""Host bookkeeping of a paged key-value cache: which pages are free, who reads them, which token prefix each holds.

A page holds the keys and values of `page_size` consecutive tokens of one sequence. A sequence's pages form a table;
equal prefixes under the same root (weights and adapter, with their versions) are found through a trie of blocks and
share pages. A page may be read by any number of tables and is written only beyond the tokens that the trie knows
of, by the one table that allocated it: whoever diverges inside a page takes a copy of it (copy-on-write).

Pages that no table reads stay in the trie until their place is needed; the least recently used go first, and a
prefix never before what extends it. Page 0 is nobody's: programs write there what is to be thrown away. Plain Python,
deterministic.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import OrderedDict
from collections.abc import Hashable, Sequence

_SIBLINGS = 32  # how many of a block's newest extensions are searched for a partial match


@dataclasses.dataclass(eq=False)
class _Node:
    """One block of tokens in the trie; a block of fewer than `page_size` tokens has no children."""

    parent: _Node | None
    tokens: tuple[int, ...]
    page: int
    children: dict[tuple[int, ...], _Node] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Match:
    """What is known of a sequence: `pages` that hold its first tokens whole, and `partial` = (page, n) where the first
    n tokens of a further page agree too. `length`: tokens of both.
    """

    pages: tuple[int, ...]
    partial: tuple[int, int] | None
    length: int


class Pages:
    """The pages of one shard of a cache: 1 to n_pages - 1 (page 0 is set aside)."""

    def __init__(self, n_pages: int, page_size: int) -> None:
        if n_pages < 2 or page_size < 1:
            raise ValueError(f"{n_pages} pages of {page_size} tokens: there must be at least 2 pages and 1 token")
        self.n_pages, self.page_size = n_pages, page_size
        self._free = list(range(n_pages - 1, 0, -1))
        self._readers = [0] * n_pages
        self._roots: dict[Hashable, _Node] = {}
        self._node_of: dict[int, _Node] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()  # in the trie, without readers; oldest first

    @property
    def available(self) -> int:
        """Pages that `allocate` could give now."""
        return len(self._free) + len(self._idle)

    def match(self, root: Hashable, tokens: Sequence[int]) -> Match:
        """The longest prefix of `tokens` whose pages are at hand. Takes nothing."""
        node, pages, at = self._roots.get(root), [], 0
        if node is None:
            return Match((), None, 0)
        while child := node.children.get(tuple(tokens[at : at + self.page_size])):
            if len(child.tokens) < self.page_size:
                break  # a tail is shared by copying it: its owner writes on
            node, at = child, at + self.page_size
            pages.append(node.page)
        rest = tuple(tokens[at : at + self.page_size])
        newest = itertools.islice(reversed(node.children.values()), _SIBLINGS)
        n, page = max(((_common(c.tokens, rest), c.page) for c in newest), default=(0, 0), key=lambda found: found[0])
        return Match(tuple(pages), (page, n) if n else None, at + n)

    def take(self, pages: Sequence[int]) -> None:
        """One more reader for each page."""
        for page in pages:
            self._readers[page] += 1
            self._idle.pop(page, None)

    def allocate(self, n: int) -> list[int] | None:
        """`n` fresh pages with one reader each, in exchange for the least recently used prefixes where no page is
        free; None, and nothing changed, where even that does not suffice.
        """
        if n > self.available:
            return None
        while len(self._free) < n:
            page, _ = self._idle.popitem(last=False)
            self._forget(self._node_of[page])
            self._free.append(page)
        pages = [self._free.pop() for _ in range(n)]
        self.take(pages)
        return pages

    def release(self, pages: Sequence[int]) -> None:
        """One reader less for each page of a table, given in the table's order."""
        for page in reversed(pages):
            self._readers[page] -= 1
            if not self._readers[page]:
                if page in self._node_of:
                    self._idle[page] = None
                else:
                    self._free.append(page)

    def insert(self, root: Hashable, tokens: Sequence[int], pages: Sequence[int]) -> list[int]:
        """Makes it known that the table `pages` holds `tokens`, and returns the table to go on with: where a whole
        block is known already, its page takes the place of the table's own.
        """
        node, table = self._roots.setdefault(root, _Node(None, (), 0)), list(pages)
        for i, at in enumerate(range(0, len(tokens), self.page_size)):
            block = tuple(tokens[at : at + self.page_size])
            child, own = node.children.get(block), self._node_of.get(table[i])
            if child is None and own is None:
                child = self._node_of[table[i]] = _Node(node, block, table[i])
                node.children[block] = child
            elif child is None:  # the page has been written on since: its block is longer now
                del node.children[own.tokens]
                own.tokens, node.children[block] = block, own
                child = own
            elif child is not own and len(block) == self.page_size:
                self.take([child.page])
                self.release([table[i]])
                table[i] = child.page
            node = child
        return table

    def drop(self, root: Hashable) -> None:
        """Forgets every prefix under `root`; pages without readers are free again."""
        gone = [self._roots.pop(root)] if root in self._roots else []
        while gone:
            node = gone.pop()
            gone += node.children.values()
            if node.parent is not None:
                del self._node_of[node.page]
                if node.page in self._idle:
                    del self._idle[node.page]
                    self._free.append(node.page)

    def check(self) -> None:
        """AssertionError where the books do not balance (for tests)."""
        free, idle = set(self._free), set(self._idle)
        read = {page for page in range(self.n_pages) if self._readers[page]}
        assert len(free) == len(self._free), "a page is free twice"
        assert free | idle | read == set(range(1, self.n_pages)), "a page is lost"
        assert not (free & idle or free & read or idle & read), "a page is in two states"
        assert idle <= self._node_of.keys() and not free & self._node_of.keys(), (
            "an idle page is unknown, or a free one known"
        )
        for page, node in self._node_of.items():
            assert node.page == page and node.parent.children[node.tokens] is node, "the trie is torn"
            above = node.parent
            assert above.parent is None or self._readers[above.page] >= (self._readers[page] > 0), "a prefix went first"

    def _forget(self, node: _Node) -> None:
        del node.parent.children[node.tokens], self._node_of[node.page]


def _common(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Length of the common prefix."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
