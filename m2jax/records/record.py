"""A patient record as atomic facts: what a simulated patient knows, and what is true of her.

A fact is one statement that reads the same to patient and doctor and names nobody: "The pain came on suddenly two
hours ago." Who may hear it is its disclosure class. One line of a JSONL file is one record:

    {"id": "clinic-17", "age": 54, "sex": "female", "diagnosis": "acute cholecystitis", "source": "clinic",
     "facts": [{"id": "symptom.pain", "kind": "symptom", "text": "Pain in the right upper abdomen since last night.",
                "disclosure": "volunteers", "cues": ["pain", "hurt", "ache"]}]}

Anything unknown, missing or doubtful is an error; `load` names the file and the line, and skips blank lines.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from m2jax.lines import write_jsonl

KINDS = (
    "demographic",
    "complaint",  # what brought the patient
    "symptom",  # the present illness; one that is absent is a fact as well
    "past",
    "drug",
    "allergy",
    "family",
    "social",
    "exam",
    "test",
    "diagnosis",
)
DISCLOSURES = (
    "volunteers",  # says so by herself
    "asked",  # says so when a question touches it
    "private",  # says so only when it is clinically asked for, directly
    "hidden",  # does not know it: findings, results, the diagnosis
)
SEXES = ("female", "male", "other", "unknown")


@dataclasses.dataclass(frozen=True)
class Fact:
    """One statement. `id` is unique in its record; `cues` are lower-case words or phrases of which a question about
    the fact would hold at least one (empty where nobody has written them). absent: whether it says that something is
    not there, or as it should be ("Vision is clear."); None leaves that to its words.
    """

    id: str
    kind: str
    text: str
    disclosure: str
    cues: tuple[str, ...] = ()
    absent: bool | None = None

    def __post_init__(self) -> None:
        for name in ("id", "text"):
            _require_text(name, getattr(self, name))
        for name, allowed in (("kind", KINDS), ("disclosure", DISCLOSURES)):
            _require_one_of(name, getattr(self, name), allowed)
        for cue in self.cues:
            _require_text("cues", cue)
        if type(self.absent) not in (bool, type(None)):
            raise ValueError(f"absent is {self.absent!r}; write true or false, or leave it out")


@dataclasses.dataclass(frozen=True)
class Record:
    """One patient. age: in years, None where the source does not say. sex: of `SEXES`. source: where it came from
    ("clinic", "agentclinic", ...). diagnosis: the true one, which no fact but those of the kind "diagnosis" states.
    """

    id: str
    age: float | None
    sex: str
    diagnosis: str
    facts: tuple[Fact, ...]
    source: str

    def __post_init__(self) -> None:
        for name in ("id", "diagnosis", "source"):
            _require_text(name, getattr(self, name))
        _require_one_of("sex", self.sex, SEXES)
        if self.age is not None and (type(self.age) not in (int, float) or not 0 <= self.age <= 120):
            raise ValueError(f"age is {self.age!r}; give years from 0 to 120, or null")
        ids = [fact.id for fact in self.facts]
        if repeated := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"facts share the ids {repeated}; give each fact its own")
        if not any(fact.kind == "complaint" for fact in self.facts):
            raise ValueError("no fact is of the kind 'complaint'; say what brought the patient")

    def of(self, *kinds: str) -> tuple[Fact, ...]:
        """The facts of some kinds, in their order."""
        return tuple(fact for fact in self.facts if fact.kind in kinds)


def write_records(path: str | Path, records: Iterable[Record]) -> None:
    """Writes what `load.load` reads as "jsonl"."""
    write_jsonl(Path(path), map(dataclasses.asdict, records))


def parse_record(raw: object) -> Record:
    """The record of one decoded JSON line. ValueError says what is wrong, without file and line."""
    fields = _fields("record", raw, Record)
    if not isinstance(fields["facts"], list):
        raise ValueError(f"facts is {fields['facts']!r}; give a list of objects")
    return Record(**fields | {"facts": tuple(_parse_fact(i, item) for i, item in enumerate(fields["facts"]))})


def _parse_fact(index: int, raw: object) -> Fact:
    try:
        fields = _fields("fact", raw, Fact)
        cues = fields.get("cues", [])
        if not isinstance(cues, list):
            raise ValueError(f"cues is {cues!r}; give a list of texts")
        return Fact(**fields | {"cues": tuple(cues)})
    except ValueError as error:
        raise ValueError(f"facts[{index}]: {error}") from error


def _fields(what: str, raw: object, kind: type) -> dict:
    known = {field.name: field.default is dataclasses.MISSING for field in dataclasses.fields(kind)}
    if not isinstance(raw, dict):
        raise ValueError(f"{what} is {raw!r}; give an object with the keys {list(known)}")
    if unknown := sorted(set(raw) - set(known)):
        raise ValueError(f"{what} has unknown keys {unknown}; it takes {list(known)}")
    if missing := [name for name, required in known.items() if required and name not in raw]:
        raise ValueError(f"{what} lacks the keys {missing}; add them")
    return raw


def _require_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is {value!r}; give a text that is not empty")


def _require_one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; write one of {', '.join(allowed)}")
