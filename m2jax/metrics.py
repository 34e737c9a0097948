"""What a run writes while it runs: a JSONL record, TensorBoard scalars and one progress line.

`metrics.jsonl` is the record: one JSON object a line, `{"step": 12, "reward/score": 0.41, …}`, on disk before
`write` returns. Steps count from 0, and a line holds the numbers of the step it names. TensorBoard (in `tb/`)
is a view of the same numbers and may lose its last second in a crash; the record may lose only a line that
was being written. Keys are `group/name`. Only one process of a run may write.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rich.progress
from rich.console import Console
from tensorboardX import SummaryWriter

METRICS_FILE = "metrics.jsonl"
SHOWN = {  # what the progress line names, if it is there
    "reward/score": "reward",
    "rollout/length": "length",
    "update/perplexity": "perplexity",
}


class MetricsLog:
    """The metrics writer of one run: `write` once a step, `close` at the end.

    Opening with `resume_step=k` continues a run from the start of step k: lines of steps >= k and a torn last
    line are dropped (the file is replaced in one move), and TensorBoard hides its points from step k on. So
    `resume_step=0` starts afresh. Raises ValueError, naming the line, where the record is damaged before its
    last line.
    """

    def __init__(self, workdir: Path, resume_step: int = 0) -> None:
        if resume_step < 0:
            raise ValueError(f"resume_step is {resume_step}: give the first step to be run, 0 or more")
        workdir = Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        path = workdir / METRICS_FILE
        _keep_steps_before(path, resume_step)
        self._file = path.open("ab")
        # A suffix of its own: tensorboardX names files by the second and truncates one that exists.
        suffix = f".{time.time_ns()}"
        self._board = SummaryWriter(str(workdir / "tb"), purge_step=resume_step, flush_secs=1, filename_suffix=suffix)

    def write(self, step: int, metrics: Mapping[str, float | int | str]) -> None:
        """Append the metrics of one step; on return the line is on disk.

        Values are Python or numpy scalars, or text. Floats are written with `repr`, the shortest text that
        reads back as the same float64, so equal numbers give equal lines. NaN and infinities become "nan",
        "inf", "-inf", and TensorBoard does not get them. Raises ValueError for any other value and for a key
        named "step".
        """
        if "step" in metrics:
            raise ValueError('metrics have a key "step": rename it, the line already has the step')
        line = {"step": int(step)} | {key: _plain(key, value) for key, value in metrics.items()}
        text = json.dumps({key: _no_nan(value) for key, value in line.items()}, allow_nan=False)
        self._file.write(text.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        for key, value in line.items():
            if key != "step" and not isinstance(value, str) and math.isfinite(value):
                self._board.add_scalar(key, value, step)

    def close(self) -> None:
        """Flush both records and stop TensorBoard's writer thread. A second call does nothing."""
        if not self._file.closed:
            self._file.close()
            self._board.close()


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """The lines of `workdir/metrics.jsonl`, oldest first, without a torn last one; [] if there is no file."""
    path = Path(workdir) / METRICS_FILE
    return read_jsonl(path) if path.exists() else []


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file. A last line cut off by a crash is left out.

    Raises ValueError, naming file and line, for any other line that is not a JSON object, and
    FileNotFoundError.
    """
    return [row for _, row in _rows(path)]


class Progress:
    """The progress of a run on the terminal: step, time left and a few metrics, redrawn at every step.

    Use it as a context manager and call `update` after each step. Where standard output is not a terminal
    each update prints one plain line. No thread is started, so nothing outlives an interrupt. `start` is the
    number of steps done before (a resumed run). Time left is the median of the last steps' seconds times the
    steps to go, so that a compile or a checkpoint does not upset it.
    """

    def __init__(self, total_steps: int, start: int = 0) -> None:
        if not 0 <= start <= total_steps:
            raise ValueError(f"start is {start}: it must be between 0 and total_steps, which is {total_steps}")
        self._total = total_steps
        self._marks: deque[float] = deque(maxlen=9)
        self._live: rich.progress.Progress | None = None
        console = Console()
        if console.is_terminal:
            text, bar = rich.progress.TextColumn("{task.description}"), rich.progress.BarColumn(bar_width=20)
            self._live = rich.progress.Progress(bar, text, console=console, auto_refresh=False)
            self._task = self._live.add_task("starting", total=total_steps, completed=start)

    def __enter__(self) -> Progress:
        self._marks.append(time.monotonic())
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, step: int, metrics: Mapping[str, float | int | str]) -> None:
        """Show that `step` (from 0) is done. Names from `metrics` whatever of `SHOWN` is there."""
        self._marks.append(time.monotonic())
        seconds = statistics.median(b - a for a, b in zip(self._marks, list(self._marks)[1:], strict=False))
        done = step + 1
        parts = [f"step {done}/{self._total}"]
        parts += [f"{name} {_short(metrics[key])}" for key, name in SHOWN.items() if key in metrics]
        parts += [f"{seconds:.3g} s/step", f"{duration(seconds * (self._total - done))} left"]
        if self._live is None:
            print("  ".join(parts), flush=True)
        else:
            self._live.update(self._task, completed=done, description="  ".join(parts), refresh=True)


def duration(seconds: float) -> str:
    """Seconds in words a person reads: "45 s", "12 min", "3 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _short(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _plain(key: str, value: Any) -> float | int | str:
    """The Python scalar of a metric."""
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, (float, int, str)):
        raise ValueError(f"metric {key!r} is {value!r}: give a Python or numpy scalar, or text")
    return value


def _no_nan(value: float | int | str) -> float | int | str:
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def _rows(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """(raw line, object) of every whole line. Only the last may be torn: each is synced before the next."""
    lines = path.read_bytes().split(b"\n")
    if not lines[-1]:
        lines.pop()
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                break
            raise ValueError(f"{path}, line {number} is not JSON ({error}): repair or remove the line") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number} is not a JSON object: repair or remove the line")
        rows.append((line, row))
    return rows


def _keep_steps_before(path: Path, step: int) -> None:
    """Drop the lines of `step` and later, and a torn last line: the file is whole at every moment."""
    if not path.exists():
        return
    rows = _rows(path)
    for number, (_, row) in enumerate(rows, start=1):
        if not isinstance(row.get("step"), int):
            raise ValueError(f'{path}, line {number} has no whole "step": repair or remove the line')
    spare = path.with_name(path.name + ".tmp")
    with spare.open("wb") as file:
        file.writelines(line + b"\n" for line, row in rows if row["step"] < step)
        file.flush()
        os.fsync(file.fileno())
    os.replace(spare, path)
