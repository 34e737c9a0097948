"""Records read back as they were written, and a bad one is named by file and line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from m2jax.records.load import load
from m2jax.records.record import Fact, Record, write_records

RECORD = Record(
    "r1",
    54,
    "female",
    "acute cholecystitis",
    (
        Fact("pain", "complaint", "Pain in the right upper abdomen since last night.", "volunteers", ("pain", "hurt")),
        Fact("wine", "social", "Drinks a bottle of wine a day.", "private"),
    ),
    "clinic",
)


def test_written_records_read_back(tmp_path: Path) -> None:
    """Two records, one of them without cues."""
    clear = dataclasses.replace(RECORD.facts[-1], absent=True)
    records = [RECORD, dataclasses.replace(RECORD, id="r2", age=0.5, facts=(*RECORD.facts[:-1], clear))]
    write_records(tmp_path / "r.jsonl", records)
    assert load(tmp_path / "r.jsonl", identifiers="keep")[0] == records


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sex": "f"}, "sex is 'f'"),
        ({"age": 140}, "age is 140"),
        ({"name": "Ann"}, "unknown keys ['name']"),
        ({"facts": []}, "'complaint'"),
        ({"facts": [{"id": "a", "kind": "sign", "text": "x", "disclosure": "asked"}]}, "facts[0]: kind is 'sign'"),
        ({"facts": [{"id": "a", "kind": "test", "text": "x", "disclosure": "asked", "absent": 1}]}, "absent is 1"),
    ],
)
def test_a_bad_record_is_named_by_line(tmp_path: Path, change: dict, said: str) -> None:
    """The second line of a file is bad in one way."""
    good = dataclasses.asdict(RECORD)
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(good | {"id": "first"}) + "\n\n" + json.dumps(good | change) + "\n", "utf-8")
    with pytest.raises(ValueError) as error:
        load(path)
    assert said in str(error.value)
    assert str(error.value).startswith(f"{path}:3: ")


def test_facts_by_kind() -> None:
    """In the record's order."""
    assert [fact.id for fact in RECORD.of("social", "complaint")] == ["pain", "wine"]
