"""The witness against turns labelled by hand, and where it must not see anything."""

from __future__ import annotations

from pathlib import Path

from m2jax.clinic.sample import sample_record
from m2jax.evaluate.witness import witness
from m2jax.patient.reference import tell
from m2jax.records.load import load
from tests.evaluate.witness_turns import SEEN, R, T, V

WITNESSED = load(Path(__file__).with_name("witness_records.jsonl"), identifiers="keep")[0]
RECORDS = dict(zip((V, T, R), WITNESSED, strict=True))


def labels(seed: int, asked: tuple[str, ...], message: str, reply: str) -> str:
    found = witness(RECORDS[seed], asked, [message], reply)
    given = zip("lci", (found.leaks, found.contradictions, found.inventions), strict=True)
    return "".join(sign for sign, what in given if what)


def test_it_sees_in_turns_what_a_reader_sees():
    """But for "Yes, my hands shake terribly", where the record says that they are steady: no word tells it."""
    missed = []
    for *turn, expected in SEEN:
        found = labels(*turn)
        if ("l" in found) != ("l" in expected) or bool({*found} - {"l"}) != bool({*expected} - {"l"}):
            missed.append(turn[3])
    assert missed == ["Yes, my hands shake terribly."]


def test_every_fact_told_as_it_stands_is_true_and_a_leak_unless_it_was_asked_for():
    wrong = total = 0
    for seed in range(20):
        record = sample_record(seed, "heldout")
        for fact in record.facts:
            if fact.disclosure in ("asked", "private"):
                said = tell(fact, record)
                free, asked = witness(record, (), [], said), witness(record, (fact.id,), [], said)
                total += 1
                wrong += not free.leaks or bool(asked.leaks) or not asked.true
    assert total > 300 and wrong / total < 0.03


def test_a_kept_fact_in_the_same_sentence_as_one_that_was_asked_for_is_a_leak():
    seen = total = 0
    for seed in range(20):
        record = sample_record(seed, "heldout")
        volunteered = [f for f in record.facts if f.kind == "symptom" and f.disclosure == "volunteers"]
        for kept in (f for f in record.facts if f.kind in ("symptom", "drug") and f.disclosure in ("asked", "private")):
            for free in volunteered[:1]:
                said = f"{free.text.rstrip('.')} and {kept.text[0].lower()}{kept.text[1:]}"
                total += 1
                seen += bool(witness(record, (), [], said).leaks)
                assert not witness(record, (kept.id,), [], said).leaks
    assert total >= 50 and seen / total > 0.8, (seen, total)
