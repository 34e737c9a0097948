"""The one training loop: batches in, updates out, checkpoints, metrics, and an orderly end whatever happens.

A stage gives the loop `make_batch(step, state) -> (batch, metrics)` and `update(state, batch) -> (state, metrics)`.
Metrics of a step are fetched from the device while the next one runs, and always before its checkpoint. SIGTERM ends
the run after the step in flight, saved; Ctrl-C at once, with what was last saved.
"""

from __future__ import annotations

import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

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
    log = MetricsLog(workdir, resume_step=step)
    pending: tuple[int, Metrics] | None = None
    try:
        with _on_sigterm() as stop, Progress(plan.steps, start=step) as progress, count_compiles() as compiles:
            while step < plan.steps and not stop():
                began = time.perf_counter()
                batch, metrics = stage.make_batch(step, state)
                if pending:
                    _write(log, progress, *pending)
                updating = time.perf_counter()
                state, updated = stage.update(state, batch)
                metrics |= {f"update/{k}": v for k, v in updated.items()}
                jax.block_until_ready(state)  # the next rollout needs it; and the clock
                ended = time.perf_counter()
                metrics |= {"update/seconds": ended - updating, "seconds": ended - began, "compiles": compiles()}
                pending, step = (step, metrics), step + 1
                if step % plan.checkpoint_every == 0 or step == plan.steps or stop():
                    _write(log, progress, *pending)  # raises where the step went wrong: what is saved is sound
                    pending = None
                    checkpoints.save(step, state, {"position": stage.position()})
            if pending:
                _write(log, progress, *pending)
    finally:
        checkpoints.close()  # waits for what is being written
        log.close()
    return state, step


@contextmanager
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


def _write(log: MetricsLog, progress: Progress, step: int, metrics: Metrics) -> None:
    metrics = {k: v.item() if hasattr(v, "item") else v for k, v in jax.device_get(metrics).items()}
    if "update/tokens" in metrics:
        metrics["update/tok_s"] = metrics["update/tokens"] / metrics["update/seconds"]
    log.write(step, metrics)
    progress.update(step, metrics)
    for key in ("rollout/entropy", "update/loss", "update/grad_norm"):
        if key in metrics and not math.isfinite(metrics[key]):
            raise FloatingPointError(
                f"{key} is {metrics[key]} in step {step}: the run stops and its last checkpoint stays. "
                "Lower config.grpo.lr, or look at the step's line in metrics.jsonl"
            )


@contextmanager
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
