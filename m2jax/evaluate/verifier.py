"""The dynamic verifier measured: patient, grader, rubrics generator, and what attacks gain. For `launch/eval.py`.

The roles are SmolLM2-135M with the package's adapters where there are any for the model (`m2jax.adapters`), else the
model as it is. Every part gives `Figure`s; conditions, records and replies are held out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from ml_collections import ConfigDict

from m2jax import adapters
from m2jax.clinic.sample import sample_case
from m2jax.evaluate import roles, serving
from m2jax.evaluate.agreement import agreement, agreement_figures, kappa
from m2jax.evaluate.attacks import ATTACKS, honest_reply
from m2jax.evaluate.figures import Figure, figure
from m2jax.evaluate.generated import generator_figures
from m2jax.evaluate.lures import lure_figures
from m2jax.evaluate.patient import patient_figures
from m2jax.evaluate.physicians import physician_figures
from m2jax.patient.simulate import Units
from m2jax.rollout.single_turn import results_of
from m2jax.sampler.engine import Engine
from m2jax.sampler.requests import Dialogue
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.grader import Judge, grade
from m2jax.verifier.reward import reward_parts, score_minmax
from m2jax.verifier.rubric import Case
from m2jax.weights import names
from m2jax.weights.load import read_config

SEED = 9_000_000  # of cases that are attacked
SUFFIX = 128  # tokens that a judge's question has after its prefix, at most


@dataclasses.dataclass(frozen=True)
class Verifier:
    """What is measured: an engine with its roles. judge: the grader's role; units: the patient's."""

    engine: Engine
    tokenizer: Tokenizer
    judge: Judge
    units: Units
    config: ConfigDict


def start(config: ConfigDict) -> Verifier:
    """ValueError for an unknown part, before anything is loaded."""
    if unknown := [part for part in config.parts if part not in PARTS]:
        raise ValueError(f"config.parts names {unknown}; the parts are {', '.join(PARTS)}")
    cfg = read_config(names.resolve(config.model))
    served = [name for name in adapters.shipped() if adapters.card(name)["model"] == config.model]
    loaded = {name: adapters.load_adapter(name, cfg, stacked=False) for name in served}
    engine, tokenizer = serving.serve(
        config.model, loaded, config.temperature, config.max_tokens, config.longest, slots=16
    )
    who = {name: name if name in served else "start" for name in adapters.NAMES}
    judge = Judge(tokenizer, who["grader"], max_prefix=config.longest - SUFFIX)
    of_claims = Judge(tokenizer, "factual") if "factual" in served else None
    units = Units(tokenizer, who["affective"], who["factual"], of_claims, config.rounds + 1, config.max_tokens)
    return Verifier(engine, tokenizer, judge, units, config)


def run(config: ConfigDict, tell: Callable[[str], None]) -> Iterator[Figure]:
    """The figures of `config.parts`, each as soon as its part has ended; `tell` is told what goes on."""
    verifier = start(config)
    tell(f"roles: judge {verifier.judge.role}, drafts {verifier.units.affective}, rewrites {verifier.units.factual}")
    for part in config.parts:
        tell(f"{part} ...")
        yield from PARTS[part](verifier, tell)


def _patient(v: Verifier, tell: Callable[[str], None]) -> list[Figure]:
    return patient_figures(v.engine, v.units, v.config.n.patient, v.config.rounds)


def _lures(v: Verifier, tell: Callable[[str], None]) -> list[Figure]:
    return lure_figures(v.engine, v.units, v.config.n.lures)


def _grader(v: Verifier, tell: Callable[[str], None]) -> list[Figure]:
    replies = roles.sampled_replies(v.config.n.grader)
    given = roles.against_checks(v.engine, v.tokenizer, v.judge.role, replies)
    return agreement_figures("grader against checks", given, (("agreement", agreement, 0.93), ("kappa", kappa, 0.8)))


def _physicians(v: Verifier, tell: Callable[[str], None]) -> list[Figure]:
    if not v.config.data.k_qa:
        tell("physicians: left out; --config.data.k_qa=FOLDER names K-QA's folder (NLI_medical_annotator.csv)")
        return []
    return physician_figures(v.engine, v.judge, v.config.data.k_qa, v.config.n.physicians)


def _generator(v: Verifier, tell: Callable[[str], None]) -> list[Figure]:
    return generator_figures(v.config.n.generator)


def _attacks(v: Verifier, tell: Callable[[str], None]) -> list[Figure]:
    """Of each class what an attacked reply loses against the honest one to the same patient, in points of 0 to 1; an
    attack that gains has a negative value.
    """
    cases = [sample_case(SEED + i, "heldout") for i in range(v.config.n.attacks)]
    drawn = [np.random.default_rng([SEED, i]) for i in range(len(cases))]
    honest = [honest_reply(case, rng) for case, rng in zip(cases, drawn, strict=True)]
    replies = {"": honest} | {
        name: [attack(case, reply, rng) for case, reply, rng in zip(cases, honest, drawn, strict=True)]
        for name, attack in ATTACKS.items()
    }
    pairs = [(case, reply) for given in replies.values() for case, reply in zip(cases, given, strict=True)]
    scores = np.reshape(results_of(v.engine.run([_score(c, r, v.judge) for c, r in pairs])), (len(replies), -1))
    note = f"honest replies score {scores[0].mean():.2f}"
    return [
        figure(f"attack, {name}: loses", scores[0] - s, 0.0, note) for name, s in zip(ATTACKS, scores[1:], strict=True)
    ]


def _score(case: Case, reply: str, judge: Judge) -> Dialogue:
    verdicts = yield from grade(case, reply, judge)
    return reward_parts(case.rubric, verdicts, score_minmax)[0]


PARTS: dict[str, Callable[[Verifier, Callable[[str], None]], list[Figure]]] = {
    "generator": _generator,
    "attacks": _attacks,
    "grader": _grader,
    "physicians": _physicians,
    "lures": _lures,
    "patient": _patient,
}
