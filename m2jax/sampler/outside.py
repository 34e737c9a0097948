"""Roles outside: takes `Chat` requests as a lane takes those that the devices serve, and brings the answers back.

Under several processes the first one asks; in every round it tells the others what has come, so that all resume the
same dialogues with the same answers in the same order.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping

from m2jax import distributed
from m2jax.outside.answers import Answers, default_path, from_json, to_json
from m2jax.outside.client import Client, Outcome
from m2jax.outside.endpoint import Endpoint, EndpointDown, Said, payload
from m2jax.sampler.journal import Known
from m2jax.sampler.requests import Chat
from m2jax.sampler.scheduler import Ticket

WAIT = 0.2  # seconds for a first answer where there is nothing else to do


class Outside:
    """The endpoints by their roles. `seed` names the run's samples. Only the first process has clients."""

    def __init__(self, endpoints: Mapping[str, Endpoint], answers: Answers | None) -> None:
        self.endpoints, self.seed = dict(endpoints), 0
        self._clients: dict[str, Client] = {}
        self._pending: dict[tuple[int, int], Ticket] = {}  # by dialogue and number
        self._waited = 0.0
        if endpoints and distributed.is_first():
            answers = answers or Answers(default_path())
            self._clients = {name: Client(endpoint, answers) for name, endpoint in endpoints.items()}

    def check(self, request: Chat, endpoint: Endpoint) -> None:
        """ValueError where a request can never be served."""
        payload(endpoint, request.messages, request.max_tokens, request.schema, 0)

    def submit(self, ticket: Ticket, request: Chat, endpoint: Endpoint, known: Known) -> Said | None:
        """Asks what `check` has passed; the answer where it is known."""
        if known.said is not None:
            return known.said
        at = ticket.dialogue, ticket.number
        self._pending[at] = ticket
        if request.role in self._clients:
            seed = _seed(self.seed, ticket)
            body = payload(endpoint, request.messages, request.max_tokens, request.schema, seed)
            self._clients[request.role].submit(at, body)
        return None

    def round(self, *, wait: bool) -> list[tuple[Ticket, Said | ValueError]]:
        """What has been answered since the last round, older dialogues first; EndpointDown where nothing will be.

        wait: for the first answer, `WAIT` seconds at most.
        """
        if not self._pending:
            return []
        began = time.perf_counter()
        come = [
            [*at, *_written(outcome)]
            for client in self._clients.values()
            for at, outcome in client.collect(WAIT / len(self._clients) if wait else 0.0)
        ]
        come = sorted(distributed.from_first(come), key=lambda entry: entry[:2])
        self._waited += time.perf_counter() - began
        for _, _, kind, what in come:
            if kind == "down":
                raise EndpointDown(what)
        return [
            (self._pending.pop((dialogue, number)), from_json(what) if kind == "said" else ValueError(what))
            for dialogue, number, kind, what in come
            if (dialogue, number) in self._pending
        ]

    def cancel(self, dialogue: int) -> None:
        """What the dialogue still waits for is not brought to it."""
        self._pending = {at: ticket for at, ticket in self._pending.items() if at[0] != dialogue}

    def counts(self) -> Counter[str]:
        """Since the last call, in this process: outside_requests, _cached, _retries, _prompt_tokens, _answer_tokens and
        _cost of all endpoints, and the seconds that `round` took.
        """
        total: Counter[str] = Counter()
        for client in self._clients.values():
            total.update({f"outside_{name}": value for name, value in client.counts.items()})
            client.counts.clear()
        if self._waited:
            total["outside_wait_seconds"] = self._waited
        self._waited = 0.0
        return total

    def close(self) -> None:
        """Ends what is still asked; paid answers on their way are kept."""
        for client in self._clients.values():
            client.close()
        self._pending.clear()


def _written(outcome: Outcome) -> tuple[str, object]:
    match outcome:
        case Said():
            return "said", to_json(outcome)
        case EndpointDown():
            return "down", str(outcome)
        case _:
            return "refused", str(outcome)


def _seed(seed: int, ticket: Ticket) -> int:
    """Below 2**31, the sample's own: of the run's seed, the dialogue's key and the request's number in it."""
    text = f"{seed} {ticket.key} {ticket.number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
