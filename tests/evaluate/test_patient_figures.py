"""Consultations with patients played by the test: what the figures make of a good one, a chatterbox and a liar."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tokenizers import AddedToken

from m2jax.data import stops
from m2jax.evaluate import roles
from m2jax.evaluate.patient import _consult, figures_of, gate_figures, gate_turns, personification
from m2jax.evaluate.words import balanced_guesses
from m2jax.patient.gate import is_sure, probability, question
from m2jax.patient.simulate import Units
from m2jax.sampler.requests import Completion, Score
from m2jax.text.tokenizer import load_tokenizer
from m2jax.verifier.calibration import Calibration
from m2jax.verifier.grader import Judge
from tests.text.fixtures import tiny_tokenizers as tiny

N, ROUNDS = 6, 4


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Units:
    library = tiny.train_bpe()
    library.add_tokens([AddedToken(word, normalized=False) for word in ("Yes", "No")])
    return Units(load_tokenizer(tiny.write_folder(tmp_path_factory.mktemp("bpe"), library)))


def heard(units: Units, form: str, says: str, n: int = N):
    """n consultations in which every role says the same."""
    found = []
    for number in range(n):
        dialogue, answer = _consult(number, ROUNDS, form, units, "start"), None
        while True:
            try:
                request = dialogue.send(answer)
            except StopIteration as end:
                found.append(end.value)
                break
            assert not isinstance(request, Score)
            tokens = np.asarray(units.tokenizer.encode(says), np.int32)
            answer = Completion(tokens, np.zeros(len(tokens)), np.zeros(len(tokens)), True)
    return found


class Reader:
    """An engine in which whoever is asked says Yes to what `says` is true of, with P 0.9, else with P 0.1."""

    def __init__(self, tokenizer, says):
        self.tokenizer, self.says = tokenizer, says

    def run(self, dialogues, *, seed=0, keys=None):
        return [self._play(dialogue) for dialogue in dialogues]

    def _play(self, dialogue):
        answer = None
        while True:
            try:
                request = dialogue.send(answer)
            except StopIteration as end:
                return end.value
            yes = 0.9 if self.says(self.tokenizer.decode(request.prefix)) else 0.1
            answer = [np.log([yes, 1 - yes])]


def test_the_gates_figures_are_those_of_model_and_regression_together_and_of_the_latter_alone(units):
    alone = gate_figures(Reader(units.tokenizer, None), units)
    assert len(alone) == 2 and all(0.9 < figure.value < 1 for figure in alone)
    sure = Calibration(bias=-30.0)  # never Yes
    gated = dataclasses.replace(units, gate=Judge(units.tokenizer, "gate", calibration=sure))
    found = gate_figures(Reader(units.tokenizer, lambda prompt: True), gated)
    ends = [messages for messages, stop in gate_turns() if stop]
    certain = sum(is_sure(messages) and probability(messages) > 0.5 for messages in ends)  # nobody is asked
    assert [figure.value for figure in found[:2]] == [certain / len(ends), 1.0] and 0 < certain < len(ends)
    assert [figure.value for figure in found[2:]] == [figure.value for figure in alone]


def test_the_gate_role_is_measured_on_messages_held_out(units):
    over = {question(row.messages) for row in stops.split_rows("heldout") if row.stop}
    right = Reader(units.tokenizer, lambda prompt: any(asked in prompt for asked in over))
    wrong = Reader(units.tokenizer, lambda prompt: not right.says(prompt))
    given = {engine: roles.gate(engine, units.tokenizer, "gate", 60) for engine in (right, wrong)}
    assert given[right]["messages"]["agreement"] == 1 and given[right]["messages"]["n"] == 60
    assert given[right]["calibration"]["temperature"] < 1
    assert given[wrong]["calibrated"]["agreement"] < 0.7  # no calibration turns a judge round
    assert set(roles.gate(right, units.tokenizer, "gate", 60, fitted=False)) == {"messages"}


def values(figures) -> dict[str, float]:
    return {f.name.partition(": ")[2]: f.value for f in figures}


def test_a_patient_who_only_thanks_is_made_to_answer_stays_private_and_true_and_its_gate_is_right(units):
    assert values(figures_of(heard(units, "two", "Thank you, doctor."), "two", full=False))["answers"] == 0
    found = values(figures_of(heard(units, "three", "Thank you, doctor."), "three", full=True))
    assert found["privacy"] == found["fact"] == 1.0
    assert found["answers"] > 0.9
    assert found["gate stops when it should"] == found["gate goes on when it should"] == 1.0


def test_a_chatterbox_leaks_and_a_liar_invents_unless_the_units_stop_them(units):
    leak = "I have never smoked and I drink no alcohol and I take no recreational drugs."
    lie = "I have a cough with blood, chest pain and asthma, and I take warfarin."
    for form in ("single", "two"):
        assert values(figures_of(heard(units, form, leak), form, full=False))["privacy"] < 0.5
        assert values(figures_of(heard(units, form, lie), form, full=False))["fact"] < 0.2
    assert values(figures_of(heard(units, "three", leak), "three", full=True))["privacy"] > 0.9
    assert values(figures_of(heard(units, "three", lie), "three", full=True))["fact"] > 0.9


def test_personification_is_chance_where_all_speak_alike(units):
    (found,) = personification(heard(units, "two", "I see.", 24), "two")
    assert found.value == pytest.approx(0.5, abs=0.15)


def test_a_classifier_of_words_finds_what_is_there_and_nothing_where_nothing_is():
    rng = np.random.default_rng(0)
    labels = ["a" if i % 3 else "b" for i in range(90)]
    noise = [" ".join(rng.choice(["one", "two", "three", "four"], 3)) for _ in labels]
    told = [f"{text} {'glad' if label == 'a' else 'sorry'}" for text, label in zip(noise, labels, strict=True)]
    assert np.mean(balanced_guesses(told, labels)) > 0.95
    assert np.mean(balanced_guesses(noise, labels)) == pytest.approx(0.5, abs=0.15)
    with pytest.raises(ValueError, match="two labels"):
        balanced_guesses(["x", "y"], ["a", "a"])
