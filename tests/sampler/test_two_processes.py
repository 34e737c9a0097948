"""Two processes of four devices each, under jax.distributed on loopback, serve what one process of eight does."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from tests.conftest import DEVICES_FLAG, REPOSITORY
from tests.sampler import serve_two
from tests.sampler.test_engine import all_weights

LIMIT = 90  # seconds; the second process compiles all of its programs, every time


@pytest.mark.skipif(os.environ["JAX_PLATFORMS"] != "cpu", reason="two processes cannot share a device")
def test_two_processes_give_what_one_gives(tmp_path):
    trees = jax.device_get(all_weights("unrolled"))  # made here: to compile that twice would take most of the time
    (tmp_path / "weights").write_bytes(pickle.dumps(trees))
    said, errors = serve(tmp_path)
    answers = [json.loads(out.splitlines()[-1]) for out in said]
    assert answers[0] == answers[1] == serve_two.answers(trees), errors
    # Gloo tells when a group of devices meets for the first time: never with programs still to compile (sharding._meet)
    for out in said:
        before, after = out.split(serve_two.MADE)
        assert "[Gloo] Rank" in before and "[Gloo] Rank" not in after


def serve(folder: Path) -> tuple[list[str], list[str]]:
    """What both processes wrote to stdout, and to stderr; AssertionError with it where one failed or took too long."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"XLA_FLAGS": f"{DEVICES_FLAG}=4", "PYTHONPATH": str(REPOSITORY)}
    deadline = time.monotonic() + LIMIT
    with contextlib.ExitStack() as stack:
        both = []
        for i in range(2):
            command = [sys.executable, serve_two.__file__, str(i), port, str(folder / "weights")]
            out, err = (stack.enter_context((folder / f"{name}{i}").open("w")) for name in ("out", "err"))
            both.append(subprocess.Popen(command, env=environment, stdout=out, stderr=err))
            stack.callback(both[-1].wait)
            stack.callback(both[-1].kill)
        while time.monotonic() < deadline and any(p.poll() is None for p in both) and not any(p.poll() for p in both):
            time.sleep(0.1)
        codes = [process.poll() for process in both]
    said, errors = ([(folder / f"{name}{i}").read_text() for i in range(2)] for name in ("out", "err"))
    told = "\n---\n".join(errors)
    assert codes == [0, 0], f"exit codes {codes} (None: killed) within {LIMIT} s; their stderr:\n{told}"
    return said, errors
