"""The run's own records: what is on disk after each write, after a resume, and after a kill."""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboardX.proto.event_pb2 import Event, SessionLog

from m2jax.metrics import METRICS_FILE, MetricsLog, Progress, duration, read_jsonl, read_metrics

ROOT = Path(__file__).resolve().parents[1]


def write_steps(workdir: Path, steps: range, resume_step: int = 0) -> None:
    log = MetricsLog(workdir, resume_step)
    for step in steps:
        log.write(step, {"reward/score": step / 7, "compiles": 3, "phase": "rl"})
    log.close()


def events(workdir: Path) -> list[Event]:
    """All TensorBoard events, file by file in the order TensorBoard reads them (TFRecord framing)."""
    found = []
    for path in sorted((workdir / "tb").iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            found.append(Event.FromString(data[at + 12 : at + 12 + length]))
            at += 12 + length + 4
    return found


def test_a_line_is_on_disk_before_write_returns(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.write(0, {"reward/score": 0.1, "note": "warm-up", "compiles": np.int64(4)})
    expected = [{"step": 0, "reward/score": 0.1, "note": "warm-up", "compiles": 4}]
    assert read_metrics(tmp_path) == expected
    log.close()
    log.close()  # a second close is harmless
    assert read_metrics(tmp_path) == expected


@settings(max_examples=50, deadline=None)
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_floats_survive_bit_for_bit(value: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    workdir = tmp_path_factory.mktemp("run")
    log = MetricsLog(workdir)
    log.write(0, {"x": value})
    log.close()
    back = read_metrics(workdir)[0]["x"]
    assert struct.pack("d", back) == struct.pack("d", value)
    assert f'"x": {value!r}' in (workdir / METRICS_FILE).read_text()


def test_not_finite_values_are_words_and_the_file_stays_strict_json(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.write(0, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": np.float32("nan"), "e": 1.0})
    log.close()
    line = (tmp_path / METRICS_FILE).read_text()
    row = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert row == {"step": 0, "a": "nan", "b": "inf", "c": "-inf", "d": "nan", "e": 1.0}
    assert [v.tag for e in events(tmp_path) for v in e.summary.value] == ["e"]


@pytest.mark.parametrize("bad", [{"step": 1}, {"x": None}, {"x": [1.0]}, {"x": np.zeros(2)}])
def test_a_bad_metric_is_named_and_leaves_no_line(tmp_path: Path, bad: dict) -> None:
    log = MetricsLog(tmp_path)
    with pytest.raises(ValueError, match=next(iter(bad))):
        log.write(0, bad)
    log.close()
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize("torn", [b"", b'{"step": 6, "rew', b'{"step": 6, "a": "\xc3', b"{"])
def test_a_resumed_record_equals_the_uninterrupted_one(tmp_path: Path, torn: bytes) -> None:
    write_steps(tmp_path / "whole", range(9))
    write_steps(tmp_path / "cut", range(6))
    with (tmp_path / "cut" / METRICS_FILE).open("ab") as file:
        file.write(torn)
    assert [row["step"] for row in read_metrics(tmp_path / "cut")] == list(range(6))
    write_steps(tmp_path / "cut", range(4, 9), resume_step=4)
    assert (tmp_path / "cut" / METRICS_FILE).read_bytes() == (tmp_path / "whole" / METRICS_FILE).read_bytes()
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == [METRICS_FILE, "tb"]


def test_a_last_line_that_lacks_only_its_end_is_kept_whole(tmp_path: Path) -> None:
    path = tmp_path / METRICS_FILE
    path.write_text('{"step": 0}\n{"step": 1}')
    assert [row["step"] for row in read_metrics(tmp_path)] == [0, 1]
    write_steps(tmp_path, range(2, 3), resume_step=2)
    assert [row["step"] for row in read_metrics(tmp_path)] == [0, 1, 2]


def test_tensorboard_hides_the_steps_that_are_run_again(tmp_path: Path) -> None:
    write_steps(tmp_path, range(6))
    write_steps(tmp_path, range(4, 9), resume_step=4)  # within the same second: neither file may be lost
    shown: dict[int, float] = {}
    for event in events(tmp_path):
        if event.session_log.status == SessionLog.START:
            shown = {step: value for step, value in shown.items() if step < event.step}
        for value in event.summary.value:
            if value.tag == "reward/score":
                assert event.step not in shown
                shown[event.step] = value.simple_value
    assert shown == {step: pytest.approx(step / 7) for step in range(9)}


def test_damage_before_the_last_line_is_named_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / METRICS_FILE
    for middle, number in (('{"step": 1, "re', 2), ("[1]", 2), ('{"score": 1}', 2)):
        text = f'{{"step": 0}}\n{middle}\n{{"step": 2}}\n'
        path.write_text(text)
        with pytest.raises(ValueError, match=f"line {number}"):
            MetricsLog(tmp_path, resume_step=2)
        assert path.read_text() == text
    path.write_text('{"step": 0}\nrubbish\n{"step": 2}\n')
    with pytest.raises(ValueError, match="line 2"):
        read_jsonl(path)


def test_kill_9_leaves_a_record_that_can_be_continued(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from m2jax.metrics import MetricsLog\n"
        "log = MetricsLog(Path(sys.argv[1]))\n"
        "for step in range(10**9):\n"
        "    log.write(step, {'x': step / 3})\n"
        "    if step == 20: print('ready', flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout.readline() == "ready\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    rows = read_metrics(tmp_path)
    assert len(rows) >= 21 and rows == [{"step": i, "x": i / 3} for i in range(len(rows))]
    log = MetricsLog(tmp_path, resume_step=10)
    log.write(10, {"x": 10 / 3})
    log.close()
    assert read_metrics(tmp_path) == rows[:11]


def test_a_folder_without_a_record_has_no_metrics(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []
    with pytest.raises(ValueError, match="-1"):
        MetricsLog(tmp_path, resume_step=-1)


def test_progress_prints_one_plain_line_a_step_off_a_terminal(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 100.0, 102.0, 104.0])  # the first step compiles
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr("m2jax.metrics.time.monotonic", lambda: next(clock))
    with Progress(60, start=10) as progress:
        for step in (10, 11, 12):
            progress.update(step, {"reward/score": 0.51239, "rollout/length": 96.0, "update/loss": 1.0})
    assert capsys.readouterr().out.splitlines() == [
        "step 11/60  reward 0.5124  length 96  100 s/step  82 min left",
        "step 12/60  reward 0.5124  length 96  51 s/step  41 min left",  # median of 100 and 2
        "step 13/60  reward 0.5124  length 96  2 s/step  2 min left",
    ]


def test_an_interrupt_leaves_neither_threads_nor_a_hidden_cursor(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt), Progress(5) as progress:
        progress.update(0, {"reward/score": 0.5, "rollout/length": "nan"})
        assert set(threading.enumerate()) <= before  # a thread of an earlier test may have ended
        raise KeyboardInterrupt
    out = capsys.readouterr().out
    assert "step 1/5" in out and "reward 0.5" in out and "length nan" in out
    assert out.rfind("\x1b[?25h") > out.rfind("\x1b[?25l") >= 0


def test_closing_the_log_stops_its_threads(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    write_steps(tmp_path, range(3))
    left = [t for t in set(threading.enumerate()) - before if not t.name.startswith("QueueFeeder")]
    assert left == []


def test_progress_refuses_a_start_beyond_the_end() -> None:
    with pytest.raises(ValueError, match="7"):
        Progress(5, start=7)


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (89.4, "89 s"), (600, "10 min"), (11_100, "3 h 05 min")])
def test_durations_read_as_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
