"""A lane: one set of parameters, their cache, and the device work that keeps its rows busy.

A round admits waiting requests, computes prompts that are not cached yet (chunks of bounded size, so that a long
prompt does not stall the others), scores what is ready, and decodes a burst of steps for all rows that can. Rows that
finish leave and others enter between bursts. Shapes are few, since each is compiled: rows in powers of four,
the branches of a score in powers of two, chunks and pasts from `Sizes`.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from m2jax.models import lora
from m2jax.models.config import ModelConfig
from m2jax.models.params import Params
from m2jax.sampler import batches, cache, programs
from m2jax.sampler.grammar import Grammars
from m2jax.sampler.journal import Known
from m2jax.sampler.requests import Alternatives, Answer, Generate, Request, Role, Score
from m2jax.sampler.scheduler import Row, Scheduler, Sizes, Ticket, bucket, power
from m2jax.sharding import put_batch, put_replicated


class Lane:
    """Rows over one set of parameters. `seed` names the run's samples, as uint32. n_stops: the most stop tokens that a
    role has.
    """

    def __init__(
        self,
        cfg: ModelConfig,
        mesh: jax.sharding.Mesh,
        sizes: Sizes,
        dtype: Any,
        grammars: Grammars | None,
        n_stops: int,
    ) -> None:
        self.cfg, self.mesh, self.sizes, self.dtype, self.grammars = cfg, mesh, sizes, dtype, grammars
        self.n_stops = n_stops
        self.shards = mesh.shape["data"] * mesh.shape["fsdp"]
        self.scheduler = Scheduler(sizes, self.shards)
        self.counts = self.scheduler.counts
        self.seed = np.uint32(0)
        self._params: Params | None = None
        self._joined: Params | None = None
        self._adapters: dict[str, Any] = {}
        self._own_ranks: dict[str | None, np.ndarray] = {}  # by adapter, float32 [ranks of the joined ones]
        self._cache: Any = None

    # ---- weights

    def set_params(self, params: Params) -> None:
        """New parameters: every prefix computed with the old ones is forgotten."""
        for adapter in (None, *self._adapters):
            self.scheduler.renew(adapter)
        self._params, self._joined = params, None
        if self._cache is None:
            stacked = not isinstance(params["layers"], tuple)
            n_pages, page = self.sizes.n_pages * self.shards, self.sizes.page
            self._cache = cache.empty(self.cfg, n_pages, page, self.dtype, stacked=stacked)

    def set_adapter(self, name: str, adapter: Any) -> None:
        """A new adapter, or new values of one: only its own prefixes are forgotten."""
        self.scheduler.renew(name)
        self._adapters[name], self._joined = adapter, None
        owner = np.repeat([*self._adapters], [lora.rank(a) for a in self._adapters.values()])
        self._own_ranks = {name: (owner == name).astype(np.float32) for name in self._adapters}
        self._own_ranks[None] = np.zeros(len(owner), np.float32)

    def _weights(self) -> Params:
        if self._joined is None:
            adapters = list(self._adapters.values())
            self._joined = lora.attach(self._params, lora.join(adapters)) if adapters else self._params
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
            how = request.sampling or role.sampling
            prompt, new = len(request.prompt), request.max_tokens or how.max_tokens
            if len(how.stop) > self.n_stops:
                raise ValueError(f"{len(how.stop)} stop tokens are more than a role of the engine has, {self.n_stops}")
            if not prompt or prompt + new - 1 > limit:
                raise ValueError(
                    f"a prompt of {prompt} tokens with up to {new} new ones does not fit: the cache holds 1 to "
                    f"{limit + 1} tokens of a request; shorten one of them, or raise the engine's pasts"
                )
            if request.schema is not None:
                if self.grammars is None:
                    raise ValueError("the engine was made without grammars; a Generate with a schema needs them")
                self.grammars.check(request.schema, new)
            return
        if request.alternatives and request.choices:
            raise ValueError("a Score gives the log-probabilities of choices, or alternatives: ask twice for both")
        if not request.suffixes:
            raise ValueError("a Score without suffixes asks nothing; give at least one, which may be empty")
        longest = max(map(len, request.suffixes))
        if not request.prefix or len(request.prefix) > limit or longest + 1 > self.sizes.chunks[-1]:
            raise ValueError(
                f"a prefix of {len(request.prefix)} tokens with a suffix of {longest} does not fit: the engine takes "
                f"prefixes of 1 to {limit} and suffixes below {self.sizes.chunks[-1]}; shorten them, or raise pasts or "
                "chunks"
            )

    def submit(self, ticket: Ticket, request: Request, role: Role, known: Known) -> Answer | None:
        """Queues a request that `check` has passed, with what it is known to be answered; the answer where that is
        all.
        """
        if isinstance(request, Generate):
            tokens = [*(int(t) for t in request.prompt), *known.tokens]
            target = len(tokens) - 1
        else:
            tokens = [int(t) for t in request.prefix]
            # where tokens are scored, the first is predicted by the prefix's last, which then begins every branch
            target = len(tokens) - (not request.choices or not all(map(len, request.suffixes)))
        row = Row(ticket, request, role, tokens, target, scores=list(known.scores))
        if known.tokens:
            row.logps.append(np.float32(known.logps))
        if isinstance(request, Generate) and request.schema is not None:
            row.constraint = self.grammars.start(request.schema, row.limit)
            for token in known.tokens:
                row.constraint.take(token)
        if row.ended:
            return self._answer(row)
        self.scheduler.submit(row)
        return None

    def in_flight(self) -> list[tuple[Ticket, Answer]]:
        """What the requests in the lane have been answered so far."""
        return [(row.ticket, self._answer(row)) for row in self.scheduler.in_flight() if row.logps or row.scores]

    def round(self) -> list[tuple[Ticket, Answer | ValueError]]:
        """One round of device work; returns what it finished, a ValueError where a grammar gave up."""
        done: list[tuple[Ticket, Answer | ValueError]] = []
        rows = self.scheduler.rows
        self._admit()
        # full batches decode fastest, so prompts come first; but at most a largest chunk for each slot
        room = self.sizes.slots * self.shards * self.sizes.chunks[-1]
        while (batch := self.scheduler.pick_prefill()) and room > 0:
            room -= self._prefill(*batch)
            self._admit()
        while batch := [row for row in rows if row.ready and isinstance(row.request, Score)]:
            done += self._score(batch)
        self._decode()
        for row in [row for row in rows if row.ended]:
            self.scheduler.leave(row)
            done.append((row.ticket, self._answer(row)))
        return done

    # ---- device work

    def warm_up(self, choices: Sequence[int], tell: Callable[[int, int], None]) -> None:
        """Runs every shape of every program once, on rows that only fill a batch, so that nothing compiles later but
        what gives alternatives.

        choices: how many choices the scores to come will have; 0 where tokens are scored. tell: is told how many of the
        programs, of how many, are there.
        """
        programs_ = list(self._warming(choices))
        for i, run in enumerate(programs_, start=1):
            run()
            tell(i, len(programs_))

    def _warming(self, choices: Sequence[int]) -> Iterator[Callable[[], None]]:
        sizes = self.sizes

        def sizes_of(tokens: int) -> list[int]:
            limit = min(sizes.rows_of(tokens), sizes.slots)
            return sorted({power(n, 4, limit) * self.shards for n in range(1, limit + 1)})

        def copy(n: int) -> None:
            page_0 = np.zeros((self.shards, n), np.int32)
            self._cache = programs.copy_pages(self._cache, *put_batch(self.mesh, (page_0, page_0)))

        def prefill(B: int, chunk: int, past: int) -> None:
            inputs = put_batch(self.mesh, (np.zeros((B, chunk), np.int32), np.zeros(B, np.int32)))
            self._cache = programs.prefill(self.cfg, self._weights(), self._cache, past, self._batch([], B), *inputs)

        def read_out(B: int, chunk: int, past: int, n: int, n_choices: int) -> None:
            blank = np.zeros((B, n, chunk), np.int32)
            self._read_out(self._batch([], B), past, blank, blank[..., 0], blank, blank[:, 0, :n_choices], False)

        for n in sorted({power(n, 4, sizes.slots) for n in range(1, sizes.slots + 1)}):
            yield functools.partial(copy, n)
            for past, constrained in itertools.product(self._decode_pasts(), {False, self.grammars is not None}):
                yield functools.partial(self._burst, [], n * self.shards, past, {}, constrained, False)
        for chunk, past in itertools.product(sizes.chunks, sizes.pasts):
            for B in sizes_of(chunk):
                yield functools.partial(prefill, B, chunk, past)
            for n_choices in choices if past else ():  # a score takes a page at least
                for n in sorted({power(n, 2, sizes.rows_of(chunk)) for n in range(1, sizes.rows_of(chunk) + 1)}):
                    for B in sizes_of(n * chunk):
                        yield functools.partial(read_out, B, chunk, past, n, n_choices)

    def _admit(self) -> None:
        copies = self.scheduler.admit()
        if any(copies):
            n = power(max(map(len, copies)), 4, self.sizes.slots)
            ids = np.zeros((2, self.shards, n), np.int32)
            for shard, pairs in enumerate(copies):
                for i, pair in enumerate(pairs):
                    ids[:, shard, i] = pair
            self._cache = programs.copy_pages(self._cache, *put_batch(self.mesh, (ids[0], ids[1])))

    def _prefill(self, batch: list[Row], chunk: int) -> int:
        """Computes a chunk of each row; returns how many tokens that were."""
        began = time.perf_counter()
        places, B = self._places(batch, min(self.sizes.rows_of(chunk), self.sizes.slots))
        tokens, count = np.zeros((B, chunk), np.int32), np.zeros(B, np.int32)
        for row, b in places:
            count[b] = min(chunk, row.target - row.cached)
            tokens[b, : count[b]] = row.tokens[row.cached : row.cached + count[b]]
        past = bucket(self.sizes.pasts, max(row.cached for row in batch))
        rows, (tokens, counts) = self._batch(places, B), put_batch(self.mesh, (tokens, count))
        self._cache = programs.prefill(self.cfg, self._weights(), self._cache, past, rows, tokens, counts)
        for row, b in places:
            self.scheduler.advance(row, int(count[b]))
        self._note("prefill", began, prefill_tokens=int(count.sum()))
        return int(count.sum())

    def _score(self, ready: list[Row]) -> list[tuple[Ticket, Answer]]:
        """Reads out the next suffixes of as many rows as a batch holds; returns the requests that are through."""
        began = time.perf_counter()
        n_choices, wide = len(ready[0].request.choices), ready[0].request.alternatives
        alike = [r for r in ready if len(r.request.choices) == n_choices and r.request.alternatives == wide]
        todo = [self._branches(row) for row in alike]
        size = bucket(self.sizes.chunks, max(len(branch) for branches in todo for branch in branches))
        n = power(max(map(len, todo)), 2, self.sizes.rows_of(size))
        fit = min(self.sizes.rows_of(n * size), self.sizes.slots)
        taken: Counter[int] = Counter()
        batch: list[Row] = []
        for row in alike:
            if taken[row.shard] < fit:
                taken[row.shard] += 1
                batch.append(row)
        places, B = self._places(batch, fit)
        tokens, length = np.zeros((B, n, size), np.int32), np.zeros((B, n), np.int32)
        targets, choices = np.zeros((B, n, size), np.int32), np.zeros((B, n_choices), np.int32)
        for row, b in places:
            choices[b] = row.request.choices
            for i, branch in enumerate(self._branches(row)[:n]):
                tokens[b, i, : len(branch)], length[b, i] = branch, len(branch)
                targets[b, i, : len(branch) - 1] = branch[1:]
        past = bucket(self.sizes.pasts, max(1, *(row.cached for row in batch)))
        ids, logp = self._read_out(self._batch(places, B), past, tokens, length, targets, choices, wide)
        done = []
        for row, b in places:
            branches = self._branches(row)[:n]
            for i, branch in enumerate(branches):
                at = b, i, slice(n_choices or len(branch) - 1)
                row.scores.append(logp[at] if ids is None else Alternatives(ids[at], logp[at]))
            self.counts["verdicts"] += len(branches) * bool(n_choices)
            if row.ended:
                self.scheduler.leave(row)
                done.append((row.ticket, self._answer(row)))
        self._note("score", began)
        return done

    def _branches(self, row: Row) -> list[list[int]]:
        """The suffixes still to be scored, each with the prefix's last token where that is not in the cache."""
        head = row.tokens[row.target :]
        return [[*head, *suffix] for suffix in row.request.suffixes[len(row.scores) :]]

    def _read_out(
        self,
        rows: programs.Rows,
        past: int,
        tokens: np.ndarray,
        length: np.ndarray,
        targets: np.ndarray,
        choices: np.ndarray,
        wide: bool,
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Log-probabilities [B, n, ...] of n branches a row: tokens, targets [B, n, S], length [B, n], choices [B, C];
        where there are choices, theirs after each branch, else the targets'. wide: with alternatives of the targets,
        [B, n, S, 1 + K], and first their ids, else None.
        """
        args = self.cfg, self._weights(), self._cache, past, rows, tokens.shape[1]
        B = len(tokens)
        if choices.shape[1]:
            out = programs.score_choices(*args, *put_batch(self.mesh, (tokens.reshape(B, -1), length, choices)))
        else:
            flat = put_batch(self.mesh, (tokens.reshape(B, -1), targets.reshape(B, -1)))
            if wide:
                out = jax.device_get(programs.score_alternatives(*args, *flat))
                return tuple(np.asarray(x).reshape(*tokens.shape, -1) for x in out)
            out = programs.score_tokens(*args, *flat)
        return None, np.asarray(jax.device_get(out)).reshape(*tokens.shape[:2], -1)

    def _decode(self) -> None:
        """Bursts for every row whose prompt is cached: one for those without a grammar; and for those in whose next
        token one has a say, bursts of one step, as many as the others have made.
        """
        budget = self.scheduler.reserve(self.sizes.burst)
        free = {row: n for row, n in budget.items() if row.constraint is None}
        bound = {row: n for row, n in budget.items() if row.constraint is not None}
        steps = self._decode_burst(free, False) if free else 1
        for _ in range(steps if bound else 0):
            if going := {row: n for row, n in bound.items() if not row.ended}:
                self._decode_burst(going, True)

    def _decode_burst(self, budget: dict[Row, int], constrained: bool) -> int:
        """A burst for the rows of `budget`; returns how many tokens the longest of them made."""
        began = time.perf_counter()
        wide = any(row.request.alternatives for row in budget)
        places, B = self._places(list(budget), self.sizes.slots)
        past = bucket(self._decode_pasts(), max(1, *(row.cached for row in budget)))
        burst = self._burst(places, B, past, budget, constrained, wide)
        for row, b in places:
            made = int(burst.made_B[b])
            row.tokens += burst.tokens[b, :made].tolist()
            row.logps.append(np.stack([burst.logp_full[b, :made], burst.logp_sampling[b, :made]]))
            if row.request.alternatives:
                row.alternatives.append(Alternatives(burst.ids[b, :made], burst.logps[b, :made]))
            row.cached += made
            row.target = row.cached
            if row.constraint:
                row.constraint.take(row.tokens[-1])
        steps = int(burst.made_B.max())
        slot_steps = steps * self.sizes.slots * self.shards
        self._note("decode", began, decode_tokens=int(burst.made_B.sum()), slot_steps=slot_steps)
        return steps

    def _decode_pasts(self) -> tuple[int, ...]:
        """The sizes of past that decode is compiled for; the ragged kernel reads what there is, whatever the size."""
        pasts = self.sizes.pasts
        return pasts[-1:] if cache.is_ragged(self._cache) else tuple(past for past in pasts if past)

    def _burst(
        self, places: batches.Places, B: int, past: int, budget: dict[Row, int], constrained: bool, wide: bool
    ) -> programs.Burst:
        """Runs a burst in which each row makes at most its budget; ends early once a quarter of the rows has ended."""
        steps = 1 if constrained else self.sizes.burst
        each = {row: min(n, steps) for row, n in budget.items()}
        draws = batches.draws_of(places, B, each, self.n_stops, self.cfg.vocab_size, constrained)
        enough = np.int32(max(0, len(budget) - max(1, len(budget) // 4)))
        seed, enough = put_replicated(self.mesh, (self.seed, enough))
        self._cache, burst = programs.decode(
            self.cfg, self._weights(), self._cache, past, steps, self._batch(places, B),
            put_batch(self.mesh, draws), seed, enough, with_alternatives=wide,
        )  # fmt: skip
        return jax.device_get(burst)

    def _places(self, batch: Sequence[Row], limit: int) -> tuple[batches.Places, int]:
        return batches.places_of(batch, self.shards, limit)

    def _batch(self, places: batches.Places, B: int) -> programs.Rows:
        pages = self.sizes.pasts[-1] // self.sizes.page
        return put_batch(self.mesh, batches.rows_of(places, B, pages, self._own_ranks))

    def _answer(self, row: Row) -> Answer | ValueError:
        return batches.answer_of(row, self.scheduler.version(row.role.adapter))

    def _note(self, program: str, began: float, **counts: int) -> None:
        if program == "prefill":
            jax.block_until_ready(self._cache)
        self.counts.update(counts)
        self.counts[f"{program}_seconds"] += time.perf_counter() - began
