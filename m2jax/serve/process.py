"""The server's process: uvicorn on one address, how long it waits for a request, and how it ends.

SIGTERM or SIGINT: new requests are answered 503, those in flight get `limits.drain` seconds; a second signal ends it at
once. When the engine fails, the process ends too, with an error.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from m2jax.serve.app import Server, make_app
from m2jax.serve.guard import Limits, check_bind
from m2jax.serve.models import Served
from m2jax.serve.worker import Worker

CONNECTIONS = 1024  # at once; more are answered 503


class Connection(H11Protocol):
    """uvicorn's, closed where the headers of a first or next request are not there within `patience` seconds."""

    def __init__(self, patience: float, **config: Any) -> None:
        super().__init__(**config)
        self._patience = patience

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()

    def _expect(self) -> None:
        self.loop.call_later(self._patience, self._close_if_late, self.cycle)

    def _close_if_late(self, last: RequestResponseCycle | None) -> None:
        if self.cycle is last and (last is None or last.response_complete):
            self.transport.close()


class Process(uvicorn.Server):
    """uvicorn, which is told to stop by way of a drain. `run` serves until then. seed: names the samples, with each
    request's own.
    """

    def __init__(
        self, served: Served, host: str, port: int, limits: Limits, token: str | None = None, seed: int = 0
    ) -> None:
        check_bind(host, token)
        self.server = Server(served, Worker(served.engine, seed, self.stop_now), limits, host, token)
        self._until: float | None = None
        super().__init__(
            uvicorn.Config(
                make_app(self.server), host, port, log_level="warning", access_log=False, proxy_headers=False,
                http=functools.partial(Connection, limits.patience), limit_concurrency=CONNECTIONS,
                server_header=False, timeout_graceful_shutdown=1,
            )
        )  # fmt: skip

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins the drain, the second ends the process: a round in flight may take long."""
        if self.server.draining:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.server.draining = True

    def stop_now(self) -> None:
        """From any thread."""
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """uvicorn's look, ten times a second, at whether to stop."""
        if self.server.draining:
            self._until = self._until or time.monotonic() + self.server.limits.drain
            if not self.server.accepted or time.monotonic() > self._until:
                self.stop_now()
        return await super().on_tick(counter)


@contextlib.contextmanager
def in_thread(process: Process) -> Iterator[str]:
    """A server that runs in a thread while the block does; its address."""
    thread = threading.Thread(target=process.run, daemon=True)
    thread.start()
    try:
        while not process.started and thread.is_alive():
            time.sleep(0.01)
        host, port = process.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        process.stop_now()
        thread.join()
