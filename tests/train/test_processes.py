"""A run of several processes, rewarded or supervised: the numbers of one process, any of them killed, and gone on with
by another number on another mesh. The processes are real, on loopback, each with some of eight virtual devices.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from m2jax.metrics import read_metrics
from tests.conftest import DEVICES_FLAG, REPOSITORY
from tests.train import test_sft, tiny_run

STEPS = 2
LIMIT = 240  # seconds for a run; all processes but the first compile everything
VALUES = {
    "data.prompts_per_step": 4,
    "data.samples_per_prompt": 2,
    "sampling.max_tokens": 6,
    "grpo.micro_groups": 4,
    "eval.cases": 1,
    "checkpoint.rollout_seconds": 0,
}
SUPERVISED = {"steps": STEPS, "mesh": "(2,2,2)", "data.row_tokens": 32, "data.rows_per_step": 4, "data.micro_rows": 4}
REWARDED = ("update/loss", "update/grad_norm", "reward/total", "reward/score", "rollout/entropy")
pytestmark = pytest.mark.skipif(os.environ["JAX_PLATFORMS"] != "cpu", reason="processes cannot share a device")


@dataclasses.dataclass
class Job:
    """The processes of one run, with a file of output each."""

    processes: list[subprocess.Popen[bytes]]
    outputs: list[Path]

    def wait(self, seconds: float) -> list[int | None]:
        """Exit codes; None for one that had to be killed because the time was up."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and any(p.poll() is None for p in self.processes):
            time.sleep(0.1)
        codes = [p.poll() for p in self.processes]
        for process in self.processes:
            process.kill()
            process.wait()
        return codes

    def said(self) -> str:
        return "\n".join(f"--- process {i}\n{file.read_text()}" for i, file in enumerate(self.outputs))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    model, cases = tiny_run.write_all(tmp_path_factory.mktemp("tiny"))
    lines = [json.loads(line) for line in cases.read_text().splitlines()]
    lines += [case | {"id": f"{case['id']}-again"} for case in lines]  # four devices want four prompts
    cases.write_text("".join(json.dumps(case) + "\n" for case in lines))
    return model, cases


@pytest.fixture(scope="module")
def alone(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process with eight devices."""
    return _through(files, tmp_path_factory.mktemp("alone") / "run", 1)


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_give_the_numbers_of_one(files: tuple[Path, Path], alone: Path, tmp_path: Path, count: int) -> None:
    _assert_close(_through(files, tmp_path / "run", count), alone, 1e-6)
    for name in ("eval_before.jsonl", "summary.json", "report.html"):
        assert (tmp_path / "run" / name).exists()


def test_processes_give_the_numbers_of_one_where_a_stage_is_supervised(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    chats = test_sft.write_chats(tmp_path / "chats.jsonl")
    one, two = (tmp_path / f"run-{count}" for count in (1, 2))
    jobs = [_begin(test_sft.command(files[0], chats, run, **SUPERVISED), run, n) for n, run in ((1, one), (2, two))]
    for job in jobs:
        codes = job.wait(LIMIT)
        assert {*codes} == {0}, (codes, job.said())
    _assert_close(two, one, 1e-6, ("update/loss", "update/grad_norm", "update/tokens"))
    mine, theirs = (json.loads((run / "summary.json").read_text())["after"]["loss"] for run in (one, two))
    assert mine == pytest.approx(theirs, abs=1e-6)


def test_one_killed_ends_the_others_and_another_number_on_another_mesh_goes_on(
    files: tuple[Path, Path], alone: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    job = _start(files, workdir, 2, steps=200)
    until = time.monotonic() + LIMIT
    while time.monotonic() < until and not _saved(workdir) and all(p.poll() is None for p in job.processes):
        time.sleep(0.01)
    job.processes[1].send_signal(signal.SIGKILL)
    codes = job.wait(60)
    assert codes[1] == -signal.SIGKILL and codes[0] not in (0, None), (codes, job.said())
    assert re.search(r"stopped sending heartbeats\):\n1\n", job.outputs[0].read_text()), job.said()
    steps = _saved(workdir) + 1
    _through(files, workdir, 1, steps=steps, mesh="(1,4,2)")
    assert [row["step"] for row in read_metrics(workdir)] == list(range(steps))
    _assert_close(workdir, alone, 1e-5)  # another mesh adds in another order


def _through(files: tuple[Path, Path], workdir: Path, count: int, **values: object) -> Path:
    job = _start(files, workdir, count, **values)
    codes = job.wait(LIMIT)
    assert codes == [0] * count, (codes, job.said())
    return workdir


def _start(files: tuple[Path, Path], workdir: Path, count: int, **values: object) -> Job:
    values = {"steps": STEPS, "mesh": "(2,2,2)", **VALUES, **values}
    return _begin(tiny_run.command(*files, workdir, **values), workdir, count)


def _begin(command: list[str], workdir: Path, count: int) -> Job:
    """Begins `count` processes of the command with 8 / count devices each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    job = Job([], [workdir.parent / f"{workdir.name}-{count}-{i}.txt" for i in range(count)])
    environment = os.environ | {"XLA_FLAGS": f"{DEVICES_FLAG}={8 // count}"}
    for i, output in enumerate(job.outputs):
        argv = [*command, f"--coordinator=localhost:{port}", f"--num_processes={count}", f"--process_id={i}"]
        with output.open("wb") as file:
            job.processes.append(
                subprocess.Popen(argv, cwd=REPOSITORY, env=environment, stdout=file, stderr=subprocess.STDOUT)
            )
    return job


def _saved(workdir: Path) -> int:
    """The newest checkpoint; 0 where there is none."""
    return max((int(f.name) for f in workdir.glob("checkpoints/*") if f.name.isdigit()), default=0)


def _assert_close(workdir: Path, other: Path, tolerance: float, keys: tuple[str, ...] = REWARDED) -> None:
    """The figures of the steps that both runs have; the other's are `STEPS`."""
    mine, theirs = read_metrics(workdir), read_metrics(other)
    assert len(theirs) == STEPS and len(mine) >= STEPS
    for row, same in zip(mine, theirs, strict=False):
        assert row["update/grad_norm"] > 0
        for key in keys:
            np.testing.assert_allclose(
                row[key], same[key], rtol=tolerance, atol=tolerance, err_msg=f"{key} in {row['step']}"
            )
