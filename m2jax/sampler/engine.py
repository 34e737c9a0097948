"""The engine: dialogues in, their results out. One continuously batching sampler for every role.

A dialogue is a plain Python generator that yields requests and is resumed with answers; any number run at once. Every
set of parameters has a lane (`lane.Lane`) with its own pages; the engine takes the lanes in turn, one round of
device work each. All of it is deterministic: a sample depends on (seed, the dialogue's key, which request of the
dialogue it is, position), and on nothing that happens beside it. A role may also be an endpoint outside: it is asked
in threads while the devices work (`outside.Outside`).
"""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Sequence
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
from m2jax.sampler.requests import Answer, Chat, Dialogue, Failed, Request, Role
from m2jax.sampler.scheduler import Sizes, Ticket


@dataclasses.dataclass
class _Running:
    """A dialogue in flight: the answers it waits for, and how many requests it has made."""

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

    def warm_up(self, choices: Sequence[int] = ()) -> None:
        """Compiles every shape that can come up, once all weights are handed over; a run then never waits for XLA.

        choices: how many choices the scores to come will have; 0 where tokens are scored.
        """
        with jax.set_mesh(self.mesh):
            for lane in self.lanes.values():
                lane.warm_up(choices)

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
        began = time.perf_counter()
        keys = range(len(dialogues)) if keys is None else keys
        self.outside.seed = seed
        running = {i: _Running(d, int(k)) for i, (d, k) in enumerate(zip(dialogues, keys, strict=True))}
        results: list[Any] = [None] * len(dialogues)
        for lane in self.lanes.values():
            lane.seed = np.uint32(seed)
        try:
            for i in list(running):
                self._resume(i, running, results, None, journal)
            while running:
                for ticket, answer in self._round():
                    if journal and not isinstance(answer, ValueError):
                        journal.add(ticket, answer)
                    i, place = ticket.dialogue, ticket.place
                    running[i].answers[place] = answer
                    if all(a is not None for a in running[i].answers):
                        self._resume(i, running, results, running[i].answers, journal)
                if journal and journal.due:
                    self._keep(journal)
        except EndpointDown:
            if journal and journal.writes:
                self._keep(journal)
            raise
        finally:
            self.outside.close()
        self.seconds += time.perf_counter() - began
        return results

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
        busy = bool(done) or any(lane.scheduler.in_flight() for lane in self.lanes.values())
        return done + self.outside.round(wait=not busy)

    def _keep(self, journal: Journal) -> None:
        """Writes what there is to the journal, unfinished replies too."""
        for lane in self.lanes.values():
            for ticket, answer in lane.in_flight():
                journal.add(ticket, answer)
        journal.flush()

    def _resume(
        self,
        i: int,
        running: dict[int, _Running],
        results: list[Any],
        answers: list[Answer | ValueError | None] | None,
        journal: Journal | None,
    ) -> None:
        """Gives dialogue i its answers and takes its next requests, until it waits or ends."""
        state = running[i]
        value: Any = None if answers is None else answers if state.many else answers[0]
        throw: Exception | None = next((a for a in answers or () if isinstance(a, ValueError)), None)
        while True:
            try:
                asked = state.dialogue.throw(throw) if throw else state.dialogue.send(value)
            except StopIteration as end:
                results[i] = end.value
                del running[i]
                return
            except Exception as error:  # the dialogue's own affair: it is reported, the others go on
                results[i] = Failed(error, traceback.format_exc())
                del running[i]
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
                ticket = Ticket(i, state.made, place, state.key)
                known = journal.known(ticket) if journal else Known()
                state.answers.append(lane.submit(ticket, request, role, known))
                state.made += 1
            if any(answer is None for answer in state.answers):
                return
            value, throw = state.answers if state.many else state.answers[0], None

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
