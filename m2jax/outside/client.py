"""Asks an endpoint: several requests at once, each until it has an answer or patience ends.

Work goes on in threads; `submit` and `collect` are called by one thread, which never waits longer than it says.
A failure that may pass (no connection, no answer in time, a body cut short, status 408, 409, 425, 429 or 5xx) is tried
again after a pause that doubles and is shortened at random, or after the server's Retry-After where that is longer. One
that says that the question itself cannot be answered (400, 413, 422) is that question's alone. Any other, or patience
at its end, means that the endpoint is down, and ends all that is still asked of it.
"""

from __future__ import annotations

import dataclasses
import email.utils
import json
import queue
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2

from m2jax.outside.answers import Answers
from m2jax.outside.endpoint import Endpoint, EndpointDown, Said, name_of, parse

PASSING = {408, 409, 425, 429}
REFUSED = {400, 413, 422}
LONGEST_PAUSE = 60.0  # seconds

Outcome = Said | ValueError | EndpointDown


class Client:
    """Asks `endpoint`, and looks in `answers` first. `counts`: requests, cached, retries, prompt_tokens,
    answer_tokens, cost. ValueError where the key is missing.
    """

    def __init__(self, endpoint: Endpoint, answers: Answers) -> None:
        self.endpoint, self.counts = endpoint, Counter[str]()
        self._answers, self._headers = answers, endpoint.headers()
        self._waiting: dict[str, list[Hashable]] = {}  # by the name of what was asked: who wants to know
        self._done: queue.SimpleQueue[tuple[str, Outcome, Counter[str]]] = queue.SimpleQueue()
        self._stop, self._told = threading.Event(), threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._http: httpx2.Client | None = None

    def submit(self, key: Hashable, body: dict[str, Any]) -> None:
        """Asks; the outcome comes from `collect` under `key`. Whoever asks the same meanwhile gets the same answer."""
        name = name_of(self.endpoint, body)
        if name in self._waiting:
            self._waiting[name].append(key)
            return
        self._waiting[name] = [key]
        if (said := self._answers.get(name)) is not None:
            self._done.put((name, said, Counter(cached=1)))
            return
        if self._pool is None:
            e = self.endpoint
            self._stop.clear()
            self._pool = ThreadPoolExecutor(e.concurrency, thread_name_prefix=f"m2jax {e.model}")
            self._http = httpx2.Client(
                headers=self._headers, timeout=e.timeout, limits=httpx2.Limits(max_connections=e.concurrency)
            )
        self._pool.submit(self._work, name, body)

    def collect(self, seconds: float) -> list[tuple[Hashable, Outcome]]:
        """What has been answered since, waiting up to `seconds` for the first."""
        found: list[tuple[Hashable, Outcome]] = []
        while self._waiting:
            try:
                name, outcome, counts = self._done.get(timeout=seconds) if seconds and not found else (
                    self._done.get_nowait()
                )  # fmt: skip
            except queue.Empty:
                break
            self.counts += counts
            found += [(key, outcome) for key in self._waiting.pop(name)]
        return found

    def close(self) -> None:
        """Forgets what is asked. Pauses end at once; what the server is answering is waited for, and kept."""
        self._stop.set()
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._http.close()
        self._pool, self._done = None, queue.SimpleQueue()
        self._waiting.clear()

    # ---- in the threads

    def _work(self, name: str, body: dict[str, Any]) -> None:
        counts: Counter[str] = Counter(requests=1)
        try:
            outcome: Outcome = self._ask(name, body, counts)
        except (ValueError, EndpointDown) as error:
            outcome = error
        except Exception as error:  # a thread's own error would be lost, and the run would wait for ever
            outcome = EndpointDown(f"asking {self.endpoint.url} failed: {error!r}")
        self._done.put((name, outcome, counts))

    def _ask(self, name: str, body: dict[str, Any], counts: Counter[str]) -> Said:
        began, pause = time.monotonic(), self.endpoint.first_pause
        while True:
            trouble = self._try(name, body, counts)
            if isinstance(trouble, Said):
                return trouble
            self._tell(trouble.text)
            rest = max(trouble.retry_after, pause * random.uniform(0.5, 1.0))
            left = began + self.endpoint.patience - time.monotonic()
            if rest > left or self._stop.is_set() or self._stop.wait(rest):
                raise EndpointDown(
                    f"{self.endpoint.model} at {self.endpoint.url} gives no answer: {trouble.text}. "
                    "What it has answered is kept: mend it, and the same command goes on"
                )
            counts["retries"] += 1
            pause = min(2 * pause, LONGEST_PAUSE)

    def _try(self, name: str, body: dict[str, Any], counts: Counter[str]) -> Said | _Trouble:
        """One attempt. ValueError where the question is refused, EndpointDown where all would be."""
        e = self.endpoint
        try:
            response = self._http.post(f"{e.url.rstrip('/')}/chat/completions", json=body)
        except httpx2.RequestError as error:
            return _Trouble(f"{type(error).__name__}: {error}")
        status = response.status_code
        if status != 200:
            text = f"status {status}: {response.text[:300]}"
            if status in PASSING or status >= 500:
                return _Trouble(text, _retry_after(response.headers.get("Retry-After", "")))
            if status in REFUSED:
                raise ValueError(f"{e.model} at {e.url} refused the request, {text}")
            raise EndpointDown(f"{e.model} at {e.url} answers with {text}; look at its url, model and key")
        try:
            said, asked, answered = parse(response.json())
        except (ValueError, RecursionError) as error:  # also JSON that ends too early, or is nested without end
            return _Trouble(f"a broken answer: {error}")
        if said.whole and ("response_format" not in body or _is_json(said.text)):
            self._answers.put(name, said)
        cost = (asked * e.price[0] + answered * e.price[1]) / 1e6
        counts += Counter(prompt_tokens=asked, answer_tokens=answered, cost=cost)
        self._told.clear()
        return said

    def _tell(self, text: str) -> None:
        """Once for all threads, until there is an answer again."""
        if not self._told.is_set():
            self._told.set()
            e = self.endpoint
            print(f"{e.model} at {e.url}: {text}; trying for {e.patience:.0f} s", file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True)
class _Trouble:
    """A failure that may pass, and how many seconds the server wants to be left alone."""

    text: str
    retry_after: float = 0.0


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _retry_after(value: str) -> float:
    """Seconds from the header, given as such or as a date; 0 where it says nothing."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0
