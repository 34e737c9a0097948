"""Clients that try a server on this machine, for a bounded time: honest ones, whose answers are checked and timed, and
hostile ones, which leave in the middle, send junk or far too much.

An honest answer is right when it is what the same request got before the load began: a sample depends on its seed
alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import random
import time
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from m2jax.serve.guard import is_loopback

Json = dict[str, Any]
SECONDS = 600  # the most that a load may last
TROUBLES = ("vanish", "half", "junk", "wrong", "oversize")


@dataclasses.dataclass
class Seen:
    """What honest clients saw. first: seconds to the first token of each answer; wrong: answers that were others."""

    answers: int = 0
    tokens: int = 0
    wrong: int = 0
    busy: int = 0
    first: list[float] = dataclasses.field(default_factory=list)
    statuses: Counter[str] = dataclasses.field(default_factory=Counter)  # of hostile clients, by what they did


def check_url(url: str) -> None:
    """ValueError where it is not of this machine."""
    host = urllib.parse.urlsplit(url).hostname
    if not host or not is_loopback(host):
        raise ValueError(f"--url={url} is not of this machine; a load is for http://127.0.0.1:PORT alone")


async def load(
    url: str, requests: Sequence[Json], clients: int, seconds: float, hostile: int = 0, token: str = ""
) -> Seen:
    """`clients` that ask the `requests` (bodies of /v1/completions with a seed) in turn, and as many hostile ones, for
    the seconds, beside each other.
    """
    check_url(url)
    if not 0 < seconds <= SECONDS:
        raise ValueError(f"a load of {seconds:g} seconds: give 1 to {SECONDS}")
    seen = Seen()
    async with client(url, clients, token) as http:
        known = [(await _answer(http, body))[0] for body in requests]
        until = time.monotonic() + seconds
        tasks = [_honest(http, requests, known, i, until, seen) for i in range(clients)]
        tasks += [_hostile(url, token, requests[0], i, until, seen) for i in range(hostile)]
        await asyncio.gather(*tasks)
    return seen


def client(url: str, clients: int, token: str) -> httpx2.AsyncClient:
    """For so many at once."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    limits = httpx2.Limits(max_connections=clients, max_keepalive_connections=clients)
    return httpx2.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=SECONDS, trust_env=False)


async def timed(http: httpx2.AsyncClient, bodies: Sequence[Json]) -> tuple[list[float], int, float]:
    """All bodies at once: (seconds to the first token of each, tokens made, seconds of all)."""
    began = time.perf_counter()
    answers = await asyncio.gather(*(_answer(http, body) for body in bodies))
    seconds = time.perf_counter() - began
    return [first for _, first, _ in answers], sum(tokens for _, _, tokens in answers), seconds


async def idle(http: httpx2.AsyncClient, seconds: float = 30) -> bool:
    """Whether within the seconds nobody holds a slot or a page."""
    until = time.monotonic() + seconds
    while True:
        figures = parse_metrics((await http.get("/metrics")).raise_for_status().text)
        held = figures["m2jax_accepted"] + figures["m2jax_engine_rows"] + figures["m2jax_engine_waiting"]
        if not held and figures["m2jax_engine_pages"] == figures["m2jax_engine_pages_free"]:
            return True
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.2)


def parse_metrics(text: str) -> dict[str, float]:
    """The figures of a /metrics page by their names, labels included."""
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def middle(values: Sequence[float], share: float = 0.5) -> float:
    """The value that this share of them does not pass; NaN of none."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else math.nan


async def _honest(
    http: httpx2.AsyncClient, requests: Sequence[Json], known: Sequence[str], i: int, until: float, seen: Seen
) -> None:
    while time.monotonic() < until:
        try:
            text, first, tokens = await _answer(http, requests[i % len(requests)])
        except httpx2.HTTPStatusError as error:
            if error.response.status_code != 429:
                raise
            seen.busy += 1
            await asyncio.sleep(float(error.response.headers["Retry-After"]))
            continue
        seen.answers, seen.tokens = seen.answers + 1, seen.tokens + tokens
        seen.wrong += text != known[i % len(requests)]
        seen.first.append(first)
        i += 1


async def _answer(http: httpx2.AsyncClient, body: Json) -> tuple[str, float, int]:
    """(text, seconds to its first token, tokens) of one stream."""
    began, first, text, tokens = time.perf_counter(), math.nan, "", 0
    body = body | {"stream": True, "stream_options": {"include_usage": True}}
    async with http.stream("POST", "/v1/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            if "error" in chunk:
                raise RuntimeError(f"the stream broke off: {chunk['error']}")
            first = time.perf_counter() - began if math.isnan(first) else first
            text += "".join(choice["text"] for choice in chunk["choices"])
            tokens = (chunk["usage"] or {"completion_tokens": tokens})["completion_tokens"]
    return text, first, tokens


async def _hostile(url: str, token: str, body: Json, i: int, until: float, seen: Seen) -> None:
    """One trouble after another, over sockets of its own."""
    draw, at = random.Random(i), urllib.parse.urlsplit(url)
    while time.monotonic() < until:
        trouble = TROUBLES[i % len(TROUBLES)]
        i += 1
        reader, writer = await asyncio.open_connection(at.hostname, at.port or 80)
        try:
            writer.write(_trouble(trouble, draw, body, token))
            await writer.drain()
            if trouble == "half":
                seen.statuses["half left"] += 1
                continue
            patience = 2 if trouble == "junk" else SECONDS  # of noise without an end nothing comes
            status = await asyncio.wait_for(reader.readline(), patience)
            seen.statuses[f"{trouble} {status.decode('latin-1').partition(' ')[2].strip() or 'closed'}"] += 1
        except ConnectionError:
            seen.statuses[f"{trouble} closed"] += 1
        except TimeoutError:
            seen.statuses[f"{trouble} no answer"] += 1
        finally:
            writer.transport.abort()
        await asyncio.sleep(draw.random() / 5)


def _trouble(kind: str, draw: random.Random, body: Mapping[str, Any], token: str) -> bytes:
    """What is sent: a stream that is left at its first byte, half a body, noise, JSON that asks for nonsense, or more
    than anybody takes.
    """
    wrong = draw.choice(
        [{"prompt": []}, {"n": -1}, {"max_tokens": "many"}, {"temperature": 1e9}, {"stop": [1]}, {"x": 1}]
    )
    content = {
        "vanish": lambda: json.dumps({**body, "stream": True, "max_tokens": 100}).encode(),
        "half": lambda: json.dumps(body).encode(),
        "junk": lambda: draw.randbytes(draw.randrange(1, 400)),
        "wrong": lambda: json.dumps({**body, **wrong}).encode(),
        "oversize": lambda: b" " * (3 << 20),
    }[kind]()
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(content)}\r\n"
    head += f"Authorization: Bearer {token}\r\n\r\n" if token else "\r\n"
    if kind == "junk" and draw.random() < 0.5:  # not even HTTP
        return content
    return head.encode() + (content[: len(content) // 2] if kind == "half" else content)
