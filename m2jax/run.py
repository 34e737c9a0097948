"""A run from beginning to end: set up, evaluate, train, evaluate, report; begun anew or gone on with."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from m2jax import distributed
from m2jax.checkpoint import steps_done
from m2jax.evaluate import constraint, consultations, heldout, loss
from m2jax.metrics import read_metrics
from m2jax.outside.endpoint import EndpointDown
from m2jax.report.html import write_report
from m2jax.train import loop, midtrain, rl, sft

FREE = (  # what may change when a run goes on: how much of it, where it is kept and how it lies on devices
    "steps", "checkpoint", "command", "mesh", "sampling.mesh", "sampling.slots", "sampling.cache_tokens",
    "grpo.micro_groups", "data.micro_rows", "grpo.remat", "remat", "xla_flags", "optimizer.moments",
    "optimizer.offload",
)  # fmt: skip
FALLS = ("sft", "midtrain")  # stages whose learning rate falls towards the last step: how many there are is part of it

OFF = {"0", "0.0", '""', "false", "[]", "null"}  # values, as JSON, of what a run does without
FAILS_AGAIN = 3  # the exit status where the same command would end so again: launch/tpu/run.sh then gives up


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of training, by config.stage: what makes its parts and its stage, how many steps it takes, and how it is
    judged on what was held out, before and after: of (parts, what is trained, file to write).
    """

    start: Callable[..., tuple[Any, Any]]
    stage: Callable[..., loop.Stage]
    steps: Callable[[Any], int]
    before: Callable[[Any, Any, Path], None]
    after: Callable[[Any, Any, Path], None]
    figures: Any  # the module that sums up what was written: summarise, gain and said


def _rl_before(parts: rl.Parts, trained: Any, file: Path) -> None:
    _evaluate_policy(parts, "start", file)


def _rl_after(parts: rl.Parts, trained: Any, file: Path) -> None:
    parts.engine.update("doctor", trained)
    _evaluate_policy(parts, "doctor", file)


def _evaluate_policy(parts: rl.Parts, role: str, file: Path) -> None:
    """Held-out replies; before them consultations, where a run is trained on whole ones: `file` tells that both are."""
    if parts.units and parts.config.consult.session:
        consultations.evaluate(parts, role, _consultations(file))
    heldout.evaluate(parts, role, file)


def _consultations(file: Path) -> Path:
    return file.with_name(file.name.replace("eval", "consultations"))


KINDS = {
    "rl": Kind(rl.start, rl.stage, lambda parts: parts.config.steps, _rl_before, _rl_after, heldout),
    "sft": Kind(sft.start, sft.stage, lambda parts: parts.steps, loss.evaluate, loss.evaluate, loss),
    "midtrain": Kind(
        midtrain.start, midtrain.stage, lambda parts: parts.steps, constraint.evaluate, constraint.evaluate, constraint
    ),
}


def run(config: ConfigDict, workdir: str | Path, command: str = "") -> Path:
    """Runs the stage of `config` in `workdir`; returns the path of its report.

    Exits with a message where a value cannot be, or the folder holds a run of another config; with status `FAILS_AGAIN`
    where a step was not finite. Stopped by SIGTERM, it
    ends without the final evaluation; the same command goes on, as after a judge outside has gone silent. Of several
    processes the first alone writes and prints.
    """
    workdir = Path(workdir)
    try:
        values = _same_run(workdir, config, command)
        mesh = rl.make_mesh(config)
        with jax.set_mesh(mesh):
            devices = f"{mesh.size} x {jax.devices()[0].device_kind}"
            if jax.process_count() > 1:
                devices += f" in {jax.process_count()} processes"
            _say(f"{config.model} on {devices}; run folder {workdir}")
            kind = _kind(config)
            parts, state = kind.start(config, mesh)
            stage, steps = kind.stage(parts, workdir), kind.steps(parts)
        if (begun := steps_done(workdir)) > steps:
            raise ValueError(
                f"{begun} steps are done in {workdir}, and config.steps asks for {steps}; give at least {begun}, or "
                "another --workdir"
            )
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
    workdir.mkdir(parents=True, exist_ok=True)
    before, after = workdir / "eval_before.jsonl", workdir / "eval_after.jsonl"
    plan = loop.Plan(steps, config.checkpoint.every, config.checkpoint.keep)
    try:
        with jax.set_mesh(mesh), _claimed(workdir):
            if distributed.is_first():
                _write_json(workdir / "config.json", values)
            if not distributed.from_first(before.exists()):
                kind.before(parts, state.trained, before)
            state, done = loop.run(workdir, plan, stage, state)
            if done < steps:
                _say(f"stopped after {done} of {steps} steps, saved; the same command goes on")
                return workdir
            kind.after(parts, state.trained, after)
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(FAILS_AGAIN) from error
    except EndpointDown as error:
        raise SystemExit(f"error: {error}") from error
    if distributed.is_first():
        _conclude(config, kind, steps, workdir)
    distributed.from_first(None)
    return workdir / "report.html"


@contextlib.contextmanager
def _claimed(workdir: Path) -> Iterator[None]:
    """The folder is this run's until the block ends, or its first process does. Exits with a message where it is
    another's.
    """
    with (workdir / ".lock").open("w") if distributed.is_first() else contextlib.nullcontext() as file:
        try:
            if file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):  # others: a file system without locks
                raise SystemExit(
                    f"error: another process trains in {workdir}; wait for it or stop it, or give another --workdir"
                ) from error
        yield


def _kind(config: ConfigDict) -> Kind:
    stage = config.get("stage", "rl")
    if stage not in KINDS:
        raise ValueError(f"config.stage is {stage!r}; it must be one of {', '.join(KINDS)}")
    return KINDS[stage]


def _conclude(config: ConfigDict, kind: Kind, steps: int, workdir: Path) -> None:
    """Writes the summary and the report of a run that is through, and says what it gained."""
    before, after = workdir / "eval_before.jsonl", workdir / "eval_after.jsonl"
    summary = {
        "model": config.model,
        "seconds": sum(row["seconds"] for row in read_metrics(workdir)),  # of its steps, however often it was stopped
        "steps": steps,
        "device": jax.devices()[0].device_kind,
        "before": kind.figures.summarise(before),
        "after": kind.figures.summarise(after),
        "gain": kind.figures.gain(before, after),
    }
    said = [kind.figures.said(summary)]
    if _consultations(before).exists():
        summary["consultations"] = consultations.compare(_consultations(before), _consultations(after))
        said.append(consultations.said(summary["consultations"]))
    _write_json(workdir / "summary.json", summary)
    report = write_report(workdir)
    read = f"all dialogues: python launch/view.py {shlex.quote(str(workdir))}"
    print("\n".join([*said, f"report: {report}", read]), flush=True)


def _say(text: str) -> None:
    if distributed.is_first():
        print(text, flush=True)


def _same_run(workdir: Path, config: ConfigDict, command: str) -> dict[str, Any]:
    """The values for config.json; ValueError where the folder's run has others."""
    file = workdir / "config.json"
    mine = json.loads(json.dumps(config.to_dict() | {"command": command}))
    if file.exists():
        now, there = _flat(mine), _flat(json.loads(file.read_text()))
        # what has come to the configs since the run began is as it was then, as long as it is off
        changed = {key for key, _ in now.items() ^ there.items() if key in there or now[key] not in OFF}
        free = tuple(key for key in FREE if key != "steps" or config.get("stage") not in FALLS)
        names = sorted(key for key in changed if not key.startswith(free))
        if names:
            raise ValueError(
                f"{workdir} holds a run with other values of {', '.join(names)}; "
                "give the same values to go on with it, or another --workdir"
            )
    return mine


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
    out: dict[str, str] = {}
    for key, value in tree.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": json.dumps(value)}
    return out


def _write_json(file: Path, value: dict[str, Any]) -> None:
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(temporary, file)
