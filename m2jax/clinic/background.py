"""What a patient brings along whatever the complaint: illness, drugs with doses, allergies, family, social history.

The pools stand in `background.toml`. Every entry has an id; `sample_background` draws entries by age, sex, the risks
and exclusions of a condition and by what has been drawn before (`not_with`), so that drugs fit the history.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from m2jax.records.record import Fact

KINDS = ("past", "drug", "allergy", "family", "social")
HABITS = ("smoking", "alcohol")  # groups of social facts
NONE = {  # the fact where nothing was drawn
    "past": ("No long-term illness and no operations.", ("medical condition", "other illness", "medical history")),
    "drug": ("No regular medicines.", ("medicine", "medication", "tablets", "pills", "taking")),
    "allergy": ("No known allergies.", ("allerg", "react badly", "reaction to")),
    "family": ("No illness of note in the family.", ("family", "parents", "relatives")),
}
DRUG_CUES = ("medicine", "medication", "tablets", "pills", "drugs", "taking", "prescri")


@dataclass(frozen=True)
class Entry:
    """One thing that may stand in a history. rate: (from age, probability) steps; within a `group` of social facts,
    of which a patient has one, weights. mention: how often it is volunteered. treated: how often each of an illness's
    `drugs` is taken. Drugs: `text` is filled in from a dose.
    """

    id: str
    kind: str
    text: tuple[str, ...]
    rate: tuple[tuple[float, float], ...]
    cues: tuple[str, ...]
    sex: str = ""
    ages: tuple[int, int] = (0, 120)
    drugs: tuple[tuple[str, ...], ...] = ()
    treated: float = 0.9
    group: str = ""
    tells: str = "asked"
    mention: float = 0.0
    not_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contraindication:
    """What must not be advised to a patient who has one of the `facts` (ids); `drugs` are regular expressions.
    always: whatever the condition; else where the drugs may come up.
    """

    facts: tuple[str, ...]
    text: str
    drugs: tuple[str, ...]
    points: int
    always: bool = False


@functools.cache
def pools() -> dict[str, tuple[Entry, ...]]:
    """The entries by kind, in the order of the file."""
    return {kind: tuple(_entry(kind, table) for table in _raw()[kind]) for kind in KINDS}


@functools.cache
def contraindications() -> tuple[Contraindication, ...]:
    return tuple(
        Contraindication(**t | {"facts": tuple(t["facts"]), "drugs": tuple(t["drugs"])})
        for t in _raw()["contraindication"]
    )


def forbidden(age: float, facts: Iterable[Fact]) -> list[Contraindication]:
    """The contraindications of a patient with these facts, the worst first."""
    has = {fact.id.rpartition(".")[2] for fact in facts} | ({"child"} if age < 16 else set())
    return sorted((c for c in contraindications() if has & set(c.facts)), key=lambda c: c.points)


@functools.cache
def ids() -> frozenset[str]:
    return frozenset(entry.id for pool in pools().values() for entry in pool)


def sample_background(
    rng: np.random.Generator, age: float, sex: str, risks: dict[str, float], excludes: Iterable[str]
) -> list[Fact]:
    """The facts of the kinds `KINDS`, ids "past.asthma", "drug.ramipril", "social.smoking.smoker"; where a kind but
    the social has none, one that says so ("allergy.none").
    """
    has = {"child"} if age < 16 else set()
    excluded = set(excludes)

    def fits(entry: Entry) -> bool:
        return (
            entry.ages[0] <= age < entry.ages[1] + 1
            and entry.sex in ("", sex)
            and entry.id not in excluded
            and not has & set(entry.not_with)
            and not any(entry.id in other.not_with for other in chosen)
        )

    chosen: list[Entry] = []

    def choose(entry: Entry) -> None:
        chosen.append(entry)
        has.add(entry.id)

    for group in HABITS:  # before the illnesses: some exclude a habit, some a drug
        if entry := _one_of(rng, [e for e in _groups()[group] if fits(e)], age, risks):
            choose(entry)
    for kind in ("past", "allergy", "family"):
        for entry in sorted(pools()[kind], key=lambda e: -risks.get(e.id, 0)):  # the likely ones exclude the others
            if fits(entry) and rng.random() < risks.get(entry.id, _rate(entry, age)):
                choose(entry)
    drugs = {entry.id: entry for entry in pools()["drug"]}
    for entry in [e for e in chosen if e.drugs]:
        for names in entry.drugs:
            options = [drugs[name] for name in names if name not in has and fits(drugs[name])]
            is_spoken_of = risks.get(entry.id) == 1  # the complaint may name the drug
            if options and (is_spoken_of or rng.random() < entry.treated):
                choose(options[rng.integers(len(options))])
    for entry in pools()["drug"]:
        if entry.id not in has and fits(entry) and rng.random() < risks.get(entry.id, _rate(entry, age)):
            reasons = () if any(p for _, p in entry.rate) else _reasons(entry)
            if reasons and not any(e.id in has for e in reasons):  # a drug that nobody takes without an illness
                reason = next((e for e in reasons if fits(e) and _rate(e, age)), None)
                if reason is None:
                    continue
                choose(reason)
            choose(entry)
    for group in [g for g in _groups() if g not in HABITS]:
        if entry := _one_of(rng, [e for e in _groups()[group] if fits(e)], age, risks):
            choose(entry)
    return _facts(rng, chosen)


def render(text: str, rng: np.random.Generator, slots: dict[str, str]) -> str:
    """The text with its slots filled: a name of `slots`, `a|b`, or `5..20`; "a" before a slot becomes "an" where it
    must. KeyError for an unknown slot.
    """

    def fill(match: re.Match[str]) -> str:
        article, slot = match.groups()
        if "|" in slot:
            options = slot.split("|")
            value = options[rng.integers(len(options))]
        elif numbers := _NUMBERS.fullmatch(slot):
            decimals = len(numbers[1].partition(".")[2])
            low, high = (round(float(n) * 10**decimals) for n in numbers.groups())
            value = f"{rng.integers(low, high + 1) / 10**decimals:.{decimals}f}"
        else:
            value = slots[slot]
        if article:
            article = f"{article[0]}n " if re.match(r"[aeiou]|8|1[18]\b", value) else f"{article[0]} "
        return f"{article or ''}{value}"

    filled = re.sub(r"(\b[Aa]n? )?\{([^{}]*)\}", fill, text)
    return filled[0].upper() + filled[1:]


def is_slot(slot: str) -> bool:
    """Whether `render` can fill it without being told more."""
    return "|" in slot or _NUMBERS.fullmatch(slot) is not None


_NUMBERS = re.compile(r"(\d+(?:\.\d+)?)\.\.(\d+(?:\.\d+)?)")


def _facts(rng: np.random.Generator, chosen: list[Entry]) -> list[Fact]:
    facts = []
    for kind in KINDS:
        found = [entry for entry in chosen if entry.kind == kind]
        for entry in found:
            text = render(entry.text[rng.integers(len(entry.text))], rng, {})
            tells = "volunteers" if rng.random() < entry.mention else entry.tells
            name = f"{kind}.{entry.group}.{entry.id}" if entry.group else f"{kind}.{entry.id}"
            facts.append(Fact(name, kind, text, tells, entry.cues))
        if not found and kind in NONE:
            text, cues = NONE[kind]
            facts.append(Fact(f"{kind}.none", kind, text, "asked", cues))
    return facts


def _one_of(rng: np.random.Generator, options: list[Entry], age: float, risks: dict[str, float]) -> Entry | None:
    """One by weight; the probability of an entry in `risks` is that one, and the others share the rest."""
    free = sum(_rate(e, age) for e in options if e.id not in risks)
    rest = max(0.0, 1 - sum(risks.get(e.id, 0.0) for e in options))
    weights = [risks[e.id] if e.id in risks else rest * _rate(e, age) / (free or 1.0) for e in options]
    draw = rng.random() * sum(weights)
    for entry, weight in zip(options, weights, strict=True):
        draw -= weight
        if draw < 0:
            return entry
    return None


def _reasons(drug: Entry) -> tuple[Entry, ...]:
    """The illnesses that a drug is taken for."""
    return tuple(e for e in pools()["past"] if any(drug.id in names for names in e.drugs))


def _rate(entry: Entry, age: float) -> float:
    return next((p for start, p in reversed(entry.rate) if age >= start), 0.0)


@functools.cache
def _groups() -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for entry in pools()["social"]:
        groups.setdefault(entry.group, []).append(entry)
    return groups


@functools.cache
def _raw() -> dict:
    path = importlib.resources.files("m2jax.clinic").joinpath("background.toml")
    return tomllib.loads(path.read_text("utf-8"))


def _entry(kind: str, table: dict) -> Entry:
    if kind == "drug":
        doses = [f"{table['name']} {dose:g} {table['unit']}, {table['when']}." for dose in table["doses"]]
        cues = [*DRUG_CUES, table["name"].split()[0].lower()]
        table = {"text": doses, "cues": cues, **table}
        table = {k: v for k, v in table.items() if k not in ("name", "doses", "unit", "when")}
    default = [[0, 1.0]] if kind == "social" else [[0, 0.0]]
    values = {"rate": default, **table, "kind": kind}
    values["text"] = [values["text"]] if isinstance(values["text"], str) else values["text"]
    for key in ("rate", "drugs"):
        values[key] = tuple(tuple(v) for v in values.get(key, ()))
    for key in ("text", "cues", "ages", "not_with"):
        if key in values:
            values[key] = tuple(values[key])
    return Entry(**values)
