"""How good a doctor a model is: what counts, on messages where that is known, and every part in small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs import eval_doctor
from m2jax.clinic.condition import conditions
from m2jax.clinic.sample import condition_of
from m2jax.data import practice
from m2jax.evaluate import doctor
from m2jax.patient.disclosed import asked
from m2jax.patient.outcome import open_facts, outcome
from m2jax.patient.script import sample_script
from m2jax.sampler.requests import Completion
from m2jax.text.tokenizer import load_tokenizer
from m2jax.weights import names
from tests.train.tiny_run import write_model


def test_every_part_gives_its_figures(tmp_path: Path):
    config = eval_doctor.get_config("smoke")
    config.model, config.longest = str(write_model(tmp_path / "model")), 4096
    figures = {f.name: f for f in doctor.run(config, lambda _: None)}
    assert [*figures] == [
        "multiple choice", "numeric items",
        "rubric score", "first reply asks what is needed", "tokens of a first reply",
        *doctor.MEASURES, "perplexity of general text",
    ]  # fmt: skip
    assert [len(f.each) for f in figures.values()] == [3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2]
    assert set(figures["multiple choice"].each) <= {0, 1} and set(figures["messages of a consultation"].each) == {2}
    assert figures["perplexity of general text"].value > 50  # of 432 tokens, untrained
    again = [f for f in doctor.run(config, lambda _: None)]
    assert again == [*figures.values()]
    config.n.update({"questions": 0, "sums": 0, "replies": 0, "consultations": 0})
    assert [f.name for f in doctor.run(config, lambda _: None)] == ["perplexity of general text"]


def test_a_sum_counts_where_it_is_worked_out_right():
    """An engine that works out every second one."""

    class Engine:
        def run(self, dialogues: list[Any]) -> list[Any]:
            return [self.ended(dialogue, i) for i, dialogue in enumerate(dialogues)]

        def ended(self, dialogue: Any, i: int) -> Any:
            next(dialogue)
            said = practice.worked(doctor.SEED + i, "heldout")[1] if i % 2 else "The answer is 0 mg."
            try:
                none = np.zeros(0, np.float32)
                dialogue.send(Completion(np.asarray(tokenizer.encode(said)), none, none, stopped=True))
            except StopIteration as end:
                return end.value

    tokenizer = load_tokenizer(names.resolve("smollm2-135m-instruct"))
    (found,) = doctor.sums(Engine(), tokenizer, 10, eval_doctor.get_config())
    assert found.name == "numeric items" and found.each == (0, 1) * 5


@pytest.mark.parametrize("seed", range(doctor.SEED, doctor.SEED + 20))
def test_what_a_doctor_asks_names_and_advises_is_counted(seed: int):
    record = sample_script(seed, "heldout").record
    condition, key = condition_of(record), open_facts(record)
    facts = {f.id: f for f in record.facts}
    questions = {
        name: next(
            (
                f"Tell me about the {c}?"
                for c in facts[name].cues
                if name in asked(f"Tell me about the {c}?", record).facts
            ),
            "",
        )
        for name in sorted(key)
    }
    said = tuple(q for q in questions.values() if q) or ("Hello.",)
    all_asked = outcome(record, said)
    found = {name for message in said for name in asked(message, record).facts} & key
    assert all_asked.share == (len(found) / len(key) if key else 1) and all_asked.messages == len(said)
    assert all_asked.per_message == pytest.approx(len(found) / len(said))
    told = outcome(record, (f"You have {condition.name}. {condition.safety_net.text}",))
    assert told.diagnosis == 1 and told.safety_net == 1 and told.messages == 1
    nothing = outcome(record, ("I see.",))
    assert nothing[1:] == (0, 0, 0, 1) and nothing.share == (0 if key else 1)
    denied = outcome(record, (f"You do not have {condition.name}.",))
    assert denied.diagnosis == 0
    assert outcome(record, (f"Have you ever had {condition.name}?",)).diagnosis == 0
    cues = " ".join(f"Any {cue}?" for f in record.facts for cue in f.cues)
    everything = f"It could be {', '.join(c.name for c in conditions())}. {cues}"
    hacked = outcome(record, (everything, f"Any {', '.join(cue for f in record.facts for cue in f.cues)}?"))
    assert hacked.diagnosis == 0 and (hacked.share <= 0.5 or len(key) < 3)


def test_a_thought_is_kept_and_not_heard():
    """Its questions are not answered, and its diagnosis is not counted."""
    tokenizer = load_tokenizer(names.resolve("smollm2-135m-instruct"))
    name = condition_of(sample_script(doctor.SEED, "heldout").record).name
    answer, none, whole = None, np.zeros(0, np.float32), f"<think>Goodbye. It is {name}.</think>\nTell me more."
    dialogue = doctor.consult(doctor.SEED, tokenizer, 2)
    with pytest.raises(StopIteration) as end:
        while True:
            dialogue.send(answer)
            answer = Completion(np.asarray(tokenizer.encode(whole)), none, none, stopped=True)
    reached, said = end.value.value
    assert (reached.messages, reached.diagnosis) == (2, 0)
    assert [line.text for line in said if line.who == "doctor"] == [whole] * 2


def test_most_patients_have_something_to_be_asked_for():
    records = [sample_script(doctor.SEED + i, "heldout").record for i in range(40)]
    assert sum(len(open_facts(r)) for r in records) / 40 > 3


def test_an_unknown_preset_is_named():
    with pytest.raises(ValueError, match="no preset '32b'"):
        eval_doctor.get_config("32b")
    assert json.loads(eval_doctor.get_config().to_json())["kind"] == "doctor"
