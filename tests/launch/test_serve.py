"""`launch/serve.py` as a person starts and stops it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.conftest import REPOSITORY
from tests.docs.pages import page_of, shown, sketched
from tests.train import tiny_run


def start(*flags: str, script: str = "serve", **env: str) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": str(REPOSITORY), "XLA_FLAGS": ""} | env
    argv = [sys.executable, f"launch/{script}.py", *flags]
    return subprocess.Popen(argv, cwd=REPOSITORY, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_a_server_answers_and_a_signal_lets_it_end_what_it_has_begun(tmp_path: Path) -> None:
    model = tiny_run.write_model(tmp_path / "tiny")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pages = [command for name in ("README", "serving") for command in (*shown(page_of(name)), *sketched(page_of(name)))]
    told = [word for command in pages if command[1:2] == ["launch/serve.py"] for word in command[2:]]
    small = [f"--model={model}", "--host=127.0.0.1", f"--port={port}", "--slots=1", "--longest=128"]
    assert "--host=0.0.0.0" in told  # all flags of the pages in one start, on this machine alone
    process = start(*told, *small, M2JAX_TOKEN="t" * 20)
    said = ""
    while f"http://127.0.0.1:{port}/v1" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    headers = {"Authorization": "Bearer " + "t" * 20}
    body = {"model": "judge", "prompt": "Take 500 mg", "max_tokens": 100, "seed": 4, "stream": True}
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=tiny_run.SECONDS) as client:
        while True:  # the address is printed before it is open
            try:
                assert client.get("/v1/models").json()["data"][0]["id"] == "tiny"
                break
            except httpx2.ConnectError:
                pass
        with client.stream("POST", "/v1/completions", json=body) as reply:
            process.send_signal(signal.SIGTERM)
            lines = [line for line in reply.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    code, output = tiny_run.finish(process)
    assert code == 0, said + output


def test_a_port_that_is_taken_is_named_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = tiny_run.finish(start(f"--port={port}", "--model=no-such-model", M2JAX_TOKEN=""))
    assert code == 1 and f"error: cannot listen on 127.0.0.1:{port}" in output and "loading" not in output


def test_a_load_without_a_server_says_so_in_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        code, output = tiny_run.finish(start(f"--url={url}", script="load", M2JAX_TOKEN=""))
    assert code == 1 and output.startswith(f"error: {url}: "), output


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--host=0.0.0.0"], "no token is set"),
        (["--model=no-such-model"], "smollm2-135m-instruct"),
        (["--run=/no/such/run"], "/no/such/run holds no run"),
        (["--mesh=1,x,1"], "--mesh=1,x,1"),
    ],
    ids=["host", "model", "run", "mesh"],
)
def test_what_cannot_be_is_named_in_one_line(flags: list[str], said: str) -> None:
    code, output = tiny_run.finish(start(*flags, M2JAX_TOKEN=""))
    last = output.strip().splitlines()[-1]
    assert code == 1 and last.startswith("error: ") and said in last, output
