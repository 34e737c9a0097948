"""The one training loop: batches in, updates out, checkpoints, metrics, and an orderly end whatever happens.

A stage gives the loop `make_batch(step, state) -> (batch, metrics)` and `update(state, batch) -> (state, metrics)`.
Metrics of a step are fetched from the device while the next one runs, and always before its checkpoint. SIGTERM ends
the run after the step in flight, saved; Ctrl-C at once, with what was last saved. Of several processes all end after
the same step, whichever got the signal, and the first keeps the record.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from m2jax import distributed
from m2jax.checkpoint import Checkpoints
from m2jax.metrics import MetricsLog, Progress
from m2jax.train.step import TrainState

Metrics = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Stage:
    """What the loop runs. `position` and `set_position` save and restore where the data stands, as JSON."""

    make_batch: Callable[[int, TrainState], tuple[Any, Metrics]]
    update: Callable[[TrainState, Any], tuple[TrainState, Metrics]]
    position: Callable[[], Any]
    set_position: Callable[[Any], None]


@dataclasses.dataclass(frozen=True)
class Plan:
    """steps: how many. checkpoint_every: steps between checkpoints; the last step is always saved. keep: how many
    stay.
    """

    steps: int
    checkpoint_every: int = 1
    keep: int = 2


def run(workdir: Path, plan: Plan, stage: Stage, state: TrainState) -> tuple[TrainState, int]:
    """Runs `stage` from its newest checkpoint in `workdir`, or from `state` (which is consumed), to `plan.steps` steps.

    Returns the last state and how many steps are done: fewer than planned after SIGTERM. FloatingPointError names
    the step whose loss or gradient is not finite; the checkpoints before it stay.
    """
    checkpoints = Checkpoints(workdir, plan.keep)
    step = checkpoints.latest() or 0
    if step:
        state, saved = checkpoints.restore(step, state)
        stage.set_position(saved["position"])
    record = _Record(workdir, plan.steps, step) if distributed.is_first() else None
    pending: tuple[int, Metrics] | None = None
    try:
        with _on_sigterm() as came, record or contextlib.nullcontext(), count_compiles() as compiles:
            stop = distributed.any_process(came())
            while step < plan.steps and not stop:
                began = time.perf_counter()
                batch, metrics = stage.make_batch(step, state)
                if pending:
                    _write(record, *pending)
                updating = time.perf_counter()
                state, updated = stage.update(state, batch)
                metrics |= {f"update/{k}": v for k, v in updated.items()}
                jax.block_until_ready(state)  # the next rollout needs it; and the clock
                ended = time.perf_counter()
                metrics |= {"update/seconds": ended - updating, "seconds": ended - began, "compiles": compiles()}
                pending, step = (step, metrics), step + 1
                stop = distributed.any_process(came())
                if step % plan.checkpoint_every == 0 or step == plan.steps or stop:
                    _write(record, *pending)  # raises where the step went wrong: what is saved is sound
                    pending = None
                    checkpoints.save(step, state, {"position": stage.position()})
            if pending:
                _write(record, *pending)
    finally:
        checkpoints.close()  # waits for what is being written
        if record:
            record.log.close()
    return state, step


@contextlib.contextmanager
def count_compiles() -> Iterator[Callable[[], int]]:
    """Yields a function: how many programs XLA has compiled, or read from its cache, since."""
    seen = [0]

    def listen(event: str, duration: float, **_: Any) -> None:
        seen[0] += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield lambda: seen[0]
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


class _Record:
    """The record and the progress line of the process that keeps them."""

    def __init__(self, workdir: Path, steps: int, start: int) -> None:
        self.log, self.progress = MetricsLog(workdir, resume_step=start), Progress(steps, start=start)

    def __enter__(self) -> None:
        self.progress.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.progress.__exit__(*error)


def _write(record: _Record | None, step: int, metrics: Metrics) -> None:
    metrics = {k: v.item() if hasattr(v, "item") else v for k, v in jax.device_get(metrics).items()}
    if "update/tokens" in metrics:
        busy = metrics.get("update/busy_seconds", metrics["update/seconds"])  # without the rollout beside it
        metrics["update/tok_s"] = metrics["update/tokens"] / busy
    if record:
        record.log.write(step, metrics)
        record.progress.update(step, metrics)
    for key in ("rollout/entropy", "update/loss", "update/grad_norm"):
        if key in metrics and not math.isfinite(metrics[key]):
            raise FloatingPointError(
                f"{key} is {metrics[key]} in step {step}: the run stops and its last checkpoint stays. "
                "Lower the learning rate, or look at the step's line in metrics.jsonl"
            )


@contextlib.contextmanager
def _on_sigterm() -> Iterator[Callable[[], bool]]:
    """Yields a function: has SIGTERM come?"""
    came = [False]

    def note(*_: Any) -> None:
        came[0] = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: came[0]
    finally:
        signal.signal(signal.SIGTERM, before)
