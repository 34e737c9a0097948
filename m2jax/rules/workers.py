"""Processes for work that may hang or swell: each request has a limit of CPU time and memory, and costs at most its
worker.

    answer = WORKERS.ask({"job": "full_match", "pattern": "a+", "text": "aa"})   # True; None where it took too long

A worker (`worker.py`) is started when it is first needed, serves one request at a time over its pipes, and is replaced
where it dies. It dies of CPU time, by a timer of the kernel's that nothing in the worker can hold up, so that a verdict
does not depend on how busy the machine is; the wall clock is a backstop. Fresh interpreters, not forks: a process that
runs JAX must not fork. Workers end with the process that started them, whatever ends it: their pipe closes, and one
that is busy has its timer.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

SECONDS = 3.0  # of CPU a request may take
MEMORY = 2 * 2**30  # bytes of address space of a worker
WALL = 6  # times SECONDS: when a worker that uses no CPU, or gets none, is given up
START = 120.0  # seconds until a worker must have started
_FILE = Path(__file__).with_name("worker.py")


class Workers:
    """Up to `limit` workers, asked from any thread. seconds: CPU time of a request."""

    def __init__(self, limit: int, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._idle: list[subprocess.Popen[bytes]] = []
        self._all: set[subprocess.Popen[bytes]] = set()
        self._free = threading.Semaphore(limit)
        self._lock = threading.Lock()
        atexit.register(self.close)

    def ask(self, request: dict[str, Any]) -> Any:
        """The answer of a worker, or None where it died over the request. RuntimeError where none can start."""
        line = json.dumps(request | {"seconds": self.seconds}).encode() + b"\n"
        with self._free:
            worker, answer = self._send(line), b""
            try:
                answer = _line(worker, WALL * self.seconds)
            finally:  # also where the caller is interrupted: an answer that comes late must not meet the next request
                if answer:
                    with self._lock:
                        self._idle.append(worker)
                else:
                    self._end(worker)
        return json.loads(answer) if answer else None

    def close(self) -> None:
        """Ends all workers; the next request starts new ones."""
        with self._lock:
            workers = list(self._all)
            self._idle.clear()
        for worker in workers:
            self._end(worker)

    def _send(self, line: bytes) -> subprocess.Popen[bytes]:
        """The worker that has the request: one that is idle, else a new one."""
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            new = worker is None
            worker = worker or self._start()
            try:
                worker.stdin.write(line)
                worker.stdin.flush()
                return worker
            except BrokenPipeError:  # it died while it was idle
                self._end(worker)
                if new:
                    raise

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", str(_FILE), str(MEMORY)]
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        with self._lock:
            self._all.add(worker)
        if not _line(worker, START):
            self._end(worker)
            raise RuntimeError(f"a worker did not start: run {' '.join(command)} by hand to see why")
        return worker

    def _end(self, worker: subprocess.Popen[bytes]) -> None:
        worker.kill()
        worker.wait()
        worker.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # what it was sent and did not take
            worker.stdin.close()
        with self._lock:
            self._all.discard(worker)


def _line(worker: subprocess.Popen[bytes], seconds: float) -> bytes:
    """A line of the worker's, or nothing where it dies or stays silent."""
    end, line = time.monotonic() + seconds, b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([worker.stdout], [], [], max(0.0, end - time.monotonic()))
        part = os.read(worker.stdout.fileno(), 65536) if ready else b""
        if not part:
            return b""
        line += part
    return line


WORKERS = Workers(limit=max(1, min(16, (os.cpu_count() or 1) - 1)))
