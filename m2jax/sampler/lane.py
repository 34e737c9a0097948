"""A lane: one set of parameters, the pages of its cache, and the scheduler that keeps its rows busy.

A round admits waiting requests, computes prompts that are not cached yet (chunks of bounded size, so that a long
prompt does not stall the others), scores what is ready, and decodes a burst of steps for all rows that can. Rows that
finish leave and others enter between bursts. A request whose prefix another row is computing waits for it, and then
finds it in the cache. Where pages run out, the youngest row gives its pages back and is computed again later.

The scheduler is host-only and deterministic: every process of a job takes the same decisions. Shapes are few: rows in
powers of four, chunks and pasts from `Sizes`.
"""

from __future__ import annotations

import bisect
import dataclasses
import heapq
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from m2jax.models import lora
from m2jax.models.config import ModelConfig
from m2jax.models.params import Params
from m2jax.sampler import cache, programs
from m2jax.sampler.pages import Pages
from m2jax.sampler.requests import Answer, Completion, Generate, Request, Role, Score
from m2jax.sampler.sampling import Knobs
from m2jax.sharding import put_batch, put_replicated


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Shapes and capacities, per shard of the batch.

    slots: rows at once. n_pages, page: pages and tokens in each. pasts: bucket sizes of a row's cached tokens,
    ascending multiples of the page; the last bounds a request. chunks: bucket sizes of the tokens that one row
    computes in one prefill, or of a scored suffix, ascending. batch_tokens: tokens of one prefill or score. burst:
    decode steps between two looks at the queue.
    """

    slots: int = 64
    n_pages: int = 1024
    page: int = 32
    pasts: tuple[int, ...] = (128, 256, 512)
    chunks: tuple[int, ...] = (16, 32, 64, 128, 256)
    batch_tokens: int = 1024
    burst: int = 32

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
class _Row:
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
    scores: list[np.ndarray] = dataclasses.field(default_factory=list)
    admitted: bool = False

    @property
    def made(self) -> int:
        return len(self.tokens) - len(self.request.prompt)

    @property
    def ready(self) -> bool:
        return self.cached == self.target


class Lane:
    """Rows over one set of parameters."""

    def __init__(self, cfg: ModelConfig, mesh: jax.sharding.Mesh, sizes: Sizes, dtype: Any) -> None:
        self.cfg, self.mesh, self.sizes, self.dtype = cfg, mesh, sizes, dtype
        self.shards = mesh.shape["data"] * mesh.shape["fsdp"]
        self.pages = [Pages(sizes.n_pages, sizes.page) for _ in range(self.shards)]
        self.seed = np.uint32(0)
        self.counts: Counter[str] = Counter()
        self._waiting: list[tuple[Ticket, _Row]] = []
        self._rows: list[_Row] = []
        self._params: Params | None = None
        self._joined: Params | None = None
        self._adapters: dict[str, Any] = {}
        self._versions: Counter[str | None] = Counter()
        self._cache: Any = None

    # ---- weights

    def set_params(self, params: Params) -> None:
        """New parameters: every prefix computed with the old ones is forgotten."""
        for adapter in (None, *self._adapters):
            self._renew(adapter)
        self._params, self._joined = params, None
        if self._cache is None:
            stacked = not isinstance(params["layers"], tuple)
            n_pages, page = self.sizes.n_pages * self.shards, self.sizes.page
            self._cache = cache.empty(self.cfg, n_pages, page, self.dtype, stacked=stacked)

    def set_adapter(self, name: str, adapter: Any) -> None:
        """A new adapter, or new values of one: only its own prefixes are forgotten."""
        self._renew(name)
        self._adapters[name], self._joined = adapter, None

    def version(self, adapter: str | None) -> int:
        """How often what a role uses has been handed over."""
        return self._versions[adapter]

    def forget(self) -> None:
        """Drops every cached prefix."""
        self.pages = [Pages(self.sizes.n_pages, self.sizes.page) for _ in range(self.shards)]

    def _renew(self, adapter: str | None) -> None:
        """The next version of what an adapter (None: the parameters alone) computes; the last one's pages are free."""
        if self._rows or self._waiting:
            raise RuntimeError("weights cannot change while dialogues run")
        for pages in self.pages:
            pages.drop((adapter, self._versions[adapter]))
        self._versions[adapter] += 1

    def _weights(self) -> Params:
        if self._params is None:
            raise ValueError("a role has no weights yet: hand them over with Engine.update")
        if self._joined is None:
            joined = lora.join(list(self._adapters.values())) if self._adapters else None
            self._joined = lora.attach(self._params, joined) if joined is not None else self._params
        return self._joined

    # ---- requests

    def check(self, request: Request, role: Role) -> None:
        """ValueError where a request can never be served."""
        if self._params is None or (role.adapter and role.adapter not in self._adapters):
            raise ValueError(
                f"role {request.role!r} has no weights yet: Engine.update({role.adapter or role.params!r}, ...)"
            )
        limit = self.sizes.pasts[-1]
        if isinstance(request, Generate):
            prompt, new = len(request.prompt), request.max_tokens or role.sampling.max_tokens
            if not prompt or prompt + new - 1 > limit:
                raise ValueError(
                    f"a prompt of {prompt} tokens with up to {new} new ones does not fit: the cache holds 1 to "
                    f"{limit + 1} tokens of a request; shorten one of them, or raise the engine's pasts"
                )
            return
        if not request.suffixes:
            raise ValueError("a Score without suffixes asks nothing; give at least one, which may be empty")
        longest = max(map(len, request.suffixes))
        if not request.prefix or len(request.prefix) > limit or longest + 1 > self.sizes.chunks[-1]:
            raise ValueError(
                f"a prefix of {len(request.prefix)} tokens with a suffix of {longest} does not fit: the engine takes "
                f"prefixes of 1 to {limit} and suffixes below {self.sizes.chunks[-1]}; shorten them, or raise pasts or "
                "chunks"
            )

    def submit(self, ticket: Ticket, request: Request, role: Role) -> None:
        """Queues a request that `check` has passed."""
        if isinstance(request, Generate):
            tokens = [int(t) for t in request.prompt]
            target = len(tokens) - 1
        else:
            tokens = [int(t) for t in request.prefix]
            # where tokens are scored, the first is predicted by the prefix's last, which then begins every branch
            target = len(tokens) - (not request.choices or not all(map(len, request.suffixes)))
        heapq.heappush(self._waiting, (ticket, _Row(ticket, request, role, tokens, target)))

    def round(self) -> list[tuple[Ticket, Answer]]:
        """One round of device work; returns what it finished."""
        done: list[tuple[Ticket, Answer]] = []
        self._admit()
        while batch := self._pick_prefill():
            self._prefill(*batch)
            self._admit()
            if sum(row.ready for row in self._rows) * 2 >= min(self.sizes.slots * self.shards, len(self._rows)):
                break
        while batch := [row for row in self._rows if row.ready and isinstance(row.request, Score)]:
            done += self._score(batch)
        self._decode()
        for row in [row for row in self._rows if isinstance(row.request, Generate) and self._ended(row)]:
            self._leave(row)
            done.append((row.ticket, self._completion(row)))
        return done

    # ---- rows come and go

    def _admit(self) -> None:
        """Gives waiting requests slots and pages, oldest first, as long as there are any."""
        later, copies = [], [[] for _ in range(self.shards)]
        while self._waiting and len(self._rows) < self.sizes.slots * self.shards:
            ticket, row = heapq.heappop(self._waiting)
            if self._being_computed(row):
                later.append((ticket, row))
            elif not self._enter(row, copies):
                later.append((ticket, row))
                break
        for item in later:
            heapq.heappush(self._waiting, item)
        if any(copies):
            self._copy(copies)

    def _root(self, row: _Row) -> tuple[str | None, int]:
        return row.role.adapter, self._versions[row.role.adapter]

    def _being_computed(self, row: _Row) -> bool:
        """Whether another row is about to compute tokens that this one could then share."""
        known = max((p.match(self._root(row), row.tokens[: row.target]).length for p in self.pages), default=0)
        start = known // self.sizes.page * self.sizes.page
        for other in self._rows:
            if other.ready or other.role.adapter != row.role.adapter:
                continue
            n = min(self.sizes.page, row.target - start, other.target - start)
            worth = n > max(0, known - start) and n in (self.sizes.page, row.target - start)
            if worth and row.tokens[start : start + n] == other.tokens[start : start + n]:
                return True
        return False

    def _enter(self, row: _Row, copies: list[list[tuple[int, int]]]) -> bool:
        """Takes pages on the shard that knows most of the row, or has the fewest rows; False where it has no room."""
        rows_on = Counter(r.shard for r in self._rows)
        open_shards = [s for s in range(self.shards) if rows_on[s] < self.sizes.slots]
        matches = {s: self.pages[s].match(self._root(row), row.tokens[: row.target]) for s in open_shards}
        shard = min(open_shards, key=lambda s: (-matches[s].length, rows_on[s], s))
        match, pages = matches[shard], self.pages[shard]
        source = [match.partial[0]] if match.partial else []
        pages.take([*match.pages, *source])
        need = row.target + isinstance(row.request, Generate)  # what it reads first has its place too
        wanted = -(-need // self.sizes.page) - len(match.pages)
        reserve = rows_on[shard]  # a page for each row that is at work: whoever enters should not push one out
        fresh = pages.allocate(wanted) if wanted + reserve <= pages.available or not rows_on[shard] else None
        if fresh is None:
            pages.release([*match.pages, *source])
            return False
        if match.partial:
            copies[shard].append((source[0], fresh[0]))
        row.shard, row.table, row.cached = shard, [*match.pages, *fresh], match.length
        pages.release(source)  # the copy is made before anything else runs
        if not row.admitted:
            self.counts["prompt_tokens"] += row.target
            self.counts["prompt_tokens_hit"] += match.length
            row.admitted = True
        bisect.insort(self._rows, row, key=lambda r: r.ticket)
        return True

    def _leave(self, row: _Row) -> None:
        """Gives the row's pages back; what they hold can be found again."""
        pages = self.pages[row.shard]
        pages.release(pages.insert(self._root(row), row.tokens[: row.cached], row.table))
        self._rows.remove(row)

    def _preempt(self, row: _Row) -> None:
        """Takes a row's pages; it waits with the tokens it has."""
        self._leave(row)
        row.cached, row.table = 0, []
        row.target = len(row.tokens) - 1 if isinstance(row.request, Generate) else row.target
        heapq.heappush(self._waiting, (row.ticket, row))
        self.counts["preemptions"] += 1

    # ---- device work

    def _pick_prefill(self) -> tuple[list[_Row], int] | None:
        """The oldest rows that still need tokens, as many as a batch holds, and the chunk they take."""
        todo = [row for row in self._rows if not row.ready]
        if not todo:
            return None
        chunk = _bucket(self.sizes.chunks, min(todo[0].target - todo[0].cached, self.sizes.chunks[-1]))
        fit, taken = max(1, self.sizes.batch_tokens // chunk), Counter()
        batch = []
        for row in todo:
            if taken[row.shard] < fit:
                taken[row.shard] += 1
                batch.append(row)
        return batch, chunk

    def _prefill(self, batch: list[_Row], chunk: int) -> None:
        began = time.perf_counter()
        places, B = self._places(batch)
        tokens, count = np.zeros((B, chunk), np.int32), np.zeros(B, np.int32)
        for row, b in places:
            count[b] = min(chunk, row.target - row.cached)
            tokens[b, : count[b]] = row.tokens[row.cached : row.cached + count[b]]
        past = self._past(batch) if any(row.cached for row in batch) else 0
        rows, (tokens, counts) = self._batch(places, B), put_batch(self.mesh, (tokens, count))
        self._cache = programs.prefill(self.cfg, self._weights(), self._cache, past, rows, tokens, counts)
        for row, b in places:
            row.cached += int(count[b])
            row.table = self.pages[row.shard].insert(self._root(row), row.tokens[: row.cached], row.table)
        self._note("prefill", began, prefill_tokens=int(count.sum()))

    def _score(self, ready: list[_Row]) -> list[tuple[Ticket, Answer]]:
        """Reads out the next suffixes of as many rows as a batch holds; returns the requests that are through."""
        began = time.perf_counter()
        first = ready[0].request
        alike = [row for row in ready if bool(row.request.choices) == bool(first.choices)]
        todo = [self._branches(row) for row in alike]
        size = _bucket(self.sizes.chunks, max(len(branch) for branches in todo for branch in branches))
        n = _power(max(map(len, todo)), 2, max(1, self.sizes.batch_tokens // size))
        fit = max(1, self.sizes.batch_tokens // (n * size))
        taken: Counter[int] = Counter()
        batch: list[tuple[_Row, list[list[int]]]] = []
        for row, branches in zip(alike, todo, strict=True):
            if taken[row.shard] < fit:
                taken[row.shard] += 1
                batch.append((row, branches[:n]))
        out = self._read_out(batch, n, size)
        done = []
        for (row, branches), scores in zip(batch, out, strict=True):
            row.scores += scores
            self.counts["verdicts"] += len(branches)
            if len(row.scores) == len(row.request.suffixes):
                self._leave(row)
                done.append((row.ticket, row.scores))
        self._note("score", began)
        return done

    def _branches(self, row: _Row) -> list[list[int]]:
        """The suffixes still to be scored, each with the prefix's last token where that is not in the cache."""
        head = row.tokens[row.target :]
        return [[*head, *suffix] for suffix in row.request.suffixes[len(row.scores) :]]

    def _read_out(self, batch: Sequence[tuple[_Row, list[list[int]]]], n: int, size: int) -> Iterator[list[np.ndarray]]:
        """The scores of each row's branches: n branches of `size` tokens to a row."""
        places, B = self._places([row for row, _ in batch])
        tokens, length = np.zeros((B, n, size), np.int32), np.zeros((B, n), np.int32)
        targets = np.zeros((B, n, size), np.int32)
        n_choices = len(batch[0][0].request.choices)
        choices = np.zeros((B, max(map(len, (row.request.choices for row, _ in batch)))), np.int32)
        for (_, b), (row, branches) in zip(places, batch, strict=True):
            choices[b, : len(row.request.choices)] = row.request.choices
            for i, branch in enumerate(branches):
                tokens[b, i, : len(branch)], length[b, i] = branch, len(branch)
                targets[b, i, : len(branch) - 1] = branch[1:]
        past, rows = self._past([row for row, _ in batch]), self._batch(places, B)
        args = self.cfg, self._weights(), self._cache, past, rows, n
        flat = tokens.reshape(B, -1)
        if n_choices:
            out = programs.score_choices(*args, *put_batch(self.mesh, (flat, length, choices)))
        else:
            out = programs.score_tokens(*args, *put_batch(self.mesh, (flat, targets.reshape(B, -1))))
        logp = np.asarray(jax.device_get(out)).reshape(B, n, -1)
        for (_, b), (row, branches) in zip(places, batch, strict=True):
            ends = [len(row.request.choices) if n_choices else len(branch) - 1 for branch in branches]
            yield [logp[b, i, :end] for i, end in enumerate(ends)]

    def _decode(self) -> None:
        """One burst for every row whose prompt is cached."""
        began = time.perf_counter()
        budget = self._reserve()
        if not budget:
            return
        places, B = self._places(list(budget))
        word = lambda f, dtype=np.int32: _column(places, B, f, dtype)  # noqa: E731
        request = np.zeros((B, 2), np.uint32)
        stop = np.full((B, max(1, *(len(row.role.sampling.stop) for row in budget))), -1, np.int32)
        for row, b in places:
            request[b] = row.ticket.key, row.ticket.number
            stop[b, : len(row.role.sampling.stop)] = row.role.sampling.stop
        draws = programs.Draws(
            token_B=word(lambda row: row.tokens[-1]),
            request_BW=request,
            made_B=word(lambda row: row.made),
            budget_B=word(lambda row: budget[row]),
            stop_BE=stop,
            knobs=Knobs(
                word(lambda row: row.role.sampling.temperature, np.float32),
                word(lambda row: row.role.sampling.top_k),
                word(lambda row: row.role.sampling.top_p, np.float32),
            ),
            allowed_BV=None,
        )
        rows, past = self._batch(places, B), self._past(list(budget))
        seed, enough = put_replicated(self.mesh, (self.seed, np.int32(len(budget) - max(1, len(budget) // 4))))
        self._cache, burst = programs.decode(
            self.cfg,
            self._weights(),
            self._cache,
            past,
            self.sizes.burst,
            rows,
            put_batch(self.mesh, draws),
            seed,
            enough,
        )
        burst = jax.device_get(burst)
        for row, b in places:
            made = int(burst.made_B[b])
            row.tokens += burst.tokens[b, :made].tolist()
            row.logps.append(np.stack([burst.logp_full[b, :made], burst.logp_sampling[b, :made]]))
            row.cached += made
            row.target = row.cached
        steps = int(burst.made_B.max())
        self._note(
            "decode",
            began,
            decode_tokens=int(burst.made_B.sum()),
            decode_steps=steps,
            slot_steps=steps * self.sizes.slots * self.shards,
        )

    def _reserve(self) -> dict[_Row, int]:
        """Tokens that each decoding row may make in the next burst, with pages for them; where there are not enough,
        the youngest rows of the shard are pre-empted.
        """
        budget: dict[_Row, int] = {}
        for row in [row for row in self._rows if row.ready and isinstance(row.request, Generate)]:
            if row not in self._rows:
                continue  # pre-empted for an older one
            limit = row.request.max_tokens or row.role.sampling.max_tokens
            n = min(self.sizes.burst, limit - row.made)
            pages = self.pages[row.shard]
            while (fresh := pages.allocate(-(-(row.cached + n) // self.sizes.page) - len(row.table))) is None:
                youngest = [r for r in self._rows if r.shard == row.shard][-1]
                self._preempt(youngest)
                if youngest is row:
                    break
            else:
                row.table += fresh
                budget[row] = n
        return budget

    def _copy(self, copies: list[list[tuple[int, int]]]) -> None:
        n = _power(max(map(len, copies)), 4, self.sizes.slots)
        ids = np.zeros((2, self.shards, n), np.int32)
        for shard, pairs in enumerate(copies):
            for i, pair in enumerate(pairs):
                ids[:, shard, i] = pair
        self._cache = programs.copy_pages(self._cache, *put_batch(self.mesh, (ids[0], ids[1])))

    # ---- batches

    def _places(self, batch: Sequence[_Row]) -> tuple[list[tuple[_Row, int]], int]:
        """Each row with its index in a batch in which every shard has the same number of rows, and their number."""
        on = [[row for row in batch if row.shard == shard] for shard in range(self.shards)]
        each = _power(max(map(len, on)), 4, self.sizes.slots)
        place = {id(row): shard * each + i for shard, rows in enumerate(on) for i, row in enumerate(rows)}
        return [(row, place[id(row)]) for row in batch], each * self.shards

    def _batch(self, places: list[tuple[_Row, int]], B: int) -> programs.Rows:
        table = np.zeros((B, self.sizes.pasts[-1] // self.sizes.page), np.int32)
        for row, b in places:
            table[b, : len(row.table)] = row.table
        length = _column(places, B, lambda row: row.cached, np.int32)
        return put_batch(self.mesh, programs.Rows(table, length, self._ranks(places, B)))

    def _ranks(self, places: list[tuple[_Row, int]], B: int) -> np.ndarray | None:
        """Which ranks of the joined adapters each row uses, float32 [B, ranks]."""
        if not self._adapters:
            return None
        ranks = {name: lora.rank(adapter) for name, adapter in self._adapters.items()}
        owner = np.concatenate([np.full(rank, i) for i, rank in enumerate(ranks.values())])
        mask = np.zeros((B, len(owner)), np.float32)
        for row, b in places:
            if row.role.adapter is not None:
                mask[b] = owner == list(ranks).index(row.role.adapter)
        return mask

    def _past(self, batch: Sequence[_Row]) -> int:
        return _bucket(self.sizes.pasts, max(row.cached for row in batch))

    # ---- ends

    def _ended(self, row: _Row) -> bool:
        limit = row.request.max_tokens or row.role.sampling.max_tokens
        return row.made > 0 and (row.made >= limit or row.tokens[-1] in row.role.sampling.stop)

    def _completion(self, row: _Row) -> Completion:
        tokens = np.asarray(row.tokens[len(row.request.prompt) :], np.int32)
        full, sampling = np.concatenate(row.logps, axis=1)
        stopped = int(tokens[-1]) in row.role.sampling.stop
        return Completion(tokens, full, sampling, stopped, self._versions[row.role.adapter])

    def _note(self, program: str, began: float, **counts: int) -> None:
        if program == "prefill":
            jax.block_until_ready(self._cache)
        self.counts.update(counts)
        self.counts[f"{program}_calls"] += 1
        self.counts[f"{program}_seconds"] += time.perf_counter() - began


def _column(places: list[tuple[_Row, int]], B: int, f: Any, dtype: Any) -> np.ndarray:
    """One value per row of the batch; 0 for rows that only fill it."""
    out = np.zeros(B, dtype)
    for row, b in places:
        out[b] = f(row)
    return out


def _bucket(sizes: Sequence[int], n: int) -> int:
    """The smallest size that holds n."""
    return next(size for size in sizes if size >= n)


def _power(n: int, base: int, limit: int) -> int:
    """The smallest power of `base` that is at least n, or the limit where that is less."""
    size = 1
    while size < n:
        size *= base
    return min(size, limit)
