"""Who comes to the doctor: of every specialty in turn, or of records of one's own, of which a fifth is held out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from tokenizers import AddedToken

from m2jax.clinic import doctor
from m2jax.clinic.condition import conditions
from m2jax.clinic.sample import condition_of, sample_condition, sample_record
from m2jax.records.record import Fact, Record
from m2jax.rollout import patients, slices
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from tests.text.fixtures import tiny_tokenizers as tiny

FACTS = (
    ("complaint.1", "complaint", "Pain in the right upper abdomen since last night.", "volunteers"),
    ("symptom.1", "symptom", "The patient reports a fever of 38.5 degrees.", "asked"),
    ("symptom.2", "symptom", "She denies vomiting.", "asked"),
    ("drug.1", "drug", "Takes ramipril for blood pressure.", "asked"),
    ("exam.1", "exam", "Murphy's sign is positive.", "hidden"),
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    library = tiny.train_bpe()
    library.add_tokens([AddedToken(word, normalized=False) for word in ("Yes", "No")])
    return load_tokenizer(tiny.write_folder(tmp_path_factory.mktemp("bpe"), library))


def made(n: int) -> list[Record]:
    facts = tuple(Fact(*fact) for fact in FACTS)
    return [Record(f"mine-{i}", 40 + i, "female", "acute cholecystitis", facts, "mine") for i in range(n)]


def write(path: Path, n: int) -> Path:
    rows = [
        {"id": r.id, "age": r.age, "sex": r.sex, "diagnosis": r.diagnosis, "source": r.source}
        | {"facts": [dict(zip(("id", "kind", "text", "disclosure"), fact, strict=True)) for fact in FACTS]}
        for r in made(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_patients_come_of_every_specialty_in_turn():
    wanted = {c.specialty for c in conditions() if c.split == "train"}
    seeds = [patients.stratified(i, 0, "train") for i in range(2 * len(wanted))]
    assert len(set(seeds)) == len(seeds)
    assert sample_condition(seeds[0], "train") == condition_of(sample_record(seeds[0], "train"))
    counts = Counter(condition_of(sample_record(seed, "train")).specialty for seed in seeds)
    assert set(counts) == wanted and set(counts.values()) == {2}


def test_records_come_once_each_before_any_comes_again():
    come = patients.of_records(made(7))
    rounds = [[come(7 * again + i, 3)[0].record.id for i in range(7)] for again in range(3)]
    assert all(sorted(ids) == [f"mine-{i}" for i in range(7)] for ids in rounds) and len(set(map(tuple, rounds))) == 3
    assert come(4, 3) == come(4, 3) and len({come(7 * again, 3)[0].persona for again in range(9)}) > 3
    assert come(0, 3)[1] == "Hello, doctor. Pain in the right upper abdomen since last night."


def test_every_fifth_record_is_held_out(tmp_path: Path):
    train, heldout = patients.read(write(tmp_path / "mine.jsonl", 11))
    assert [r.id for r in heldout] == ["mine-4", "mine-9"] and len(train) == 9
    with pytest.raises(ValueError, match=r"few.jsonl has 4 records; every fifth is held out, so give at least 5"):
        patients.read(write(tmp_path / "few.jsonl", 4))


def test_heldout_slices_of_records(tokenizer: Tokenizer):
    records = made(24)
    cases = slices.heldout_slices(20, 3, tokenizer, 2000, records)
    assert cases == slices.heldout_slices(20, 3, tokenizer, 2000, records) and len({c.id for c in cases}) == 20
    assert {c.split for c in cases} == {"heldout"} and {c.topic for c in cases} == {"acute cholecystitis"}
    assert {len(c.messages) // 2 for c in cases} == {0, 1, 2, 3}
    asked = " ".join(c.text for c in next(c for c in cases if len(c.messages) == 1).rubric)
    assert "Asks about: fever, degrees (" in asked and "Asks about: vomiting (" in asked
    assert "cholecystitis" not in asked
    with pytest.raises(ValueError, match=r"the opening of mine-0 is a prompt of \d+ tokens; .* is 20: raise it"):
        slices.check_openings(records, tokenizer, 20)


def test_the_scripted_doctor_asks_for_what_a_record_from_outside_has():
    said = [move.text for seed in range(30) for move in doctor.moves(made(1)[0], seed, 6)]
    assert any("medic" in text for text in said) and not any("{" in text or " 1" in text for text in said)
    bare = Record("bare", 1, "male", "gout", made(1)[0].facts[:1], "mine")
    assert len(doctor.moves(bare, 0, 6)) == 6
