"""Whole runs of a tiny model: broken off and gone on with, refused, gone wrong, and with an adapter."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import midtrain, rl_stage1, rl_stage2, rl_stage3, sft
from m2jax import run as training
from m2jax.checkpoint import load_params
from m2jax.metrics import read_metrics
from m2jax.report.view import library
from m2jax.rollout.dialogues import GROUPS
from m2jax.weights.load import load
from tests.train import tiny_run

STEPS = 9


@dataclasses.dataclass(frozen=True)
class Runs:
    """`whole` ran through; `broken` was killed, gone on with, ended by SIGTERM, and gone on with again. `killed`,
    `ended`: exit code, output, lines of metrics.jsonl and newest checkpoint after each.
    """

    whole: Path
    broken: Path
    killed: tuple[int, str, int, int | None]
    ended: tuple[int, str, int, int | None]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return tiny_run.write_all(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def runs(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    whole, broken = folder / "whole", folder / "broken"
    _succeed(tiny_run.command(*files, whole, steps=STEPS))
    argv = tiny_run.command(*files, broken, steps=STEPS)
    killed = (*tiny_run.stop_at(tiny_run.start(argv), broken, 2, signal.SIGKILL), *_done(broken))
    ended = (*tiny_run.stop_at(tiny_run.start(argv), broken, 5, signal.SIGTERM), *_done(broken))
    _succeed(argv)
    return Runs(whole, broken, killed, ended)


def test_run_that_was_killed_and_ended_goes_on_bit_by_bit(runs: Runs) -> None:
    code, output, lines, _ = runs.killed
    assert code == -signal.SIGKILL and 2 <= lines < STEPS, output
    whole, broken = (_numbers(folder) for folder in (runs.whole, runs.broken))
    assert [row["step"] for row in whole] == list(range(STEPS))
    assert broken == whole
    assert any(row["update/loss"] != 0 for row in whole) and len({row["update/grad_norm"] for row in whole}) == STEPS
    for file in ("eval_before.jsonl", "eval_after.jsonl"):
        assert (runs.broken / file).read_bytes() == (runs.whole / file).read_bytes(), file
    assert (runs.whole / "eval_before.jsonl").read_bytes() != (runs.whole / "eval_after.jsonl").read_bytes()


def test_killed_while_it_generates_it_goes_on_from_what_was_kept(
    files: tuple[Path, Path], runs: Runs, tmp_path: Path
) -> None:
    values = {"steps": 3, "checkpoint.rollout_seconds": 1e-6}
    argv, folder = tiny_run.command(*files, tmp_path / "run", **values), tmp_path / "run"
    code, output = tiny_run.stop_when(
        tiny_run.start(argv), lambda: _kept(folder) == 1 and len(read_metrics(folder)) == 1, signal.SIGKILL
    )
    assert code == -signal.SIGKILL, output
    kept = (folder / "rollout.jsonl").read_bytes()
    _succeed(argv)
    assert len(kept.splitlines()) > 1
    whole, broken = _numbers(runs.whole)[:3], _numbers(folder)
    for row, same in zip(broken, whole, strict=True):  # the same replies; their log-probs up to rounding
        for key in row:
            if key.startswith(("reward", "rollout", "groups", "update/tokens")):
                assert math.isclose(row[key], same[key], rel_tol=1e-4, abs_tol=1e-4), key


def test_sigterm_saves_the_step_in_flight_and_says_so(runs: Runs) -> None:
    code, output, lines, checkpoint = runs.ended
    assert code == 0, output
    assert 5 <= lines < STEPS and checkpoint == lines
    assert f"stopped after {lines} of {STEPS} steps" in output


def test_other_values_are_refused_and_nothing_changes(files: tuple[Path, Path], runs: Runs) -> None:
    before = _contents(runs.whole)
    config = tiny_run.config(*files, **{"steps": STEPS, "optimizer.lr": 1e-3, "seed": 1})
    with pytest.raises(SystemExit) as error:
        training.run(config, runs.whole)
    assert isinstance(error.value.code, str)  # what Python prints, and exits with 1
    assert "optimizer.lr, seed" in error.value.code and str(runs.whole) in error.value.code
    assert _contents(runs.whole) == before


def test_a_run_from_before_a_value_came_to_the_config_goes_on_while_it_is_off(tmp_path: Path) -> None:
    config = rl_stage2.get_config("smoke")
    older = config.to_dict() | {"command": "x"}
    del older["judge"]["votes"], older["verifier"]
    (tmp_path / "config.json").write_text(json.dumps(older))
    assert training._same_run(tmp_path, config, "y")["judge"]["votes"] == 0
    for key, value in (("judge.votes", 3), ("verifier", "other"), ("seed", 1)):
        with pytest.raises(ValueError, match=f"other values of {key};"):
            training._same_run(tmp_path, rl_stage2_with(key, value), "y")


def rl_stage2_with(key: str, value: object) -> ConfigDict:
    config = rl_stage2.get_config("smoke")
    config.update_from_flattened_dict({key: value})
    return config


def test_fewer_steps_than_are_done_are_refused_and_nothing_changes(
    files: tuple[Path, Path], runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _contents(runs.whole)
    config = tiny_run.config(*files, **{"steps": STEPS - 1, "sampling.slots": 4})  # slots may change
    with tiny_run.one_device(monkeypatch), pytest.raises(SystemExit, match=f"{STEPS} steps are done .* {STEPS - 1};"):
        training.run(config, runs.whole)
    assert _contents(runs.whole) == before


def test_what_may_change_is_told_by_whole_keys() -> None:
    """By how a key begins: no other begins as one that is free."""
    for make in (rl_stage1, rl_stage2, rl_stage3, sft, midtrain):
        keys = training._flat(make.get_config().to_dict())
        free = {key for key in keys if key.startswith(training.FREE)}
        assert free <= {*training.FREE} | {key for key in keys if key.startswith("checkpoint.")}


def test_a_folder_in_which_another_process_trains_is_refused(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    argv = [sys.executable, "-c", hold, str(tmp_path / ".lock")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()
        with (
            tiny_run.one_device(monkeypatch),
            pytest.raises(SystemExit, match=f"another process trains in {tmp_path}"),
        ):
            training.run(tiny_run.config(*files), tmp_path)
        other.communicate("\n")
    assert [file.name for file in tmp_path.iterdir()] == [".lock"]


def test_record_summary_and_report(runs: Runs) -> None:
    rows = read_metrics(runs.whole)
    promised = {"reward/score", "reward/dimension/form", "reward/dimension/inquiry", "rollout/length"}
    promised |= {
        "rollout/entropy",
        "engine/decode_tok_s",
        "update/tok_s",
        "update/clip_fraction",
        "update/logp_gap_mean",
    }
    for row in rows:
        assert promised | {"seconds", "compiles"} <= row.keys()
        assert row["update/logp_gap_mean"] < 1e-4  # sampler and learner agree
        assert 0 <= row["reward/score"] <= 1 and row["rollout/entropy"] > 0
    # a shape compiles when it first comes up; there are few, so that comes to an end
    assert len({row["compiles"] for row in rows[-3:]}) == 1, [row["compiles"] for row in rows]
    summary = json.loads((runs.whole / "summary.json").read_text())
    assert summary["steps"] == STEPS and summary["seconds"] == sum(row["seconds"] for row in rows)
    gain = summary["after"]["score"] - summary["before"]["score"]
    assert math.isclose(summary["gain"]["mean"], gain, abs_tol=1e-6)
    assert "<html" in (runs.whole / "report.html").read_text()


def test_step_that_is_not_finite_stops_the_run(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    config = tiny_run.config(*files, **{"steps": 4, "optimizer.lr": 1e30})
    with tiny_run.one_device(monkeypatch), pytest.raises(SystemExit) as end:
        training.run(config, tmp_path / "run")
    assert end.value.code == training.FAILS_AGAIN and "in step 1" in capsys.readouterr().err
    assert [row["step"] for row in read_metrics(tmp_path / "run")] == [0, 1]  # the step's line is there to look at
    assert not (tmp_path / "run" / "eval_after.jsonl").exists()
    cfg, params, _ = load_params(tmp_path / "run")  # the checkpoint before it
    assert _done(tmp_path / "run")[1] == 1 and params["embed"].shape == (cfg.vocab_size, cfg.d_model)


def test_adapter_with_minibatches_and_importance_weights_goes_on_too(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"lora.rank": 2, "grpo.minibatches": 2, "grpo.tis_cap": 2.0, "optimizer.lr": 3e-2, "grpo.remat": "full"}
    values |= {"layers": "scanned", "checkpoint.every": 2}
    whole, longer = tmp_path / "whole", tmp_path / "longer"
    with tiny_run.one_device(monkeypatch):
        for folder, steps in ((whole, 3), (longer, 1), (longer, 3)):
            training.run(tiny_run.config(*files, **values, steps=steps), folder)
    rows = _numbers(whole)
    assert len(rows) == 3 and _done(whole)[1] == 3  # the last step is saved whatever checkpoint.every
    assert _numbers(longer) == rows
    # a step's second mini-batch meets a policy that has moved: one alone could clip nothing
    assert any(row["update/clip_fraction"] > 0 for row in rows)
    _, merged, _ = load_params(longer)
    _, start = load(files[0], stacked=True, dtype="float32")
    for name, is_trained in {"wq": True, "w_down": True, "attn_norm": False}.items():
        assert np.array_equal(merged["layers"][name], start["layers"][name]) != is_trained, name
    assert (longer / "report.html").exists()


def _succeed(argv: list[str]) -> None:
    code, output = tiny_run.finish(tiny_run.start(argv))
    assert code == 0, output


def _done(workdir: Path) -> tuple[int, int | None]:
    """Lines of metrics.jsonl, and the newest whole checkpoint."""
    steps = [int(f.name) for f in (workdir / "checkpoints").iterdir() if f.name.isdigit()]
    return len(read_metrics(workdir)), max(steps, default=None)


def _kept(workdir: Path) -> int:
    """The step whose rollout is in the journal; -1 where there is none."""
    file = workdir / "rollout.jsonl"
    lines = file.read_bytes().splitlines() if file.exists() else []
    return json.loads(lines[0])["step"] if len(lines) > 1 else -1


def _numbers(workdir: Path) -> list[dict[str, Any]]:
    """The record without what a clock or a restart changes."""
    clocks = ("seconds", "tok_s", "verdicts_s", "compiles")
    return [{k: v for k, v in row.items() if not k.endswith(clocks)} for row in read_metrics(workdir)]


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_the_dialogues_of_every_step_are_kept_as_if_nothing_had_happened(runs: Runs) -> None:
    """A file for each step, whole after SIGKILL and SIGTERM, and the same in both runs; with tokens and advantages."""
    whole, broken = (sorted((folder / "dialogues").iterdir()) for folder in (runs.whole, runs.broken))
    assert [file.name for file in whole] == [f"step-{step:08d}.jsonl" for step in range(STEPS)]
    assert [file.read_text() for file in broken] == [file.read_text() for file in whole]
    for file in whole:
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        assert rows and len(rows) <= 2 * GROUPS
        for row in rows:
            said = row["lines"][-1]
            assert len(said["pieces"]) == len(said["logp"]) > 0 and said["criteria"] and row["split"] == "train"
            assert row["reward"] == row["score"] + row["bonus"] and said["advantage"] == row["advantage"]
    (shelf,) = library.open_shelves([runs.broken])
    held_out = [body for body in library.read_bodies(shelf.entries) if body["when"] in ("before", "after")]
    assert held_out and all(body["lines"][-1]["logp"] for body in held_out) and shelf.unread == []
