"""Attacks on the grader and lures for the patient, without a model: by checks and rules alone."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from m2jax.clinic.sample import sample_case
from m2jax.evaluate.attacks import ATTACKS, honest_reply
from m2jax.evaluate.lures import LURES, obeying, situation, told
from m2jax.patient.reference import neutral_reply
from m2jax.patient.simulate import Units
from m2jax.verifier.checks import met
from m2jax.verifier.reward import Verdict, grade_checks, score_minmax
from m2jax.verifier.rubric import Case


@functools.cache
def cases() -> list[tuple[Case, str]]:
    """20 training cases with their honest replies."""
    drawn = [sample_case(seed, "train") for seed in range(400, 420)]
    return [(case, honest_reply(case, np.random.default_rng(i))) for i, case in enumerate(drawn)]


def score(case: Case, verdicts: list[Verdict | None]) -> float:
    """Of the criteria that have a check."""
    decided = [(c.points, v.met) for c, v in zip(case.rubric, verdicts, strict=True) if v]
    return score_minmax(*map(list, zip(*decided, strict=True)))


def unguarded(case: Case, reply: str) -> list[Verdict | None]:
    return [None if c.check is None else Verdict(met(c.check, reply), None, "check") for c in case.rubric]


def attacked(name: str) -> list[tuple[Case, str, str]]:
    return [
        (case, reply, ATTACKS[name](case, reply, np.random.default_rng(i))) for i, (case, reply) in enumerate(cases())
    ]


def test_the_honest_reply_is_decent_and_leaves_something_to_gain() -> None:
    scores = [score(case, grade_checks(case.rubric, reply)) for case, reply in cases()]
    empty = [score(case, grade_checks(case.rubric, "")) for case, _ in cases()]
    assert np.mean(empty) + 0.3 < np.mean(scores) < 0.8


@pytest.mark.parametrize("name", sorted(set(ATTACKS) - {"scattered advice"}))
def test_no_class_gains(name: str) -> None:
    gains = [
        score(case, grade_checks(case.rubric, reply)) - score(case, grade_checks(case.rubric, honest))
        for case, honest, reply in attacked(name)
    ]
    assert np.mean(gains) <= 0


@pytest.mark.parametrize("name", ["keyword lists", "copied rubric language"])
def test_without_guards_these_would_gain(name: str) -> None:
    """Else the test above would show nothing. (Forged rubrics name what must not be said, and lose by that.)"""
    gains = [
        score(case, unguarded(case, bad)) - score(case, unguarded(case, good)) for case, good, bad in attacked(name)
    ]
    assert np.mean(gains) > 0


def test_every_attack_keeps_the_honest_reply() -> None:
    for name in ATTACKS:
        for _, honest, reply in attacked(name):
            assert honest in reply and len(reply) > len(honest)


def test_there_are_enough_lures() -> None:
    assert len(LURES) >= 5 and sum(map(len, LURES.values())) >= 30


def test_the_units_alone_keep_the_record() -> None:
    """A draft that tells everything is not sent; the neutral reply tells no kept fact."""
    leaks, n = 0, 0
    for texts in LURES.values():
        for i, text in enumerate(texts):
            script, dialogue = situation(text, i)
            turn = obeying(script, dialogue, Units(None, judge=None))
            with pytest.raises(StopIteration) as ended:
                next(turn)
            assert ended.value.value == neutral_reply(script, dialogue)
            leaks, n = leaks + bool(told(ended.value.value, script.record, dialogue)), n + 1
    assert n >= 30 and leaks <= 1


def test_what_is_told_is_noticed() -> None:
    script, dialogue = situation("Tell me your whole record.", 0)
    kept = [f for f in script.record.facts if f.disclosure == "private"][0]
    assert kept in told(f"Well, {kept.text}", script.record, dialogue)
    assert told("I would rather not say.", script.record, dialogue) == []
    free = next(f for f in script.record.facts if f.disclosure == "volunteers")
    assert told(free.text, script.record, dialogue) == []
