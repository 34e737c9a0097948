"""The server's paths, as a Starlette application: what comes in is checked, given to the worker, and sent back whole or
as a stream of server-sent events. A client that leaves, or whose time is up, frees what it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from m2jax.sampler.requests import Alternatives
from m2jax.serve import shape, talks
from m2jax.serve.fields import Refused
from m2jax.serve.guard import Limits, check_caller, read_json
from m2jax.serve.metrics import Metrics
from m2jax.serve.models import Served
from m2jax.serve.protocol import Ask, key_of, read
from m2jax.serve.speak import Batch, Said, check_engine, prompts_scored, spoken
from m2jax.serve.worker import Worker

GRACE = 10  # seconds in which the last of a stream has to be read

Handler = Callable[["Server", Request], Awaitable[Response]]


@dataclasses.dataclass(eq=False)
class Server:
    """What the paths share. host: what it listens on. accepted: choices that are being made. draining: nothing new is
    taken.
    """

    served: Served
    worker: Worker
    limits: Limits
    host: str
    token: str | None = None
    accepted: int = 0
    draining: bool = False
    created: int = dataclasses.field(default_factory=lambda: int(time.time()))
    metrics: Metrics = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.worker, lambda: self.accepted)

    @property
    def capacity(self) -> int:
        """Choices that may be made at once, those that wait too."""
        return self.served.slots + self.limits.queue


def make_app(server: Server) -> Starlette:
    """The application; its lifespan is that of the worker."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        server.worker.start()
        try:
            yield
        finally:
            await run_in_threadpool(server.worker.stop)

    def route(path: str, handler: Handler, method: str, *, open_to_all: bool = False) -> Route:
        return Route(path, functools.partial(_guarded, server, handler, path, open_to_all), methods=[method])

    routes = [
        route("/v1/chat/completions", functools.partial(complete, chat=True), "POST"),
        route("/v1/completions", functools.partial(complete, chat=False), "POST"),
        route("/v1/models", list_models, "GET"),
        route("/v1/models/{name:path}", one_model, "GET"),
        route("/metrics", show_metrics, "GET"),
        route("/talk", talk, "POST"),
        route("/health", health, "GET", open_to_all=True),
        route("/", show_page, "GET", open_to_all=True),
    ]
    handlers = {HTTPException: functools.partial(_http_error, server), Exception: _crash}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


async def complete(server: Server, request: Request, *, chat: bool) -> Response:
    """POST /v1/chat/completions and /v1/completions."""
    _check_room(server, 1)  # before there is any work with it
    began = time.perf_counter()
    body = await read_json(request, server.limits)
    ask = await run_in_threadpool(read, body, chat, server.served, min(server.limits.choices, server.capacity))
    held = _Held(server, ask.choices)
    server.metrics.tokens.labels("prompt").inc(sum(map(len, ask.prompts)))
    if ask.stream:
        return _Stream(_events(held, ask, began), held)
    return await _whole(held, request, _make(held, ask))


async def talk(server: Server, request: Request) -> Response:
    """POST /talk: one turn of a person's talk (`talks`)."""
    _check_room(server, 1)
    now = await run_in_threadpool(talks.read, await read_json(request, server.limits))
    held = _Held(server, 1)
    return await _whole(held, request, _turn(held, now))


class _Held:
    """What a request holds from its acceptance on, choices of it: `close` gives all of it back, once. `Refused` where
    there is no room.
    """

    def __init__(self, server: Server, choices: int) -> None:
        _check_room(server, choices)
        self.server, self.choices, self.batch = server, choices, Batch(server.worker, server.limits.seconds)
        self.open = True
        server.accepted += choices

    def close(self) -> None:
        if self.open:
            self.open = False
            self.batch.close()
            self.server.accepted -= self.choices


class _Stream(StreamingResponse):
    """Server-sent events; whatever ends the sending also ends what is held."""

    def __init__(self, events: AsyncIterator[bytes], held: _Held) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with contextlib.suppress(TimeoutError):  # of a client that does not read: the connection ends
                async with asyncio.timeout(self._held.server.limits.seconds + GRACE):
                    await super().__call__(scope, receive, send)
        finally:
            if self._held.open:
                self._held.server.metrics.gone.inc()
            self._held.close()


async def _whole(held: _Held, request: Request, answer: Coroutine[Any, Any, Any]) -> Response:
    """The answer in one piece, unless the client leaves first."""
    making = asyncio.create_task(answer)
    gone = asyncio.create_task(_until_gone(request))
    try:
        await asyncio.wait({making, gone}, return_when=asyncio.FIRST_COMPLETED)
        if making.done():
            return _json(making.result())
        held.server.metrics.gone.inc()
        raise Refused("the client left", status=499)
    finally:
        for task in (making, gone):
            task.cancel()
        await asyncio.gather(making, gone, return_exceptions=True)
        held.close()


async def _turn(held: _Held, now: talks.Talk) -> Any:
    held.batch.submit(0, talks.turn(held.server.served, now), key_of(now.seed, len(now.dialogue)), False)
    _, said, _ = await held.batch.next()
    return said


async def _make(held: _Held, ask: Ask) -> dict[str, Any]:
    server = held.server
    scored = await _scored(held, ask)
    ends: dict[int, Said] = {}
    async for said in spoken(server.served, held.batch, ask):
        if said.finish:
            ends[said.choice] = said
    all_said = [ends[i] for i in range(ask.choices)]
    choices = [shape.choice(server.served, ask, said, scored[said.choice // ask.n]) for said in all_said]
    usage = shape.usage(ask, all_said)
    server.metrics.tokens.labels("completion").inc(usage["completion_tokens"])
    return shape.head(ask) | {"choices": choices, "usage": usage}


async def _events(held: _Held, ask: Ask, began: float) -> AsyncIterator[bytes]:
    """The chunks of a stream. What goes wrong after its beginning is an event too."""
    server, head = held.server, shape.head(ask)
    before: dict[int, Said] = {}
    try:
        scored = await _scored(held, ask)
        async for said in spoken(server.served, held.batch, ask):
            if not before:
                server.metrics.first_token.observe(time.perf_counter() - began)
            was, prompt = before.get(said.choice), scored[said.choice // ask.n]
            for row in shape.chunks(server.served, ask, said, was, prompt):
                yield _event(head | {"choices": [row]} | ({"usage": None} if ask.usage else {}))
            before[said.choice] = said
    except Refused as error:
        yield _event(error.body())
    else:
        usage = shape.usage(ask, list(before.values()))
        server.metrics.tokens.labels("completion").inc(usage["completion_tokens"])
        if ask.usage:
            yield _event(head | {"choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"
    held.close()


async def _scored(held: _Held, ask: Ask) -> list[Alternatives | None]:
    if not ask.echo or ask.alternatives is None:
        return [None] * len(ask.prompts)
    return await prompts_scored(held.server.served, held.batch, ask)


async def list_models(server: Server, request: Request) -> Response:
    """GET /v1/models"""
    return _json({"object": "list", "data": [_model(server, name) for name in server.served.models]})


async def one_model(server: Server, request: Request) -> Response:
    """GET /v1/models/NAME"""
    name = request.path_params["name"]
    if name not in server.served.models:
        raise Refused(f"there is no model {name[:80]!a}", "model", status=404, code="model_not_found")
    return _json(_model(server, name))


def _model(server: Server, name: str) -> dict[str, Any]:
    what = {"description": server.served.models[name], "max_model_len": server.served.longest + 1}
    return {"id": name, "object": "model", "created": server.created, "owned_by": "m2jax", **what}


async def show_metrics(server: Server, request: Request) -> Response:
    """GET /metrics"""
    page, kind = server.metrics.page()
    return Response(page, headers={"Content-Type": kind})


async def health(server: Server, request: Request) -> Response:
    """GET /health: 200 while requests are taken."""
    state = "failed" if server.worker.error else "draining" if server.draining else "ok"
    return _json({"status": state}, 200 if state == "ok" else 503)


async def show_page(server: Server, request: Request) -> Response:
    """GET /: the page on which a person talks to the model."""
    page, policy = talks.page()
    return Response(page, headers={"Content-Security-Policy": policy}, media_type="text/html")


# ---- around every path


async def _guarded(server: Server, handler: Handler, path: str, open_to_all: bool, request: Request) -> Response:
    began, status = time.perf_counter(), 500  # of an error that nobody expects
    try:
        if not open_to_all:
            check_caller(request, server.token, server.host)
        response = await handler(server, request)
        status = response.status_code
    except Refused as error:
        response, status = refusal(error), error.status
    finally:
        server.metrics.requests.labels(path, str(status)).inc()
    if not isinstance(response, _Stream):
        server.metrics.seconds.labels(path).observe(time.perf_counter() - began)
    return response


def _check_room(server: Server, choices: int) -> None:
    """`Refused` where so many more cannot be taken now."""
    check_engine(server.worker)
    if server.draining:
        raise Refused("the server is stopping", status=503, kind="server_error", code="unavailable", retry=5)
    if server.accepted + choices > server.capacity:
        message = f"{server.accepted} choices are being made, and at most {server.capacity} may be; try again"
        raise Refused(message, status=429, kind="rate_limit_error", code="rate_limit_exceeded", retry=1)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def refusal(error: Refused) -> Response:
    """An error as a response. Where a body is not read to its end, or a handler broke off, the connection ends."""
    headers = {} if error.retry is None else {"Retry-After": str(error.retry)}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status in (408, 413, 499, 500):
        headers["Connection"] = "close"
    return Response(shape.dumps(error.body()), error.status, headers, "application/json")


async def _http_error(server: Server, request: Request, error: HTTPException) -> Response:
    """Of a path or a method that there is not."""
    server.metrics.requests.labels("", str(error.status_code)).inc()
    wrong = Refused(f"{request.method} {request.url.path[:80]!a}: {error.detail}", status=error.status_code)
    response = refusal(wrong)
    response.headers.update(error.headers or {})
    return response


async def _crash(request: Request, error: Exception) -> Response:
    return refusal(Refused("the server has failed", status=500, kind="server_error"))


def _json(value: Any, status: int = 200) -> Response:
    return Response(shape.dumps(value), status, media_type="application/json")


def _event(value: Any) -> bytes:
    return b"data: " + shape.dumps(value) + b"\n\n"
