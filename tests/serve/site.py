"""A server of the tiny model on a loopback port, and what clients of it need."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2

from m2jax.serve.guard import Limits
from m2jax.serve.models import Served
from m2jax.serve.process import Process, in_thread

CHAT = {"model": "doctor", "messages": [{"role": "user", "content": "How long has the headache lasted?"}]}
LIMITS = Limits()
TEXT = {"model": "doctor", "prompt": "The patient has had a dry cough"}


@dataclasses.dataclass
class Site:
    """A server that runs. `ask` posts a body and returns (status, JSON); `stream` gives the JSON of each event."""

    process: Process
    client: httpx2.Client

    def ask(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        response = self.client.post(f"/v1/{path}", json=body)
        return response.status_code, response.json()

    def stream(self, path: str, **body: Any) -> list[dict[str, Any]]:
        with self.client.stream("POST", f"/v1/{path}", json=body | {"stream": True}) as response:
            assert response.headers["content-type"].startswith("text/event-stream"), response.read()
            lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
        assert lines[-1] == "[DONE]", lines[-1]
        return [json.loads(line) for line in lines[:-1]]

    def idle(self) -> bool:
        """Whether nothing holds a slot or a page, within some seconds."""
        return wait_for(lambda: not self.process.server.accepted and free(self.process))


def free(process: Process) -> bool:
    gauges = process.server.worker.gauges
    return gauges["rows"] == gauges["waiting"] == 0 and gauges["pages_free"] == gauges["pages"]


def wait_for(ready: Any, seconds: float = 120) -> bool:
    until = time.monotonic() + seconds
    while not ready() and time.monotonic() < until:
        time.sleep(0.01)
    return ready()


@contextlib.contextmanager
def running(
    served: Served, limits: Limits = LIMITS, token: str | None = None, host: str = "127.0.0.1"
) -> Iterator[Site]:
    """A server on a port of its own, while the block runs."""
    process = Process(served, host, 0, limits, token)
    with in_thread(process) as url, httpx2.Client(base_url=url, timeout=120) as client:
        yield Site(process, client)
