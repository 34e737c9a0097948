"""The engine: dialogues in, their results out. One continuously batching sampler for every role.

A dialogue is a plain Python generator that yields requests and is resumed with answers; any number run at once. Every
set of parameters has a lane (`lane.Lane`) with its own pages; the engine takes the lanes in turn, one round of
device work each. All of it is deterministic: a sample depends on (seed, the dialogue's key, which request of the
dialogue it is, position), and on nothing that happens beside it. A role may also be an endpoint outside: it is asked
in threads while the devices work (`outside.Outside`).

`run` takes a closed set of dialogues to their ends. It is written on what a server uses one by one: `begin`, `submit`
(at any time, while others are running), `step` (one round of device work), `partial` and `cancel`.
"""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from m2jax import sharding
from m2jax.models import lora, params
from m2jax.models.config import ModelConfig
from m2jax.models.params import Params
from m2jax.outside.answers import Answers
from m2jax.outside.endpoint import Endpoint, EndpointDown
from m2jax.sampler.grammar import Grammars
from m2jax.sampler.journal import Journal, Known
from m2jax.sampler.lane import Lane
from m2jax.sampler.outside import Outside
from m2jax.sampler.requests import Answer, Chat, Dialogue, Failed, Request, Role, Unanswered
from m2jax.sampler.scheduler import Sizes, Ticket


@dataclasses.dataclass
class _Running:
    """A dialogue in flight: the answers it waits for, and how many requests it has made."""

    number: int
    dialogue: Dialogue
    key: int
    answers: list[Answer | ValueError | None] = dataclasses.field(default_factory=list)
    many: bool = False
    made: int = 0


class Engine:
    """Serves `roles` on `mesh`, which may be another arrangement of the learner's devices: serving wants whole weights
    near the rows, learning wants them spread. grammars: for requests with a schema. answers: where what endpoints say
    is kept (None: `outside.answers.default_path`). ValueError where an endpoint's key is missing.
    """

    def __init__(
        self,
        cfg: ModelConfig,
        mesh: jax.sharding.Mesh,
        sizes: Sizes,
        roles: dict[str, Role | Endpoint],
        dtype: Any = jnp.float32,
        grammars: Grammars | None = None,
        answers: Answers | None = None,
    ) -> None:
        self.cfg, self.mesh, self.sizes, self.dtype = cfg, mesh, sizes, dtype
        self.outside = Outside({name: e for name, e in roles.items() if isinstance(e, Endpoint)}, answers)
        self.roles = {name: role for name, role in roles.items() if isinstance(role, Role)}
        n_stops = max([1, *(len(role.sampling.stop) for role in self.roles.values())])
        self.lanes = {
            name: Lane(cfg, mesh, sizes, dtype, grammars, n_stops)
            for name in sorted({role.params for role in self.roles.values()})
        }
        self.seconds = self.handover_seconds = 0.0
        self._running: dict[int, _Running] = {}
        self._ended: dict[int, Any] = {}  # results that no `step` has returned yet
        self._submitted = 0
        self._journal: Journal | None = None

    def update(self, name: str, weights: Params | Any) -> None:
        """Hands over parameters, or an adapter, by the name that roles use; on the device, and nothing is copied where
        dtype and mesh are already the engine's. What was cached under the old ones is forgotten, the rest stays.
        """
        began = time.perf_counter()
        serving = {role.params for role in self.roles.values() if role.adapter == name}
        if name not in self.lanes and not serving:
            known = sorted({*self.lanes, *(r.adapter for r in self.roles.values() if r.adapter)})
            raise ValueError(f"no role uses weights named {name!r}; roles use {', '.join(known)}")
        weights = jax.tree.map(lambda w: w if w.dtype == self.dtype else w.astype(self.dtype), weights)
        if getattr(jax.tree.leaves(weights)[0].sharding, "mesh", None) != self.mesh:
            layers, of = (weights["layers"], params) if name in self.lanes else (weights, lora)
            axes = of.logical_axes(self.cfg, stacked=not isinstance(layers, tuple))
            weights = jax.device_put(weights, sharding.shardings(self.mesh, axes, weights, sharding.Rules()))
        with jax.set_mesh(self.mesh):
            if name in self.lanes:
                self.lanes[name].set_params(weights)
            for lane in serving:
                self.lanes[lane].set_adapter(name, weights)
        jax.block_until_ready(weights)
        self.handover_seconds += time.perf_counter() - began

    def warm_up(self, choices: Sequence[int] = (), tell: Callable[[int, int], None] = lambda i, n: None) -> None:
        """Compiles every shape that can come up, once all weights are handed over; a run then never waits for XLA,
        unless it asks for alternatives.

        choices: how many choices the scores to come will have; 0 where tokens are scored. tell: is told how many of a
        lane's programs, of how many, are there.
        """
        with jax.set_mesh(self.mesh):
            for lane in self.lanes.values():
                lane.warm_up(choices, tell)

    def forget(self) -> None:
        """Empties the prefix caches: what runs next is then, to the bit, what it would be in a fresh process."""
        for lane in self.lanes.values():
            lane.scheduler.forget()

    def run(
        self,
        dialogues: Sequence[Dialogue],
        *,
        seed: int = 0,
        keys: Sequence[int] | None = None,
        journal: Journal | None = None,
    ) -> list[Any]:
        """Runs the dialogues to their ends; returns what each returned, or `Failed`, in order.

        keys: uint32, one per dialogue, names its samples (None: its index). What a dialogue raises ends that dialogue;
        a request that can never fit, or that an endpoint refuses, is raised in it as ValueError. journal: where the
        answers are kept from time to time, and taken from where it already has them. Raises EndpointDown where an
        endpoint stays silent; all that was answered is kept, in the journal and in the endpoints' answers, and the
        engine is not to be used again.
        """
        self.begin(seed=seed, journal=journal)
        results: dict[int, Any] = {}
        try:
            for dialogue, key in zip(dialogues, range(len(dialogues)) if keys is None else keys, strict=True):
                self.submit(dialogue, key)
            while len(results) < len(dialogues):
                results |= self.step()
                if journal and journal.due:
                    self._keep(journal)
        except EndpointDown:
            if journal and journal.writes:
                self._keep(journal)
            raise
        finally:
            for number in list(self._running):  # where it was broken off
                self.cancel(number)
            self._journal = None
            self.outside.close()
        return [results[i] for i in range(len(dialogues))]

    # ---- one by one

    def begin(self, *, seed: int = 0, journal: Journal | None = None) -> None:
        """Dialogues are counted from 0 again, and `seed` names the samples of those that are submitted from here on.
        RuntimeError while any is in flight.
        """
        if self._running:
            raise RuntimeError(f"{len(self._running)} dialogues are in flight: `begin` waits for their ends")
        self._submitted, self._journal, self._ended = 0, journal, {}
        self.outside.seed = seed
        for lane in self.lanes.values():
            lane.seed = np.uint32(seed)

    def submit(self, dialogue: Dialogue, key: int) -> int:
        """Starts a dialogue beside those in flight; its number, by which `step` will return its result. key: uint32,
        names its samples.
        """
        began = time.perf_counter()
        number, self._submitted = self._submitted, self._submitted + 1
        state = self._running[number] = _Running(number, dialogue, int(key))
        self._resume(state, None)
        self.seconds += time.perf_counter() - began
        return number

    def step(self) -> dict[int, Any]:
        """One round of device work; by number, what dialogues that have ended since the last step returned, or
        `Failed`.
        """
        began = time.perf_counter()
        for ticket, answer in self._round() if self._running else ():
            state = self._running[ticket.dialogue]
            state.answers[ticket.place] = answer
            if all(a is not None for a in state.answers):
                self._resume(state, state.answers)
        self.seconds += time.perf_counter() - began
        ended, self._ended = self._ended, {}
        return ended

    def partial(self) -> list[tuple[Ticket, Answer]]:
        """What requests in flight have been answered so far, those without a token or score left out."""
        return [entry for lane in self.lanes.values() for entry in lane.in_flight()]

    def cancel(self, number: int) -> None:
        """Ends a dialogue that nobody waits for any more, if it has not ended: its slots and pages are free at once,
        and no `step` returns it.
        """
        if state := self._running.pop(number, None):
            for lane in self.lanes.values():
                lane.scheduler.cancel(number)
            self.outside.cancel(number)
            state.dialogue.close()
        self._ended.pop(number, None)

    def stats(self) -> dict[str, float]:
        """Sums over the lanes since the last call: tokens, hits, pre-emptions, verdicts, and seconds in each program;
        `host_seconds` is what `run` spent outside them, dialogues included.
        """
        total: dict[str, float] = {}
        for counts in (*(lane.counts for lane in self.lanes.values()), self.outside.counts()):
            for name, value in counts.items():
                total[name] = total.get(name, 0) + value
            counts.clear()
        in_programs = sum(value for name, value in total.items() if name.endswith("_seconds"))
        total |= {"seconds": self.seconds, "host_seconds": self.seconds - in_programs}
        total["handover_seconds"] = self.handover_seconds
        self.seconds = self.handover_seconds = 0.0
        return total

    def _round(self) -> list[tuple[Ticket, Answer | ValueError]]:
        """One round of every lane's device work, and what endpoints have said meanwhile; where no lane has any work,
        a moment's wait for them.
        """
        done: list[tuple[Ticket, Answer | ValueError]] = []
        for lane in self.lanes.values():
            with jax.set_mesh(self.mesh):
                done += lane.round()
        self._note(done)  # before an endpoint may be found down: their rows have left the lanes
        busy = bool(done) or any(lane.scheduler.in_flight() for lane in self.lanes.values())
        said = self.outside.round(wait=not busy)
        self._note(said)
        return done + said

    def _note(self, answers: Sequence[tuple[Ticket, Answer | ValueError]]) -> None:
        for ticket, answer in answers if self._journal else ():
            if not isinstance(answer, ValueError):
                self._journal.add(ticket, answer)

    def _keep(self, journal: Journal) -> None:
        """Writes what there is to the journal, unfinished replies too."""
        for ticket, answer in self.partial():
            journal.add(ticket, answer)
        journal.flush()

    def _resume(self, state: _Running, answers: list[Answer | ValueError | None] | None) -> None:
        """Gives a dialogue its answers and takes its next requests, until it waits or ends."""
        value: Any = None if answers is None else answers if state.many else answers[0]
        failed = next((a for a in answers or () if isinstance(a, ValueError)), None)
        throw: Exception | None = failed and Unanswered(failed, answers)
        while True:
            try:
                asked = state.dialogue.throw(throw) if throw else state.dialogue.send(value)
            except StopIteration as end:
                self._end(state, end.value)
                return
            except Exception as error:  # the dialogue's own affair: it is reported, the others go on
                self._end(state, Failed(error, traceback.format_exc()))
                return
            state.many = isinstance(asked, list)
            requests = asked if state.many else [asked]
            try:
                placed = [self._place(request) for request in requests]
            except ValueError as error:
                throw = error
                continue
            state.answers = []
            for place, (request, (lane, role)) in enumerate(zip(requests, placed, strict=True)):
                ticket = Ticket(state.number, state.made, place, state.key)
                known = self._journal.known(ticket) if self._journal else Known()
                state.answers.append(lane.submit(ticket, request, role, known))
                state.made += 1
            if any(answer is None for answer in state.answers):
                return
            value, throw = state.answers if state.many else state.answers[0], None

    def _end(self, state: _Running, result: Any) -> None:
        self._ended[state.number] = result
        del self._running[state.number]

    def _place(self, request: Request) -> tuple[Lane | Outside, Role | Endpoint]:
        """Who serves a request, and its role; ValueError where it cannot be served."""
        role = self.roles.get(request.role) or self.outside.endpoints.get(request.role)
        if role is None:
            known = ", ".join([*self.roles, *self.outside.endpoints])
            raise ValueError(f"role {request.role!r} is not known; roles: {known}")
        if isinstance(request, Chat) != isinstance(role, Endpoint):
            where, take = (
                ("an endpoint", "Chat") if isinstance(role, Endpoint) else ("served here", "Generate and Score")
            )
            raise ValueError(f"role {request.role!r} is {where}: it takes {take}, not {type(request).__name__}")
        lane = self.outside if isinstance(role, Endpoint) else self.lanes[role.params]
        lane.check(request, role)
        return lane, role
