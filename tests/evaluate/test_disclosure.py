"""What the figures of disclosure make of a patient that answers, one that tells everything and one that invents."""

from __future__ import annotations

import json

import numpy as np
import pytest

from m2jax.evaluate import disclosure
from m2jax.patient.script import said_by
from m2jax.patient.simulate import Turn
from m2jax.records.load import load

CASES = [
    {
        "id": i,
        "question": "Which is the most likely diagnosis?",
        "answer": "Migraine",
        "options": {"A": "Migraine"},
        "context": ["A 30-year-old woman has a headache."],
        "facts": [
            "The woman has a throbbing headache.",
            "The woman noticed zigzag lines before it.",
            "The woman takes metoprolol every morning.",
            "The woman denied having neck stiffness.",
        ],
        "patient": {"age": "30 years", "gender": "female"},
    }
    for i in range(3)
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(json.dumps(case) + "\n" for case in CASES))
    return path


def test_a_question_asks_for_its_fact_by_its_own_words(file):
    (record, *_), _ = load(file)
    rng = np.random.default_rng(0)
    wanted = next(f for f in record.facts if "zigzag" in f.text)
    text, about = disclosure.question(record, wanted, rng)
    assert "zigzag" in text and wanted.id in about
    assert not about & {f.id for f in record.facts if f.disclosure == "hidden" or "metoprolol" in f.text}


@pytest.mark.parametrize(
    ("says", "told", "kept", "true"),
    [
        (lambda asked, record: " ".join(f.text for f in record.facts if f.id == asked), 1.0, 1.0, 1.0),
        (lambda asked, record: " ".join(f.text for f in record.facts if f.disclosure != "hidden"), 1.0, 0.5, 1.0),
        (lambda asked, record: "I have asthma, and I take warfarin 5 mg.", 0.0, 1.0, 0.0),
    ],
    ids=["answers", "tells everything", "invents"],
)
def test_the_figures_of_a_patient(monkeypatch, file, says, told, kept, true):
    asked: list[str] = []
    question = disclosure.question

    def noted(record, fact, rng):
        asked.append(fact.id)
        return question(record, fact, rng)

    def turn(script, dialogue, units):
        assert said_by("doctor", dialogue)
        return Turn(type("Open", (), {"stop": False})(), final=says(asked[-1], script.record))
        yield

    monkeypatch.setattr(disclosure, "question", noted)
    monkeypatch.setattr(disclosure, "patient_turn", turn)

    class Engine:
        def run(self, dialogues):
            return [ended(dialogue) for dialogue in dialogues]

    def ended(dialogue):
        with pytest.raises(StopIteration) as end:
            next(dialogue)
        return end.value.value

    monkeypatch.setattr(disclosure, "results_of", lambda results: results)
    figures = {f.name.partition(": ")[2]: f for f in disclosure.disclosure_figures(Engine(), None, file, 0, 3)}
    assert figures["asked facts told"].value == told and figures["asked facts told"].n == len(CASES)
    assert (figures["turns without an unasked fact"].value >= 0.99) is (kept == 1.0)
    assert figures["turns without contradiction or invention"].value == true
