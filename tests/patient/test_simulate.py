"""The units on a model played by the test: what it drafts and rewrites, and a judge that says Yes to everything."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tokenizers import AddedToken

from m2jax.patient.gate import SURE, probability, question
from m2jax.patient.interruption import Interruption
from m2jax.patient.persona import manner
from m2jax.patient.reference import tell
from m2jax.patient.script import Line, sample_script
from m2jax.patient.simulate import Units, consult, patient_turn, units_of
from m2jax.patient.words import read
from m2jax.sampler.requests import Completion, Generate, Score
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.verifier.calibration import Calibration
from m2jax.verifier.grader import Judge
from tests.patient.test_patient_rules import QUESTIONS, SCRIPT
from tests.text.fixtures import tiny_tokenizers as tiny

_BEGINS = ("", *(begin for lines in manner(SCRIPT.persona, "begins") for begin in lines))
_ENDS = ("", *(f" {end}" for lines in manner(SCRIPT.persona, "ends") for end in lines))
PLAIN = {f"{b}{'no' if b.endswith(', ') else 'No'} fever.{e}" for b in _BEGINS for e in _ENDS}


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Units:
    library = tiny.train_bpe()
    library.add_tokens([AddedToken(word, normalized=False) for word in ("Yes", "No")])
    tokenizer = load_tokenizer(tiny.write_folder(tmp_path_factory.mktemp("bpe"), library))
    return Units(tokenizer, judge=Judge(tokenizer), limit=3)


def spoken(tokenizer: Tokenizer, text: str) -> Completion:
    tokens = np.asarray([*tokenizer.encode(text), tokenizer.eos_ids[0]], np.int32)
    return Completion(tokens, np.zeros(len(tokens)), np.zeros(len(tokens)), True)


def play(dialogue, units, **says):
    """The dialogue's result and what it asked; `says` is what each role answers."""
    asked, answer = [], None
    while True:
        try:
            request = dialogue.send(answer)
        except StopIteration as end:
            return end.value, asked
        asked.append(request)
        if isinstance(request, Score):
            answer = [np.asarray([-0.1, -3.0])] * len(request.suffixes)
        else:
            answer = spoken(units.tokenizer, says[request.role])


def turn_of(units, message, draft, rewrite="Thank you, doctor."):
    dialogue = (Line("patient", "Hello."), Line("doctor", message))
    return play(patient_turn(SCRIPT, dialogue, units), units, affective=draft, factual=rewrite)


def test_a_good_draft_is_sent_and_nothing_else_is_asked(units):
    turn, asked = turn_of(units, "Any fever?", "I have no fever.")
    assert (turn.final, turn.source, turn.asked) == ("I have no fever.", "draft", ("fever",))
    assert [request.role for request in asked] == ["affective"]


def test_a_bad_draft_is_rewritten_once_and_then_replaced(units):
    turn, _ = turn_of(units, "Any fever?", "I have a fever.", "I have no fever, doctor.")
    assert (turn.source, turn.final) == ("rewrite", "I have no fever, doctor.")
    turn, asked = turn_of(units, "Any fever?", "I have a fever.", "Yes, a fever.")
    assert (turn.source, turn.draft) == ("neutral", "I have a fever.")
    assert turn.final in PLAIN
    assert [request.role for request in asked] == ["affective", "factual"]


def test_a_draft_that_does_not_answer_is_replaced_and_so_is_such_a_rewrite(units):
    turn, asked = turn_of(units, "Any fever?", "Thank you, doctor.")
    assert turn.final in PLAIN and (turn.source, turn.rewrite) == ("neutral", None)
    assert [request.role for request in asked] == ["affective"]
    turn, _ = turn_of(units, "Any fever?", "I have a fever.", "Thank you, doctor.")
    assert turn.final in PLAIN and turn.source == "neutral"
    turn, _ = turn_of(units, "We will look at your fever later.", "Thank you, doctor.")
    assert (turn.final, turn.source) == ("Thank you, doctor.", "draft")


def test_the_gate_comes_before_any_model_and_keeps_its_reason(units):
    turn, asked = turn_of(units, "This is gout. Take naproxen with food.", "Okay.")
    assert (turn.gate.stop, turn.gate.reason, turn.final, asked) == (True, "diagnosis", "", [])


def test_a_model_at_the_gate_is_asked_where_the_regression_is_not_sure_and_the_odds_are_multiplied(units):
    """A possibility, which the regression alone lets pass, ends the consultation where the model is sure enough."""
    sure, leaning = Calibration(bias=4.0), "It is probably gout."  # P(Yes) of this judge is 0.999
    gated = dataclasses.replace(units, gate=Judge(units.tokenizer, "gate", calibration=sure))
    assert SURE < probability([leaning]) < 0.05
    turn, asked = turn_of(gated, leaning, "I have no fever.")
    assert turn.gate.stop and asked[0].role == "gate" and leaning in units.tokenizer.decode(asked[0].prefix)
    assert turn.gate.p == probability([leaning]) and turn.gate.read > 0.99
    assert not turn_of(units, leaning, "I have no fever.")[0].gate.stop
    assert probability(["Any fever?"]) < SURE
    turn, asked = turn_of(gated, "Any fever?", "I have no fever.")
    assert not turn.gate.stop and turn.gate.read is None and all(request.role != "gate" for request in asked)
    unsure = dataclasses.replace(gated, gate=Judge(units.tokenizer, "gate"))
    assert not turn_of(unsure, leaning, "I have no fever.")[0].gate.stop


def test_where_the_gates_question_has_no_room_the_regression_decides_alone(units):
    gated = dataclasses.replace(units, gate=Judge(units.tokenizer, "gate"))
    asked = patient_turn(
        SCRIPT, (Line("patient", "Hello."), Line("doctor", "This sounds like gout, so rest it.")), gated
    )
    next(asked)
    with pytest.raises(StopIteration) as end:
        asked.throw(ValueError("does not fit"))
    assert end.value.value.gate.stop and end.value.value.gate.read is None


def test_the_gate_is_shown_the_end_of_what_was_said():
    assert question(["You have gout.", "x" * 5000 + " Goodbye!"]).endswith("x Goodbye!")
    assert "You have gout." in question(["You have gout.", "Any fever?", "Rest.", "Take naproxen.", "Goodbye!"])
    assert len(question(["a " * 3000] * 9)) < 2500


def test_units_are_played_by_the_adapters_that_have_cards_and_else_by_one_role(units):
    cards = {"affective": {}, "gate": {"calibration": {"temperature": 2.0, "bias": -1.0}}}
    made = units_of(units.tokenizer, cards, "start", 7)
    assert (made.affective, made.factual, made.judge, made.limit) == ("affective", "start", None, 7)
    assert (made.gate.role, made.gate.calibration) == ("gate", Calibration(2.0, -1.0))
    assert units_of(None, {}, "outside", 7) == Units(None, "outside", "outside", None, 7)


def test_no_kept_fact_reaches_a_reply_whatever_the_model_says(units):
    """Every hidden or private fact that was not asked for is drafted and rewritten word for word."""
    tried = 0
    for seed in range(12):
        script = sample_script(seed, "train")
        for fact in script.record.facts:
            for asked in QUESTIONS[1:3]:
                dialogue = (Line("patient", "Hello."), Line("doctor", asked))
                if fact.disclosure not in ("hidden", "private") or not read(fact.text).names:
                    continue
                said = tell(fact, script.record)
                turn, _ = play(patient_turn(script, dialogue, units), units, affective=said, factual=said)
                told = {f.text for f in script.record.facts if f.disclosure in ("volunteers", "asked")}
                known = read(" ".join(told)).names
                if read(said).names - known:
                    tried += 1
                    assert said not in turn.final, (seed, fact, turn)
    assert tried > 200


def test_the_prompt_of_the_draft_holds_no_kept_fact(units):
    _, (request, *_) = turn_of(units, "Any fever?", "I have no fever.")
    prompt = units.tokenizer.decode(request.prompt)
    assert "No fever" in prompt and not any(word in prompt for word in ("cannabis", "Crackles", "nfluenza", "smoked"))


def test_a_consultation_keeps_the_doctors_tokens_and_is_the_same_again(units):
    says = {"doctor": "Any fever?", "affective": "I have no fever.", "factual": "Thank you."}
    note = Interruption(0, "Is 39.5 too much?")
    one, asked = play(consult(SCRIPT, "Hello.", "doctor", units, note), units, **says)
    two, _ = play(consult(SCRIPT, "Hello.", "doctor", units, note), units, **says)
    assert (one.dialogue, one.rounds[-1].turn.gate.reason, len(one.rounds)) == (two.dialogue, "limit", 3)
    for before, after in zip(one.rounds, one.rounds[1:], strict=False):
        kept = [*before.prompt, *before.completion.tokens.tolist()]
        assert after.prompt[: len(kept)] == kept
    shown = {role: "" for role in ("doctor", "affective")}
    for request in asked:
        if isinstance(request, Generate):
            shown[request.role] += units.tokenizer.decode(request.prompt)
    assert "39.5" in shown["doctor"] and "39.5" not in shown["affective"]
    assert [line.text for line in one.shown[:2]] == ["Hello. Is 39.5 too much?", "Any fever?"]
