"""Conditions as data: one TOML file per specialty in `conditions/`, read into frozen types.

A file is a list of `[[condition]]` tables; README.md explains every field by an example. Texts of findings may hold
slots: `{onset}`, `{character}` and `{severity}` are drawn once per record from the condition's lists, and `{side}` is
left or right once per record; `{a|b}` draws one of the alternatives, `{5..20}` a number between the two, with as many
decimals as are written there. Whatever is unknown, missing or doubtful is an error that names the file, the condition
and the field.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from m2jax.clinic import background, fields
from m2jax.clinic.fields import OLDEST
from m2jax.records.record import DISCLOSURES, SEXES
from m2jax.verifier.rubric import SPLITS

URGENCIES = ("emergency", "today", "soon", "routine")
SLOTS = ("onset", "character", "severity")
VITALS = ("temperature", "heart_rate", "respiratory_rate", "systolic", "spo2")
ITEMS = ("test", "step", "avoid")


@dataclass(frozen=True)
class Finding:
    """Something that a patient with the condition has (`yes`, one of these texts) or has not (`no`; "" if its absence
    says nothing) with the probability `likely`; one that `follows` another is there exactly when that symptom is.
    asks: the points of a doctor's question about it, 0 for none. differs: its `no` says that something else is there
    ("Stiff for half an hour in the morning."), and not that nothing is.
    """

    id: str
    kind: str  # of a fact
    likely: float
    yes: tuple[str, ...]
    no: str = ""
    tells: str = "asked"  # a disclosure class; a finding that is absent is never volunteered
    cues: tuple[str, ...] = ()
    asks: int = 0
    ages: tuple[int, int] = (0, OLDEST)
    sex: str = ""  # "" for both
    follows: str = ""  # the id of a symptom
    differs: bool = False


@dataclass(frozen=True)
class Advice:
    """A sentence of advice, and the words or phrases of which a reply that gives it holds one."""

    text: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Avoid:
    """What must not be advised: `drugs` are looked for as something that is offered, which naming it does
    unless it is asked about or warned of; `words` as they stand."""

    text: str
    points: int
    drugs: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Condition:
    """One condition. prevalence: consultations with it of 10,000, roughly. ages: youngest, the usual range, oldest.
    female: the share of women. urgency: of `URGENCIES`. vitals: a range per sign; of temperature (°C) and spo2 (%)
    itself, of the others what is added to the usual of the age. risks: background ids and how likely each is here.
    differentials: each a display name and its synonyms. items: options of multiple-choice items, the right one first.
    carer: a relative speaks.
    """

    id: str
    specialty: str
    name: str
    names: tuple[str, ...]  # by which a reply may call it, besides `name`
    split: str
    prevalence: float
    must_not_miss: bool
    urgency: str
    ages: tuple[int, int, int, int]
    female: float
    sources: tuple[str, ...]
    differentials: tuple[tuple[str, ...], ...]
    onset: tuple[str, ...]
    complaint: Finding
    symptoms: tuple[Finding, ...]
    exam: tuple[Finding, ...]
    tests: tuple[Finding, ...]
    management: tuple[Advice, ...]
    avoid: tuple[Avoid, ...]
    red_flags: Advice
    safety_net: Advice
    items: dict[str, tuple[str, ...]]
    character: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    history: tuple[Finding, ...] = ()
    risks: dict[str, float] = field(default_factory=dict)
    excludes: tuple[str, ...] = ()
    vitals: dict[str, tuple[float, float]] = field(default_factory=dict)
    carer: bool = False


@functools.cache
def conditions() -> tuple[Condition, ...]:
    """All bundled conditions, by file and place in it."""
    folder = importlib.resources.files("m2jax.clinic").joinpath("conditions")
    found = tuple(c for path in sorted(Path(str(folder)).glob("*.toml")) for c in load_conditions(path))
    for key in ("id", "name"):
        values = [getattr(c, key) for c in found]
        if repeated := sorted({v for v in values if values.count(v) > 1}):
            raise ValueError(f"{folder}: conditions share the {key} {repeated}; give each its own")
    return found


def load_conditions(path: Path) -> list[Condition]:
    """The conditions of one file. ValueError is `file: condition: field: what is wrong, with the value`."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:  # TOML and UTF-8
        raise ValueError(f"{path}: {error}") from error
    if set(raw) != {"condition"}:
        raise ValueError(f"{path}: has the tables {sorted(raw)}; write [[condition]] tables alone")
    found = []
    for table in raw["condition"]:
        try:
            found.append(_condition(table, path.stem))
        except ValueError as error:
            raise ValueError(f"{path}: {table.get('id', f'condition {len(found) + 1}')}: {error}") from error
    return found


# ---- One condition ------------------------------------------------------------


def _condition(table: dict, specialty: str) -> Condition:
    table = table | {"specialty": specialty}
    fields.known(table, Condition)
    slots = {"side"} | {name for name in SLOTS if table.get(name)}
    finding = functools.partial(_finding, slots=slots)
    readers: dict[str, Callable[[Any], Any]] = {
        "id": fields.slug,
        "specialty": fields.slug,
        "name": fields.text,
        "names": fields.texts,
        "split": fields.one_of(SPLITS),
        "prevalence": fields.number(0.01, 1000),
        "must_not_miss": fields.flag,
        "urgency": fields.one_of(URGENCIES),
        "ages": fields.ages(4),
        "female": fields.number(0, 1),
        "sources": fields.texts,
        "differentials": _differentials,
        "onset": fields.texts,
        "character": fields.texts,
        "severity": fields.texts,
        "complaint": lambda raw: finding({"likely": 1.0, "tells": "volunteers"} | raw, "complaint", "complaint"),
        "symptoms": lambda raw: _findings(raw, "symptom", finding),
        "exam": lambda raw: _findings(raw, "exam", finding),
        "tests": lambda raw: _findings(raw, "test", finding),
        "history": lambda raw: _findings(raw, "", finding),
        "management": lambda raw: tuple(_advice(r) for r in fields.list_(raw)),
        "avoid": lambda raw: tuple(_avoid(r) for r in fields.list_(raw)),
        "red_flags": _advice,
        "safety_net": _advice,
        "items": _items,
        "risks": _risks,
        "excludes": lambda raw: tuple(_background_id(i) for i in fields.texts(raw)),
        "vitals": _vitals,
        "carer": fields.flag,
    }
    values = {name: fields.at(name, readers[name], raw) for name, raw in table.items()}
    condition = Condition(**values)
    _whole(condition)
    return condition


def _whole(c: Condition) -> None:
    """What no field shows by itself."""
    findings = (*c.symptoms, *c.history)
    ids = [f.id for f in findings]
    if repeated := sorted({i for i in ids if ids.count(i) > 1}):
        raise ValueError(f"symptoms and history share the ids {repeated}; give each finding its own")
    if unknown := [f.follows for f in c.exam + c.tests if f.follows and f.follows not in ids]:
        raise ValueError(f"exam or tests follow {unknown}, which are no symptoms; correct the ids")
    if sum(f.asks > 0 for f in findings) < 3:
        raise ValueError("fewer than 3 findings have 'asks'; say which questions matter")
    if not any(f.no for f in findings):
        raise ValueError("no finding has a 'no'; say which absent findings discriminate")
    if any(d[0] == c.name for d in c.differentials):
        raise ValueError(f"differentials: {c.name!r} is the condition itself; name others")
    never = {0: "female", 1: "male"}.get(c.female)
    if never and any(f.sex == never for f in findings):
        raise ValueError(f"a finding has the sex {never!r}, which the condition never has; remove it")
    if both := sorted(set(c.risks) & set(c.excludes)):
        raise ValueError(f"{both} are risks and excluded; choose one")


def _findings(raw: Any, kind: str, finding: Callable[..., Finding]) -> tuple[Finding, ...]:
    return tuple(
        finding({"likely": 1.0, "tells": "hidden"} | r if kind in ("exam", "test") else r, kind, str(i + 1))
        for i, r in enumerate(fields.list_(raw))
    )


def _finding(raw: Any, kind: str, place: str, slots: set[str]) -> Finding:
    if not isinstance(raw, dict):
        raise ValueError(f"{raw!r}; give a table")
    if kind in ("exam", "test", "complaint"):
        raw = raw | {"id": f"{kind}-{place}" if kind != "complaint" else kind}
    raw = raw if "kind" in raw else raw | {"kind": kind}
    raw = raw | {"yes": [raw["yes"]] if isinstance(raw.get("yes"), str) else raw.get("yes", [])}
    fields.known(raw, Finding)
    readers: dict[str, Callable[[Any], Any]] = {
        "id": fields.slug,
        "kind": fields.one_of(("complaint", "symptom", "exam", "test", "past", "drug", "allergy", "family", "social")),
        "likely": fields.number(0, 1),
        "yes": _sentences(slots),
        "no": lambda text: _sentences(slots)([text])[0],
        "tells": fields.one_of(DISCLOSURES),
        "cues": fields.cues,
        "asks": fields.number(0, 10),
        "ages": fields.ages(2),
        "sex": fields.one_of(SEXES),
        "follows": fields.slug,
        "differs": fields.flag,
    }
    where = raw.get("id", place)
    found = Finding(**{name: fields.at(f"{where}.{name}", readers[name], value) for name, value in raw.items()})
    if not found.yes and found.likely > 0 or not found.no and found.likely == 0:
        raise ValueError(f"{where}: likely is {found.likely} but that text is missing; write 'yes' or 'no'")
    if found.kind not in ("exam", "test") and not found.cues:
        raise ValueError(f"{where}: has no cues; write words that a question about it would hold")
    return found


def _advice(raw: Any) -> Advice:
    fields.known(raw, Advice)
    return Advice(fields.text(raw["text"]), fields.words(raw["words"]))


def _avoid(raw: Any) -> Avoid:
    fields.known(raw, Avoid)
    if ("drugs" in raw) == ("words" in raw):
        raise ValueError(f"{raw!r}; give either 'drugs' or 'words'")
    if not -10 <= raw["points"] <= -1:
        raise ValueError(f"points is {raw['points']!r}; give an integer from -10 to -1")
    drugs, words = fields.texts(raw.get("drugs", []), 0), fields.words(raw.get("words", []), 0)
    return Avoid(fields.text(raw["text"]), raw["points"], drugs, words)


def _items(raw: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(raw, dict) or set(raw) != set(ITEMS):
        raise ValueError(f"{raw!r}; give the lists {ITEMS}")
    found = {key: fields.texts(value, 4) for key, value in raw.items()}
    for key, options in found.items():
        if len({o.lower() for o in options}) < len(options):
            raise ValueError(f"{key}: an option stands twice in {options}; keep one of each")
    return found


def _sentences(slots: set[str]) -> Callable[[Any], tuple[str, ...]]:
    def read(raw: Any) -> tuple[str, ...]:
        for text in fields.texts(raw, 0):
            for slot in re.findall(r"\{([^{}]*)\}", text):
                if slot not in slots and not background.is_slot(slot):
                    raise ValueError(f"{text!r} has the slot {slot!r}; write {{a|b}}, {{1..9}} or one of {slots}")
            if text[-1] not in ".?!" or not (text[0].isupper() or text[0] in "{0123456789"):
                raise ValueError(f"{text!r}; begin with a capital and end with a full stop")
        return tuple(raw)

    return read


def _differentials(raw: Any) -> tuple[tuple[str, ...], ...]:
    found = tuple(fields.texts([d] if isinstance(d, str) else d) for d in fields.list_(raw))
    if len(found) < 3:
        raise ValueError(f"{raw!r}; name at least 3")
    return found


def _risks(raw: Any) -> dict[str, float]:
    return {_background_id(key): fields.at(key, fields.number(0, 1), value) for key, value in raw.items()}


def _background_id(name: str) -> str:
    if name not in background.ids():
        raise ValueError(f"{name!r} is no background id; add it to background.toml or correct it")
    return name


def _vitals(raw: Any) -> dict[str, tuple[float, float]]:
    if unknown := set(raw) - set(VITALS):
        raise ValueError(f"unknown signs {sorted(unknown)}; it takes {VITALS}")
    for name, (low, high) in raw.items():
        if low > high:
            raise ValueError(f"{name} is {low} to {high}; swap them")
    return {name: (low, high) for name, (low, high) in raw.items()}
