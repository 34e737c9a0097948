"""Rollouts during updates: whose weights a batch is of, what is kept of it, and that a run goes on to the bit."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m2jax import run as training
from m2jax.metrics import read_metrics
from m2jax.train import rl
from m2jax.train.grpo import Groups
from m2jax.train.loop import Stage
from m2jax.train.overlap import KEPT, overlapped
from m2jax.train.step import TrainState
from tests.train import tiny_run


def batch_of(weights: float) -> list:
    """A batch that tells of which weights it is."""
    rows = np.full((1, 1, 4), weights, np.float32)
    return [(Groups(rows.astype(np.int32), rows, rows, -rows, rows, rows), np.int32(3))]


def counting(log: list) -> Stage:
    """A stage that adds 1 to its weights, and notes of which weights each batch is."""

    @jax.jit
    def add(weights):
        return weights + 1

    def make_batch(step, state):
        log.append((step, float(state.trained["w"])))
        return batch_of(log[-1][1]), {"rollout/step": step, "mean": np.float32(0.1)}

    def update(state, batch):
        weights = add(state.trained["w"])
        state.trained["w"].delete()  # as donated ones are
        return TrainState(state.step + 1, {"w": weights}, ()), {"loss": weights}

    return Stage(make_batch, update, lambda: len(log), lambda _: None)


def begin() -> TrainState:
    return TrainState(jnp.int32(0), {"w": jnp.float32(0)}, ())


def steps(stage: Stage, state: TrainState, first: int, last: int) -> tuple[TrainState, list, list]:
    """(state, the weights of which each batch was, its metrics)."""
    of, told = [], []
    for step in range(first, last):
        batch, metrics = stage.make_batch(step, state)
        state, updated = stage.update(state, batch)
        of.append(float(batch[0][0].mask[0, 0, 0]))
        told.append(metrics)
        assert 0 <= updated["overlap_seconds"] <= updated["busy_seconds"] + 1
    return state, of, told


def test_a_batch_is_of_the_weights_before_the_last_update(tmp_path: Path):
    log: list = []
    state, of, told = steps(overlapped(counting(log), 4, tmp_path), begin(), 0, 4)
    assert log == [(0, 0), (1, 0), (2, 1), (3, 2)]  # and nothing is rolled out beyond the last step
    assert of == [0, 0, 1, 2] and [m["async/staleness"] for m in told] == [0, 1, 1, 1]
    assert [m["rollout/step"] for m in told] == [0, 1, 2, 3] and float(state.trained["w"]) == 4


def test_the_waiting_batch_is_kept_with_the_checkpoint(tmp_path: Path):
    stage = overlapped(counting([]), 9, tmp_path)
    state, saved = begin(), None
    for step in range(6):
        state, _, _ = steps(stage, state, step, step + 1)
        saved = stage.position()
    assert saved == {"stage": 7, "ahead": 6} and len(list(tmp_path.glob("ahead-*"))) == KEPT
    again = overlapped(counting([]), 9, tmp_path)
    again.set_position(saved)
    (batch, metrics), (same, told) = again.make_batch(6, state), stage.make_batch(6, state)
    jax.tree.map(np.testing.assert_array_equal, batch, same)
    assert metrics == {k: float(v) for k, v in told.items()} and batch[0][0].tokens.dtype == np.int32
    last, _, _ = steps(stage, state, 7, 9)
    assert stage.position() == {"stage": 9, "ahead": None}  # at the end nothing waits
    assert float(last.trained["w"]) == 8


VALUES = {"asynchronous": True, "grpo.tis_cap": 2.0, "steps": 3, "data.samples_per_prompt": 4}


def test_a_run_that_is_broken_off_goes_on_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, cases = tiny_run.write_all(tmp_path)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    engine_metrics, calls = rl.engine_metrics, []

    def breaks(stats):
        calls.append(stats)
        if len(calls) == 3:
            raise KeyboardInterrupt  # in the rollout of step 2, while step 1 is updated
        return engine_metrics(stats)

    with tiny_run.one_device(monkeypatch):
        training.run(tiny_run.config(model, cases, **VALUES), whole, "")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(rl, "engine_metrics", breaks)
            training.run(tiny_run.config(model, cases, **VALUES), broken, "")
        assert len(read_metrics(broken)) == 1
        training.run(tiny_run.config(model, cases, **VALUES), broken, "")
    clocks = ("seconds", "tok_s", "verdicts_s", "compiles")
    numbers = [
        [{k: v for k, v in row.items() if not k.endswith(clocks)} for row in read_metrics(folder)]
        for folder in (whole, broken)
    ]
    assert numbers[0] == numbers[1] and [row["async/staleness"] for row in numbers[0]] == [0, 1, 1]
    gaps = [row["update/sampler_gap_mean"] for row in numbers[0]]
    assert gaps[0] < 1e-5 and min(gaps[1:]) > 1e-3  # numerics alone, then an update between
    assert all(row["update/sampler_gap_max"] >= row["update/sampler_gap_mean"] for row in numbers[0])


def test_it_needs_importance_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, cases = tiny_run.write_all(tmp_path)
    with tiny_run.one_device(monkeypatch), pytest.raises(SystemExit, match="config.grpo.tis_cap is 0"):
        training.run(tiny_run.config(model, cases, asynchronous=True), tmp_path / "run", "")
