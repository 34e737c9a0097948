"""The dynamic verifier measured: patient, grader, rubrics generator, and what attacks gain. For `launch/eval.py`.

The roles are SmolLM2-135M with the package's adapters where there are any for the model (`m2jax.adapters`), else the
model as it is. Every part gives `Figure`s; conditions, records and replies are held out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from ml_collections import ConfigDict

from m2jax import adapters
from m2jax.evaluate import roles, serving
from m2jax.evaluate.agreement import agreement, agreement_figures, calibration_figures, kappa
from m2jax.evaluate.attacks import attack_figures
from m2jax.evaluate.disclosure import disclosure_figures
from m2jax.evaluate.figures import Figure
from m2jax.evaluate.generated import generator_figures
from m2jax.evaluate.lures import lure_figures
from m2jax.evaluate.patient import gate_figures, patient_figures
from m2jax.evaluate.physicians import physician_figures
from m2jax.patient.simulate import Units, units_of
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.calibration import Calibration, calibrate, of_card
from m2jax.verifier.grader import Judge
from m2jax.weights import names
from m2jax.weights.load import read_config

SUFFIX = 128  # tokens that a judge's question has after its prefix, at most


@dataclasses.dataclass(frozen=True)
class Verifier:
    """What is measured: an engine with its roles, which tells how far it is. judge: the grader's role. units: those of
    the patient.
    """

    engine: serving.Telling
    tokenizer: Tokenizer
    judge: Judge
    units: Units
    config: ConfigDict


def start(config: ConfigDict, tell: Callable[[str], None]) -> Verifier:
    """ValueError for an unknown part, before anything is loaded."""
    if unknown := [part for part in config.parts if part not in PARTS]:
        raise ValueError(f"config.parts names {unknown}; the parts are {', '.join(PARTS)}")
    cfg = read_config(names.resolve(config.model))
    cards = adapters.of_model(config.model)
    loaded = {name: adapters.load_adapter(name, cfg, stacked=False) for name in cards}
    engine, tokenizer = serving.serve(
        config.model, loaded, config.temperature, config.max_tokens, config.longest, slots=16
    )
    role, card = ("grader", cards["grader"]) if "grader" in cards else ("start", {})
    judge = Judge(tokenizer, role, max_prefix=config.longest - SUFFIX, calibration=of_card(card))
    units = units_of(tokenizer, cards, "start", config.rounds + 1, config.max_tokens)
    return Verifier(serving.Telling(engine, tell), tokenizer, judge, units, config)


def run(config: ConfigDict, tell: Callable[[str], None]) -> Iterator[Figure]:
    """The figures of `config.parts`, each as soon as its part has ended; `tell` is told what goes on."""
    verifier = start(config, tell)
    tell(f"roles: judge {verifier.judge.role}, drafts {verifier.units.affective}, rewrites {verifier.units.factual}")
    for part in config.parts:
        tell(f"{part} ...")
        yield from PARTS[part](verifier)


def _patient(v: Verifier) -> list[Figure]:
    n, rounds = v.config.n, v.config.rounds
    return gate_figures(v.engine, v.units) + patient_figures(v.engine, v.units, n.patient, n.ablation, rounds)


def _lures(v: Verifier) -> list[Figure]:
    return lure_figures(v.engine, v.units, v.config.n.lures)


def _disclosure(v: Verifier) -> list[Figure]:
    given = [(key, v.config.data[key]) for key in ("mediq", "agentclinic")]
    for key in (key for key, file in given if not file):
        v.engine.tell(f"disclosure: {key} left out; --config.data.{key}=FILE names its records")
    paths = [names.data_file(file) for _, file in given if file]
    units, n, rounds = dataclasses.replace(v.units, limit=v.config.rounds + 2), v.config.n.disclosure, v.config.rounds
    return [f for path in paths for f in disclosure_figures(v.engine, units, path, n, rounds)]


def _grader(v: Verifier) -> list[Figure]:
    replies, fitted = roles.sampled_replies(v.config.n.grader), v.judge.calibration
    given = roles.against_checks(v.engine, v.tokenizer, v.judge.role, replies)
    plain = [[(p > 0.5, truth) for p, truth in one] for one in given]
    verdicts = [[(calibrate(p, fitted) > 0.5, truth) for p, truth in one] for one in given]
    measures = (("agreement", agreement, 0.93), ("kappa", kappa, 0.8))
    as_it_is = tuple((f"{word} before calibration", statistic, None) for word, statistic, _ in measures)
    name = "grader against checks"
    return (
        agreement_figures(name, verdicts, measures)
        + agreement_figures(name, plain, as_it_is)
        + calibration_figures("grader", given, fitted)
    )


def _physicians(v: Verifier) -> list[Figure]:
    if not v.config.data.k_qa:
        v.engine.tell("physicians: left out; --config.data.k_qa=FOLDER names K-QA's folder (NLI_medical_annotator.csv)")
        return []
    judge = dataclasses.replace(v.judge, calibration=Calibration())  # it was fitted on other statements
    return physician_figures(v.engine, judge, v.config.data.k_qa, v.config.n.physicians)


def _generator(v: Verifier) -> list[Figure]:
    return generator_figures(v.config.n.generator)


def _attacks(v: Verifier) -> list[Figure]:
    return attack_figures(v.engine, v.judge, v.config.n.attacks)


PARTS: dict[str, Callable[[Verifier], list[Figure]]] = {
    "generator": _generator,
    "attacks": _attacks,
    "grader": _grader,
    "physicians": _physicians,
    "lures": _lures,
    "patient": _patient,
    "disclosure": _disclosure,
}
