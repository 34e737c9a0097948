"""A run from beginning to end: set up, evaluate, train, evaluate, report; begun anew or gone on with."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from m2jax.evaluate import heldout
from m2jax.outside.endpoint import EndpointDown
from m2jax.report.html import write_report
from m2jax.train import loop, rl

FREE = ("steps", "checkpoint", "command")  # what may change when a run goes on


def run(config: ConfigDict, workdir: str | Path, command: str = "") -> Path:
    """Runs the RL stage of `config` in `workdir`; returns the path of its report.

    Exits with a message where a value cannot be, or the folder holds a run of another config. Stopped by SIGTERM, it
    ends without the final evaluation; the same command goes on, as after a judge outside has gone silent.
    """
    workdir = Path(workdir)
    began = time.time()
    try:
        values = _same_run(workdir, config, command)
        mesh = rl.make_mesh(config)
        with jax.set_mesh(mesh):
            devices = f"{mesh.size} x {jax.devices()[0].device_kind}"
            print(f"{config.model} on {devices}; run folder {workdir}", flush=True)
            parts, state = rl.start(config, mesh)
            stage = rl.stage(parts, workdir)
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
    workdir.mkdir(parents=True, exist_ok=True)
    _write_json(workdir / "config.json", values)
    before, after = workdir / "eval_before.jsonl", workdir / "eval_after.jsonl"
    plan = loop.Plan(config.steps, config.checkpoint.every, config.checkpoint.keep)
    try:
        with jax.set_mesh(mesh):
            if not before.exists():
                heldout.evaluate(parts, "start", before)
            state, steps = loop.run(workdir, plan, stage, state)
            if steps < config.steps:
                print(f"stopped after {steps} of {config.steps} steps, saved; the same command goes on", flush=True)
                return workdir
            parts.engine.update("doctor", state.trained)
            heldout.evaluate(parts, "doctor", after)
    except (FloatingPointError, EndpointDown) as error:
        raise SystemExit(f"error: {error}") from error
    summary = {
        "model": config.model,
        "seconds": time.time() - began,
        "steps": config.steps,
        "device": jax.devices()[0].device_kind,
        "before": heldout.summarise(before),
        "after": heldout.summarise(after),
        "gain": heldout.gain(before, after),
    }
    _write_json(workdir / "summary.json", summary)
    report = write_report(workdir)
    g = summary["gain"]
    print(
        f"held-out score {summary['before']['score']:.3f} -> {summary['after']['score']:.3f}, "
        f"gain {g['mean']:+.3f} (95% interval {g['low']:+.3f} to {g['high']:+.3f})\nreport: {report}",
        flush=True,
    )
    return report


def _same_run(workdir: Path, config: ConfigDict, command: str) -> dict[str, Any]:
    """The values for config.json; ValueError where the folder's run has others."""
    file = workdir / "config.json"
    mine = json.loads(json.dumps(config.to_dict() | {"command": command}))
    if file.exists():
        changed = _flat(mine).items() ^ _flat(json.loads(file.read_text())).items()
        names = sorted({key for key, _ in changed if not key.startswith(FREE)})
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
