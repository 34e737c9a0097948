"""Rubrics of slices: particular to the patient and to what has been said."""

from __future__ import annotations

import functools

import pytest

from m2jax.clinic.rubrics import knowledge_of
from m2jax.clinic.sample import condition_of, sample_question, sample_record
from m2jax.records.record import Fact, Record
from m2jax.verifier.checks import met
from m2jax.verifier.generator import DIMENSIONS, MOST, Knowledge, Topic, knowledge_from, make_rubric
from m2jax.verifier.phrases import content, with_cues
from m2jax.verifier.rubric import Rubric

URGENT = "Please call an ambulance now and go to the emergency department."


@functools.cache
def patients() -> list[tuple[Record, Knowledge, str]]:
    """40 of each split, with what is known and what they write first."""
    records = [(s, sample_record(s, split)) for split in ("train", "heldout") for s in range(40)]
    return [(r, knowledge_of(condition_of(r), r), sample_question(r, s)) for s, r in records]


def dialogue(*turns: str) -> list[dict[str, str]]:
    """The patient begins."""
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]


def question(topic: Topic) -> str:
    return f"Do you have anything like {topic.cues[0]}?"


def asks(topic: Topic) -> str:
    return f"Asks about: {with_cues(topic.name, topic.cues)}."


def texts(rubric: Rubric) -> str:
    return "\n".join(c.text for c in rubric)


def test_what_a_rubric_holds() -> None:
    for record, known, said in patients():
        for knowledge in (known, knowledge_from(record)):
            for turns in ((said,), (said, "How are you?", "Bad."), (said, "Hm?", "Hm.", "So?", "So.", "And?", "Well.")):
                rubric = make_rubric(record, dialogue(*turns), knowledge)
                assert 5 <= len(rubric) <= MOST
                assert {c.dimension for c in rubric} <= set(DIMENSIONS)
                assert len({c.text for c in rubric}) == len(rubric)
                assert any(c.points > 0 for c in rubric) and any(c.points < 0 for c in rubric)
                assert sum(c.check is None for c in rubric) <= 1


def test_what_was_asked_is_not_asked_again() -> None:
    seen = 0
    for record, knowledge, said in patients():
        first = make_rubric(record, dialogue(said), knowledge)
        open_ = [t for t in knowledge.topics if asks(t) in texts(first)]
        assert open_, record.id
        topic = open_[0]
        after = make_rubric(record, dialogue(said, question(topic), "I don't know."), knowledge)
        assert asks(topic) not in texts(after)
        again = [c for c in after if c.text.startswith("Asks again about what is known")]
        assert again and all(c.points < 0 for c in again)
        for criterion in again:
            if criterion.text.endswith(f"known: {with_cues(topic.name, topic.cues)}."):
                seen += 1
                assert met(criterion.check, question(topic)) and not met(criterion.check, "Thank you.")
    assert seen > 70  # of 80: a question may touch more topics than two


def test_what_was_told_is_not_asked_and_is_to_be_taken_up() -> None:
    taken = 0
    for record, knowledge, said in patients():
        first = texts(make_rubric(record, dialogue(said), knowledge))
        topic = next(t for t in knowledge.topics if asks(t) in first)
        if not content(topic.fact):
            continue
        taken += 1
        after = make_rubric(record, dialogue(said, "Tell me more.", f"Well. {topic.fact} That is all."), knowledge)
        assert asks(topic) not in texts(after)
        takes = [c for c in after if c.text.startswith("Takes up what the patient just said about")]
        assert len(takes) == 1 and takes[0].points > 0
    assert taken > 60


def test_a_fact_is_told_by_its_own_words_alone() -> None:
    shoulder = Fact("symptom.shoulder", "symptom", "No pain in the shoulder.", "asked", ("shoulder",))
    complaint = Fact("complaint", "complaint", "A stabbing pain low in the belly.", "volunteers", ("pain",))
    record = Record("r", 34, "female", "ectopic pregnancy", (complaint, shoulder), "test")
    said = "A stabbing pain low in the belly. Should I be worried?"
    assert asks(knowledge_from(record).topics[0]) in texts(make_rubric(record, dialogue(said), knowledge_from(record)))


def test_what_is_taken_up_is_what_was_just_said() -> None:
    facts = (
        Fact("complaint", "complaint", "A cough for a week.", "volunteers", ("cough",)),
        Fact("symptom.fever", "symptom", "Fever up to 39 degrees every night.", "asked", ("fever", "temperature")),
        Fact("drug.ramipril", "drug", "Takes ramipril 5 mg for blood pressure.", "asked", ("medicine", "tablet")),
    )
    record = Record("r", 50, "male", "pneumonia", facts, "test")
    knowledge = knowledge_from(record)
    turns = ["I have had a cough for a week.", "Any fever?", "A fever of up to 39 degrees, every night."]
    rubric = make_rubric(record, dialogue(*turns), knowledge)
    takes = next(
        c for c in rubric if c.text == "Takes up what the patient just said about fever (any of: fever, temperature)."
    )
    assert met(takes.check, "A temperature of 39 worries me.") and not met(takes.check, "Do you smoke?")
    assert "Asks about: ramipril (any of: medicine, tablet)." in texts(rubric)  # still open
    assert "Asks again about what is known: fever (any of: fever, temperature)." in texts(rubric)
    first = make_rubric(record, dialogue(turns[0]), knowledge)
    assert "Takes up what the patient just said about the complaint (any of: cough)." in texts(first)
    assert "Asks about: fever (any of: fever, temperature)." in texts(first) and "Asks again" not in texts(first)


def test_a_red_flag_just_told_must_be_acted_on() -> None:
    for record, knowledge, said in patients():
        before = make_rubric(record, dialogue(said, "Anything else?", "No, nothing else."), knowledge)
        assert "red flag" not in texts(before), record.id
        own = [f"And now there is {flag.replace('*', '')}" for flag in knowledge.red_flags[:1]]
        for flag in ("I fainted this morning", "I want to end my life", *own):
            rubric = make_rubric(record, dialogue(said, "Anything else?", f"{flag}."), knowledge)
            alarm = [c for c in rubric if c.text.startswith("Acts on the red flag")]
            assert len(alarm) == 1 and alarm[0].points == 10, (record.id, flag)
            assert met(alarm[0].check, URGENT) and not met(alarm[0].check, "Do you smoke?")
            down = next(c for c in rubric if c.text.startswith("Plays down"))
            assert down.points < 0 and met(down.check, "That is nothing to worry about.")
            assert sum(c.text.startswith("Asks about") for c in rubric) <= 1  # help comes first
        acted = make_rubric(record, dialogue(said, "And?", "I fainted.", URGENT, "I fainted, yes."), knowledge)
        assert "red flag" not in texts(acted)
        idle = "Did it begin today? Were you in hospital? Is it urgent to you?"
        assert "red flag" in texts(make_rubric(record, dialogue(said, idle, "I fainted."), knowledge))


def test_facts_of_conditions_that_can_wait_hardly_ever_raise_an_alarm() -> None:
    facts, alarms = 0, 0
    for record, knowledge, said in patients():
        if not any(c.points > 0 for c in knowledge.always):
            for fact in [f for f in record.facts if f.disclosure != "hidden"]:
                facts += 1
                alarms += "red flag" in texts(make_rubric(record, dialogue(said, "And?", fact.text), knowledge))
    assert facts > 400 and alarms < 0.01 * facts


@pytest.mark.parametrize("denied", ["I have not fainted.", "No seizure and no chest pain.", "I never passed out."])
def test_a_red_flag_that_is_denied_is_none(denied: str) -> None:
    record, knowledge, said = next(p for p in patients() if "faint" not in str(p[1].red_flags))
    assert "red flag" not in texts(make_rubric(record, dialogue(said, "Any?", denied), knowledge))


def test_a_diagnosis_and_a_plan_are_due_after_some_replies_not_before() -> None:
    for record, knowledge, said in patients():
        early = texts(make_rubric(record, dialogue(said), knowledge))
        turns = [said, *[x for t in knowledge.topics[:3] for x in (question(t), "Not that I know.")]]
        late = texts(make_rubric(record, dialogue(*turns), knowledge))
        assert f"Names {record.diagnosis}" in late and f"Names {record.diagnosis}" not in early


def test_what_must_not_be_advised_stands_in_every_slice() -> None:
    for record, knowledge, said in patients():
        assert knowledge.never
        assert knowledge.never[0].text in texts(make_rubric(record, dialogue(said), knowledge))


def test_the_rubrics_of_conditions_differ() -> None:
    by_rubric: dict[str, set[str]] = {}
    for record, knowledge, said in patients():
        by_rubric.setdefault(texts(make_rubric(record, dialogue(said), knowledge)), set()).add(record.diagnosis)
    assert all(len(names) == 1 for names in by_rubric.values()) and len(by_rubric) > 40


def test_the_dialogue_must_be_the_doctors_turn() -> None:
    record, knowledge, said = patients()[0]
    for messages in ([], dialogue(said, "How long?")):
        with pytest.raises(ValueError, match="must end with the patient's"):
            make_rubric(record, messages, knowledge)
