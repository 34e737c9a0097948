"""Physicians' pairs: reading them, the criterion they make, and baselines that cannot see what they are tried on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from m2jax.evaluate.physicians import (
    FILE,
    Pair,
    bags,
    best_threshold,
    by_question,
    by_record,
    criterion,
    load_pairs,
    overlap,
)
from m2jax.evaluate.words import cross_fitted, fit

HEAD = ",Question,llm_x,answer,claim,category_x,majority_label,label_0,label_1,label_2\n"
ROW = '2,How?,m,"Rest, and drink water.",Rest helps,Must_have,{},Neutral,Neutral,Neutral\n'


def test_pairs_are_read_with_the_majority(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(HEAD + "".join(ROW.format(x) for x in ("Entailment", "Neutral", "Contradiction")))
    assert [p.entailed for p in load_pairs(tmp_path)] == [True, False, False]
    assert load_pairs(tmp_path)[0] == Pair("How?", "Rest, and drink water.", "Rest helps", True)
    (tmp_path / FILE).write_text(HEAD + ROW.format("Entailment") + ROW.format("Perhaps"))
    with pytest.raises(ValueError, match="record 2.*'Perhaps'"):
        load_pairs(tmp_path)


def test_a_statement_becomes_a_criterion() -> None:
    assert criterion("Rest helps.").text == "States that rest helps."
    assert criterion("SSRIs take weeks").text == "States that SSRIs take weeks."
    assert criterion("A rash fades.").text == "States that a rash fades."
    assert criterion("HbA1c is 48.").text == "States that HbA1c is 48."


def pairs(n: int = 60) -> list[Pair]:
    """Entailed where the answer holds the statement's word; three to a question."""
    rng = np.random.default_rng(0)
    words = ["fever", "cough", "aspirin", "water", "rest", "sleep", "honey", "tablet"]
    found = []
    for i in range(n):
        yes, word = rng.random() < 0.4, words[rng.integers(len(words))]
        other = words[(words.index(word) + 1) % len(words)]
        found.append(Pair(f"Question {i // 3}?", f"Think of {word if yes else other}.", f"Mentions {word}", yes))
    return found


def test_baselines_learn_what_is_there_and_nothing_from_noise() -> None:
    given, folds = pairs(), by_question(pairs())
    truth = np.array([p.entailed for p in given])
    for said in (best_threshold(overlap(given), truth, folds), cross_fitted(bags(given), truth, folds)):
        assert (said == truth).mean() > 0.95
    noise = np.random.default_rng(1).random(len(truth)) < 0.5
    assert (cross_fitted(bags(given), noise, folds) == noise).mean() < 0.75  # fitted on itself it would be near 1


def test_no_question_is_in_two_folds() -> None:
    given, folds = pairs(), by_question(pairs())
    for question in {p.question for p in given}:
        assert len({f for p, f in zip(given, folds, strict=True) if p.question == question}) == 1
    assert len(by_record(given, np.zeros(len(given), bool))) == 20


def test_the_regression_is_at_its_minimum() -> None:
    """More descent changes nothing, and balanced classes put the boundary between the means."""
    x = np.concatenate([np.full(30, 1.0), np.full(10, 3.0)])[:, None]
    weights, bias = fit(x, np.arange(40) >= 30)
    assert weights[0] > 0 and -bias / weights[0] == pytest.approx(2.0, abs=0.05)
