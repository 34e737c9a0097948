"""A request's choices while they grow: its jobs for the engine, and what may be shown of each choice so far."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np

from m2jax.sampler.requests import Alternatives, Completion, Dialogue, Failed, Generate, Score
from m2jax.serve import spell
from m2jax.serve.fields import Refused
from m2jax.serve.models import Served
from m2jax.serve.protocol import Ask, key_of
from m2jax.serve.worker import Job, Worker


@dataclasses.dataclass(frozen=True)
class Said:
    """A choice so far. text: without the echo. tokens: those it took, also of a stop string. whole: whether all of them
    have a part in the text, as they have at an end that is no stop string. finish: "stop" or "length", None while more
    is to come. alternatives: of the tokens, None where nobody asked.
    """

    choice: int
    text: str
    tokens: tuple[int, ...]
    whole: bool
    finish: str | None
    alternatives: Alternatives | None = None


class Batch:
    """The jobs of one request, on the event loop, for at most `seconds`. Of each the latest answer is kept, however
    slowly they are taken. `close` ends those that still run; it may be called at any time.
    """

    def __init__(self, worker: Worker, seconds: float) -> None:
        self._worker, self._loop, self._seconds = worker, asyncio.get_running_loop(), seconds
        self._until = self._loop.time() + seconds
        self._answers: dict[int, tuple[Any, bool]] = {}
        self._any = asyncio.Event()
        self._running: dict[int, Job] = {}

    def submit(self, i: int, dialogue: Dialogue, key: int, watched: bool) -> None:
        """Starts a job, whose answers come with its number i."""
        check_engine(self._worker)

        def keep(answer: Any, ended: bool) -> None:
            self._answers[i] = answer, ended
            self._any.set()

        def tell(answer: Any, ended: bool) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(keep, answer, ended)

        self._running[i] = Job(dialogue, key, watched, tell)
        self._worker.submit(self._running[i])

    async def next(self) -> tuple[int, Any, bool] | None:
        """(number, answer, whether it is the last) of a job that still runs; None where none does."""
        while self._running:
            try:
                await asyncio.wait_for(self._any.wait(), self._until - self._loop.time())
            except TimeoutError as error:
                message = f"the answer took more than {self._seconds:g} s"
                raise Refused(message, status=504, kind="server_error", code="timeout") from error
            i = next(iter(self._answers))
            answer, ended = self._answers.pop(i)
            if not self._answers:
                self._any.clear()
            if i not in self._running:
                continue
            if ended:
                del self._running[i]
            if isinstance(answer, Failed):
                raise self._refusal(answer)
            return i, answer, ended
        return None

    def _refusal(self, failed: Failed) -> Refused:
        if isinstance(failed.error, ValueError):
            return Refused(str(failed.error), code="invalid_value")
        check_engine(self._worker)
        logging.error("a request has failed\n%s", failed.traceback)
        return Refused("the request has failed", status=500, kind="server_error", code="failed")

    def drop(self, i: int) -> None:
        """Ends a job of which no more is wanted."""
        if job := self._running.pop(i, None):
            self._worker.cancel(job)

    def close(self) -> None:
        for i in list(self._running):
            self.drop(i)


def check_engine(worker: Worker) -> None:
    """`Refused` where the engine has failed."""
    if worker.error is not None:
        raise Refused("the engine has failed", status=503, kind="server_error", code="engine_failed", retry=5)


async def prompts_scored(served: Served, batch: Batch, ask: Ask) -> list[Alternatives | None]:
    """What else could have stood in the place of each prompt's tokens, but its first; None of a prompt of one token."""
    scored: list[Alternatives | None] = [None] * len(ask.prompts)
    for i, prompt in enumerate(ask.prompts):
        if len(prompt) > 1:
            batch.submit(i, score(ask.model, prompt, served.engine.sizes.chunks[-1] - 1), 0, False)
    while (come := await batch.next()) is not None:
        scored[come[0]] = come[1]
    return scored


def score(role: str, tokens: Sequence[int], most: int) -> Dialogue:
    """A dialogue that returns the `Alternatives` of all tokens but the first, at most `most` of them at a time."""
    parts = []
    for start in range(1, len(tokens), most):
        (part,) = yield Score(role, tokens[:start], [tokens[start : start + most]], alternatives=True)
        parts.append(part)
    return Alternatives(np.concatenate([p.ids for p in parts]), np.concatenate([p.logps for p in parts]))


async def spoken(served: Served, batch: Batch, ask: Ask) -> AsyncIterator[Said]:
    """Each choice as it grows, in streams and where stop strings have to be looked for; the last of each has `finish`.

    Choice i of prompt p is number p * n + i.
    """
    for number in range(ask.choices):
        prompt, most = ask.prompts[number // ask.n], ask.max_tokens[number // ask.n]
        if not most:
            yield Said(number, "", (), True, "length")
            continue
        request = Generate(ask.model, prompt, most, ask.schema, ask.sampling, ask.alternatives is not None)
        batch.submit(number, one(request), key_of(ask.seed, number), ask.stream or bool(ask.stop))
    while (come := await batch.next()) is not None:
        number, completion, ended = come
        said = _said(served, ask, number, completion, ended)
        if said.finish and not ended:
            batch.drop(number)
        yield said


def one(request: Generate) -> Dialogue:
    """A dialogue of one request."""
    return (yield request)


def _said(served: Served, ask: Ask, number: int, completion: Completion, ended: bool) -> Said:
    tokens = completion.tokens.tolist()
    cut = spell.cut(served.tokenizer, tokens, ask.stop, ended)
    finish = "stop" if cut.stopped or ended and completion.stopped else "length" if ended else None
    whole = ended and not cut.stopped
    return Said(number, cut.text, tuple(tokens[: cut.used]), whole, finish, completion.alternatives)
