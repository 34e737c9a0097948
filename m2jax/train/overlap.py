"""Asynchrony: the rollout of step n + 1 goes on while the update of step n runs, with the weights from before it.

So every batch but the first is one step off-policy. The learner's log-probs are computed anew when a batch is trained
on, and the truncated importance weight min(pi_learner / pi_sampler, cap) of each token (`grpo.objective`) makes up for
the update between, as for the two numerics; `update/sampler_gap_*` tell how far apart they are.

Both are in flight because JAX dispatches the update and returns: the engine's programs are given to the devices behind
it. A CPU runs them side by side; a GPU or TPU runs what it is given in order, so there the update hides what a rollout
does on the host, and the waits for endpoints outside, but not the decoding. The update donates the weights, so the
sampler has a copy of them: with all parameters trained, that is their size once more on the devices.

The batch that waits for its update is kept beside the checkpoint: a run that was broken off goes on to the bit. One
that had come to its end has none, and with more steps begins anew on-policy (`async/staleness` 0).
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from m2jax import distributed
from m2jax.train.grpo import Groups
from m2jax.train.loop import Metrics, Stage
from m2jax.train.step import TrainState

Batch = list[tuple[Groups, np.int32]]  # of arrays on the host
KEPT = 3  # files: of the checkpoint to be written, the one perhaps being written, and the one before


@dataclasses.dataclass
class _Ahead:
    """The step that is worked on, and the batch of the next, if there is one."""

    step: int = 0
    batch: Batch | None = None
    metrics: Metrics = dataclasses.field(default_factory=dict)


def overlapped(stage: Stage, steps: int, workdir: Path) -> Stage:
    """The stage with each rollout but the first during the update before it. Its batches must be on the host, and its
    `update` return before the devices are done. steps: of the run; nothing is rolled out beyond them.

    Of the metrics, `update/busy_seconds` are those from giving the update to the devices until it was done,
    `update/overlap_seconds` how many of them a rollout went on as well; `update/seconds` has that rollout in it.
    """
    ahead = _Ahead()

    def make_batch(step: int, state: TrainState) -> tuple[Batch, Metrics]:
        ahead.step = step
        if ahead.batch is None:
            batch, metrics = stage.make_batch(step, state)
            return batch, metrics | {"async/staleness": 0}
        batch, metrics, ahead.batch = ahead.batch, ahead.metrics, None
        return batch, metrics | {"async/staleness": 1}

    def update(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        last = ahead.step + 1 >= steps
        before = None if last else state.replace(trained=jax.tree.map(jnp.copy, state.trained), opt_state=())
        given = time.perf_counter()
        state, told = stage.update(state, batch)
        ready = _clock(told)
        began = time.perf_counter()
        if before is not None:
            ahead.batch, ahead.metrics = stage.make_batch(ahead.step + 1, before)
        ended = time.perf_counter()
        done = ready()
        return state, told | {"busy_seconds": done - given, "overlap_seconds": max(0.0, min(ended, done) - began)}

    def position() -> Any:
        if ahead.batch is not None and distributed.is_first():
            _write(_file(workdir, ahead.step + 1), ahead.batch, ahead.metrics)
            for old in sorted(workdir.glob("ahead-*.npz"))[:-KEPT]:
                old.unlink()
        return {"stage": stage.position(), "ahead": None if ahead.batch is None else ahead.step + 1}

    def set_position(saved: Any) -> None:
        stage.set_position(saved["stage"])
        if saved["ahead"] is not None:
            ahead.batch, ahead.metrics = _read(_file(workdir, saved["ahead"]))

    return Stage(make_batch, update, position, set_position)


def _clock(arrays: Any) -> Callable[[], float]:
    """Waits beside the caller until the arrays are there; returns a function that says when that was."""
    when: list[float] = []

    def wait() -> None:
        jax.block_until_ready(arrays)
        when.append(time.perf_counter())

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()

    def ready() -> float:
        thread.join()
        return when[0] if when else time.perf_counter()

    return ready


def _file(workdir: Path, step: int) -> Path:
    return workdir / f"ahead-{step:08d}.npz"


def _write(file: Path, batch: Batch, metrics: Metrics) -> None:
    arrays = {f"{i}/{f.name}": getattr(g, f.name) for i, (g, _) in enumerate(batch) for f in dataclasses.fields(g)}
    rows = np.asarray([n for _, n in batch], np.int32)
    temporary = file.with_suffix(".partial")
    with temporary.open("wb") as out:
        np.savez_compressed(out, rows=rows, metrics=json.dumps(metrics, default=float), **arrays)
    os.replace(temporary, file)


def _read(file: Path) -> tuple[Batch, Metrics]:
    with np.load(file) as kept:
        names = [f.name for f in dataclasses.fields(Groups)]
        groups = [Groups(**{name: kept[f"{i}/{name}"] for name in names}) for i in range(len(kept["rows"]))]
        return list(zip(groups, kept["rows"], strict=True)), json.loads(str(kept["metrics"]))
