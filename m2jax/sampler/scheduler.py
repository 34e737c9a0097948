"""The scheduler of a lane: which requests hold slots and pages, and whose turn it is. Host-only and deterministic:
every process of a job takes the same decisions.

Older dialogues go first. A request whose prefix another row is computing waits for it, and then finds it in the
cache. Where pages run out, the youngest row gives its pages back and is computed again later, so the oldest always
gets on.
"""

from __future__ import annotations

import bisect
import dataclasses
import heapq
from collections import Counter
from collections.abc import Sequence

import numpy as np

from m2jax.sampler.grammar import Constraint
from m2jax.sampler.pages import Match, Pages
from m2jax.sampler.requests import Alternatives, Generate, Request, Role, Score
from m2jax.sampler.sampling import Sampling


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Shapes and capacities, per shard of the batch.

    slots: rows at once. n_pages, page: pages and tokens in each. pasts: bucket sizes of a row's cached tokens,
    ascending multiples of the page; the last bounds a request, and a first of 0 gives new rows a prefill of their own.
    chunks: bucket sizes of the tokens that one row computes in one prefill, or of a scored suffix, ascending.
    batch_tokens: tokens of one prefill or score. burst: decode steps between two looks at the queue.
    """

    slots: int = 64
    n_pages: int = 1024
    page: int = 32
    pasts: tuple[int, ...] = (128, 256, 512)
    chunks: tuple[int, ...] = (16, 32, 64, 128, 256)
    batch_tokens: int = 1024
    burst: int = 32

    def rows_of(self, tokens: int) -> int:
        """How many rows of `tokens` a prefill or score takes: a power of two, so that a full batch is full."""
        return 1 << max(1, self.batch_tokens // tokens).bit_length() - 1

    def __post_init__(self) -> None:
        if any(n % self.page for n in self.pasts) or sorted(self.pasts) != list(self.pasts) or not self.pasts:
            raise ValueError(f"pasts {self.pasts} must ascend in multiples of the page, {self.page} tokens")
        if (self.n_pages - 1) * self.page < self.pasts[-1]:
            raise ValueError(
                f"{self.n_pages} pages of {self.page} tokens cannot hold one request of {self.pasts[-1]}; raise n_pages"
            )


@dataclasses.dataclass(frozen=True, order=True)
class Ticket:
    """Where an answer belongs: the dialogue, how many requests that one had made before, the place among those asked
    together; and the dialogue's key. Older dialogues are served first.
    """

    dialogue: int
    number: int
    place: int
    key: int


@dataclasses.dataclass(eq=False)
class Row:
    """A request in the lane. tokens: prompt and what was made since; the first `cached` are in the pages of `table`.

    Prefill brings `cached` up to `target`; after it, a Generate decodes and a Score reads out `scored` suffixes.
    """

    ticket: Ticket
    request: Request
    role: Role
    tokens: list[int]
    target: int
    shard: int = 0
    cached: int = 0
    table: list[int] = dataclasses.field(default_factory=list)
    logps: list[np.ndarray] = dataclasses.field(default_factory=list)
    scores: list[np.ndarray | Alternatives] = dataclasses.field(default_factory=list)
    alternatives: list[Alternatives] = dataclasses.field(default_factory=list)  # of each burst
    admitted: bool = False
    constraint: Constraint | None = None

    @property
    def made(self) -> int:
        return len(self.tokens) - len(self.request.prompt)

    @property
    def sampling(self) -> Sampling:
        """How a Generate samples."""
        return self.request.sampling or self.role.sampling

    @property
    def limit(self) -> int:
        """How many tokens a Generate may make."""
        return self.request.max_tokens or self.sampling.max_tokens

    @property
    def complete(self) -> bool:
        """The text of a Generate's grammar is at its end."""
        return self.constraint is not None and self.constraint.done

    @property
    def ended(self) -> bool:
        if isinstance(self.request, Score):
            return len(self.scores) == len(self.request.suffixes)
        if not self.made:
            return False
        return self.complete or self.made >= self.limit or self.tokens[-1] in self.sampling.stop

    @property
    def ready(self) -> bool:
        return self.cached == self.target


class Scheduler:
    """Waiting requests and rows at work, over the pages of every shard. `counts` sums what is worth measuring."""

    def __init__(self, sizes: Sizes, shards: int) -> None:
        self.sizes, self.shards = sizes, shards
        self.rows: list[Row] = []
        self.counts: Counter[str] = Counter()
        self._waiting: list[tuple[Ticket, Row]] = []
        self._versions: Counter[str | None] = Counter()
        self.forget()

    def forget(self) -> None:
        """Drops every cached prefix."""
        self.pages = [Pages(self.sizes.n_pages, self.sizes.page) for _ in range(self.shards)]

    def version(self, adapter: str | None) -> int:
        """How often what an adapter's rows (None: rows without one) compute with has been handed over."""
        return self._versions[adapter]

    def renew(self, adapter: str | None) -> None:
        """The next version; prefixes of the last one are forgotten."""
        if self.rows or self._waiting:
            raise RuntimeError("weights cannot change while dialogues run")
        for pages in self.pages:
            pages.drop((adapter, self._versions[adapter]))
        self._versions[adapter] += 1

    def submit(self, row: Row) -> None:
        heapq.heappush(self._waiting, (row.ticket, row))

    def cancel(self, dialogue: int) -> None:
        """Drops what a dialogue has asked; the pages its rows held are free, and can be found again."""
        for row in [row for row in self.rows if row.ticket.dialogue == dialogue]:
            self.leave(row)
        self._waiting = [entry for entry in self._waiting if entry[0].dialogue != dialogue]
        heapq.heapify(self._waiting)

    def in_flight(self) -> list[Row]:
        """The rows at work and those that wait."""
        return [*self.rows, *(row for _, row in self._waiting)]

    def admit(self) -> list[list[tuple[int, int]]]:
        """Gives waiting requests slots and pages, oldest first, as long as there are any. Returns, per shard, which
        pages (source, target) are to be copied before anything else runs.
        """
        later, copies = [], [[] for _ in range(self.shards)]
        while self._waiting and len(self.rows) < self.sizes.slots * self.shards:
            ticket, row = heapq.heappop(self._waiting)
            if self._being_computed(row):
                later.append((ticket, row))
            elif not self._enter(row, copies):
                later.append((ticket, row))
                break
        for item in later:
            heapq.heappush(self._waiting, item)
        return copies

    def _root(self, row: Row) -> tuple[str | None, int]:
        return row.role.adapter, self._versions[row.role.adapter]

    def _open(self) -> list[int]:
        """The shards with a free slot."""
        rows_on = Counter(r.shard for r in self.rows)
        return [s for s in range(self.shards) if rows_on[s] < self.sizes.slots]

    def _being_computed(self, row: Row) -> bool:
        """Whether another row is about to compute what this one would have to, on a shard that it may enter: a page of
        it, but half of it where there are other shards. For less, as the head of a template, nobody waits there.
        """
        shards = self._open()
        others = [r for r in self.rows if r.shard in shards and not r.ready and r.role.adapter == row.role.adapter]
        if not others:
            return False
        known = max(self.pages[s].match(self._root(row), row.tokens[: row.target]).length for s in shards)
        left = row.target - known
        end = known + ((left + 1) // 2 if self.shards > 1 else min(left, self.sizes.page))
        mine = row.tokens[:end]
        return left > 0 and any(r.target >= end and r.tokens[:end] == mine for r in others)

    def _enter(self, row: Row, copies: list[list[tuple[int, int]]]) -> bool:
        """Takes pages on the shard that knows most of the row, if at least half of it, else on that with the fewest
        rows, of those with room; False where none has any.
        """
        rows_on = Counter(r.shard for r in self.rows)
        matches = {s: self.pages[s].match(self._root(row), row.tokens[: row.target]) for s in self._open()}
        known = {s: match.length for s, match in matches.items()}
        most = {s: n if 2 * n >= row.target else 0 for s, n in known.items()}
        for shard in sorted(matches, key=lambda s: (-most[s], rows_on[s], -known[s], s)):
            if self._enter_shard(row, shard, matches[shard], rows_on[shard], copies[shard]):
                return True
        return False

    def _enter_shard(self, row: Row, shard: int, match: Match, at_work: int, copies: list[tuple[int, int]]) -> bool:
        """Takes pages on a shard where `at_work` rows are; False where it has no room."""
        pages, source = self.pages[shard], [match.partial[0]] if match.partial else []
        pages.take([*match.pages, *source])
        need = row.target + isinstance(row.request, Generate)  # what it reads first has its place too
        wanted = -(-need // self.sizes.page) - len(match.pages)
        if source and not at_work and wanted > pages.available:  # the page to copy from is one too many
            pages.release(source)
            source, match = [], dataclasses.replace(match, partial=None, length=len(match.pages) * self.sizes.page)
        # a page for each row that is at work: whoever enters should not push one out
        fresh = pages.allocate(wanted) if wanted + at_work <= pages.available or not at_work else None
        if fresh is None:
            pages.release([*match.pages, *source])
            return False
        if match.partial:
            copies.append((source[0], fresh[0]))
        row.shard, row.table, row.cached = shard, [*match.pages, *fresh], match.length
        pages.release(source)  # the copy is made before anything else runs
        if not row.admitted:
            self.counts["prompt_tokens"] += row.target
            self.counts["prompt_tokens_hit"] += match.length
            row.admitted = True
        bisect.insort(self.rows, row, key=lambda r: r.ticket)
        return True

    def leave(self, row: Row) -> None:
        """Gives the row's pages back; what they hold can be found again."""
        pages = self.pages[row.shard]
        pages.release(pages.insert(self._root(row), row.tokens[: row.cached], row.table))
        self.rows.remove(row)

    def advance(self, row: Row, n: int) -> None:
        """Notes that `n` more of the row's tokens are cached, for others to find."""
        row.cached += n
        row.table = self.pages[row.shard].insert(self._root(row), row.tokens[: row.cached], row.table)

    def _preempt(self, row: Row) -> None:
        """Takes a row's pages; it waits with the tokens it has."""
        self.leave(row)
        row.cached, row.table = 0, []
        row.target = len(row.tokens) - 1 if isinstance(row.request, Generate) else row.target
        heapq.heappush(self._waiting, (row.ticket, row))
        self.counts["preemptions"] += 1

    def pick_prefill(self) -> tuple[list[Row], int] | None:
        """The oldest rows that still need tokens, as many as a batch holds, and the chunk they take."""
        todo = [row for row in self.rows if not row.ready]
        if not todo:
            return None
        chunk = bucket(self.sizes.chunks, min(todo[0].target - todo[0].cached, self.sizes.chunks[-1]))
        fit, taken = self.sizes.rows_of(chunk), Counter()
        batch = []
        for row in todo:
            if taken[row.shard] < fit:
                taken[row.shard] += 1
                batch.append(row)
        return batch, chunk

    def reserve(self, steps: int) -> dict[Row, int]:
        """Tokens, at most `steps`, that each decoding row may make in the next burst, with pages for them; where there
        are not enough,
        the youngest rows of the shard are pre-empted.
        """
        budget: dict[Row, int] = {}
        for row in [row for row in self.rows if row.ready and isinstance(row.request, Generate)]:
            if row not in self.rows:
                continue  # pre-empted for an older one
            n = min(steps, row.limit - row.made)
            pages = self.pages[row.shard]
            while (fresh := pages.allocate(-(-(row.cached + n) // self.sizes.page) - len(row.table))) is None:
                youngest = [r for r in self.rows if r.shard == row.shard][-1]
                self._preempt(youngest)
                if youngest is row:
                    break
            else:
                row.table += fresh
                budget[row] = n
        return budget


def bucket(sizes: Sequence[int], n: int) -> int:
    """The smallest size that holds n."""
    return next(size for size in sizes if size >= n)


def power(n: int, base: int, limit: int) -> int:
    """The smallest power of `base` that is at least n, or the limit where that is less."""
    size = 1
    while size < n:
        size *= base
    return min(size, limit)
