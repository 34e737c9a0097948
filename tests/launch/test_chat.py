"""`launch/chat.py` as a person starts it: real input with bytes that are no text, Ctrl-C, and values that cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.train import tiny_run


def start(*flags: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "launch/chat.py", *flags]
    env = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8", "XLA_FLAGS": ""}
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, cwd=REPOSITORY, env=env, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT)


def test_a_talk_in_a_process_survives_bytes_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    model = tiny_run.write_model(tmp_path / "model")
    out = tmp_path / "talk.json"
    process = start("--role=doctor", f"--model={model}", "--seed=3", "--show-units", f"--transcript={out}")
    process.stdin.write(b"\n\xff\xfe caf\xe9 hurts\n")
    process.stdin.flush()
    said = b""
    while b"doctor> " not in said:
        line = process.stdout.readline()
        assert line, said.decode()
        said += line
    while not said.endswith(b"you> "):
        said += (byte := process.stdout.read(1))
        assert byte, said.decode()
    time.sleep(0.5)  # from the prompt to the wait for what is typed
    process.send_signal(signal.SIGINT)
    process.wait(tiny_run.SECONDS)  # the input stays open: nothing but the signal ends the talk
    rest, _ = process.communicate()
    text = (said + rest).decode()
    assert process.returncode == 0, text
    assert all(shown in text for shown in ("rubric", "you pressed Ctrl-C", "The diagnosis:")), text
    talk = json.loads(out.read_text("utf-8"))
    assert (talk["ended"], talk["dialogue"][0]["text"]) == ("interrupt", "\ufffd\ufffd caf\ufffd hurts")
    assert talk["script"]["record"]["id"] == "clinic-heldout-3" and talk["marks"][0][0]["points"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--role=patient", "--record=/no/such.jsonl"], "/no/such.jsonl"),
        (["--role=doctor", "--model=no-such-model"], "smollm2-135m-instruct"),
        (["--role=doctor", "--transcript=/no/such/folder/a.json"], "/no/such/folder/a.json"),
    ],
    ids=["record", "model", "transcript"],
)
def test_what_is_not_there_is_named_in_one_line(flags: list[str], said: str) -> None:
    output, _ = (process := start(*flags)).communicate(timeout=tiny_run.SECONDS)
    last = output.decode().strip().splitlines()[-1]
    assert process.returncode == 1 and last.startswith("error: ") and said in last, output.decode()
