"""What whole consultations of the policy come to, before and after a run that is trained on them: held-out patients who
answer from the record without a model, measured by rules alone (`patient.outcome`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from m2jax import distributed
from m2jax.evaluate import doctor
from m2jax.evaluate.heldout import SEED_OFFSET
from m2jax.evaluate.stats import paired_gain
from m2jax.lines import write_jsonl
from m2jax.metrics import read_jsonl
from m2jax.patient.outcome import Outcome
from m2jax.patient.script import Dialogue
from m2jax.rollout.single_turn import results_of
from m2jax.train.parts import Parts

SHOWN = {"share": "key facts asked for", "diagnosis": "diagnosis named", "safety_net": "safety net given"}


def evaluate(parts: Parts, role: str, file: Path, tell: Callable[[str], None] = print) -> None:
    """Writes `file`: a JSON line with the `Outcome` of `role` and what was said, with each of config.eval.cases
    patients: the same ones and the same seed in every call. Written whole or not at all, by the first process.
    """
    config = parts.config
    patients = range(doctor.SEED, doctor.SEED + config.eval.cases)
    held = [
        doctor.consult(seed, parts.tokenizer, config.consult.rounds, role, config.data.max_prompt_tokens)
        for seed in patients
    ]
    parts.engine.forget()
    ended: list[tuple[Outcome, Dialogue]] = results_of(parts.engine.run(held, seed=config.seed + SEED_OFFSET))
    if not distributed.is_first():
        return
    means = ", ".join(
        f"{text} {np.mean([getattr(reached, name) for reached, _ in ended]):.3f}" for name, text in SHOWN.items()
    )
    tell(f"{file.stem}: {len(ended)} patients, {means}")
    rows = (
        {"patient": seed} | reached._asdict() | {"lines": [dataclasses.asdict(line) for line in said]}
        for seed, (reached, said) in zip(patients, ended, strict=True)
    )
    write_jsonl(file, rows)


def compare(before: Path, after: Path) -> dict[str, dict[str, float]]:
    """Of each measure the means before and after, and the mean gain over patients, paired, with its bootstrap 95%
    interval.
    """
    sides, compared = (read_jsonl(before), read_jsonl(after)), {}
    for name in Outcome._fields:
        values = [[[row[name]] for row in side] for side in sides]
        gain, low, high = paired_gain(*values)
        means = {key: float(np.mean(v)) for key, v in zip(("before", "after"), values, strict=True)}
        compared[name] = means | {"gain": gain, "low": low, "high": high}
    return compared


def said(compared: dict[str, dict[str, float]]) -> str:
    """The line that ends a run."""
    each = (f"{text} {compared[n]['before']:.3f} -> {compared[n]['after']:.3f}" for n, text in SHOWN.items())
    return f"consultations: {', '.join(each)}"
