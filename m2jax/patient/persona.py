"""Who speaks: a type of MBTI with education, income, age, sex and region, and the behaviour that follows from it.

The paper (arXiv 2509.02208, section 1) states rules for E and I, F against T, the poor and the educated; for the rest
`persona.toml` holds defaults of our own. Age group and sex are the record's where the patient herself speaks.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import tomllib
from importlib import resources

import numpy as np

from m2jax.clinic.message import SPEAKERS
from m2jax.records.record import Record

TYPES = tuple("".join(letters) for letters in itertools.product("EI", "SN", "TF", "JP"))
EDUCATION = ("basic", "secondary", "university")
INCOME = ("low", "middle", "high")
AGES = ("child", "young", "middle", "old")
SEXES = ("female", "male")
REGIONS = ("village", "town", "city")
_FIELDS = {
    "mbti": TYPES,
    "education": EDUCATION,
    "income": INCOME,
    "age": AGES,
    "sex": SEXES,
    "region": REGIONS,
}


@dataclasses.dataclass(frozen=True)
class Persona:
    """One speaker; every field is one of the tuple above it. age: a group, below 14, 35 and 65 years, or older."""

    mbti: str
    education: str
    income: str
    age: str
    sex: str
    region: str

    def __post_init__(self) -> None:
        for name, allowed in _FIELDS.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; write one of {', '.join(allowed)}")


def sample_persona(seed: int, record: Record) -> Persona:
    """The persona of a seed for who speaks in a record: the patient, or the grown-up who speaks for her."""
    rng = np.random.default_rng([seed, *record.id.encode()])
    draw = lambda options: options[rng.integers(len(options))]  # noqa: E731
    mbti, education, income, region, sex, age = (
        draw(options) for options in (TYPES, EDUCATION, INCOME, REGIONS, SEXES, AGES[1:])
    )
    if speaker(record) == "":
        sex = record.sex if record.sex in SEXES else sex
        if record.age is not None:
            age = AGES[sum(record.age >= years for years in (14, 35, 65))]
    elif speaker(record) in ("child", "parent") and record.age is not None:
        age = "middle" if speaker(record) == "child" or record.age >= 12 else "young"
    if age == "child":
        education = "basic"
    return Persona(mbti, education, income, age, sex, region)


def speaker(record: Record) -> str:
    """Who does the talking: a key of `clinic.message.SPEAKERS`, or "" for the patient herself."""
    said = {fact.text for fact in record.of("demographic")}
    return next((who for who, text in SPEAKERS.items() if text in said), "")


def behaviour(persona: Persona) -> tuple[str, ...]:
    """The sentences that tell a model how to behave: one a letter, one an attribute. Sex needs none."""
    texts = _texts()
    letters = [texts["letters"][letter] for letter in persona.mbti]
    return (*letters, *(texts[name][getattr(persona, name)] for name in ("education", "income", "age", "region")))


def says(occasion: str) -> tuple[str, ...]:
    """What the scripted patient says on an occasion: treatment, accepts, evidence, costly or hurt."""
    return tuple(_texts()["says"][occasion])


def manner(persona: Persona, where: str) -> tuple[tuple[str, ...], ...]:
    """What a persona may put before (where "begins") or after ("ends") a reply, by the traits that have any."""
    tables = _texts()[where]
    traits = [("letters", letter) for letter in persona.mbti]
    traits += [(name, getattr(persona, name)) for name in ("education", "income", "age")]
    return tuple(tuple(tables[name][trait]) for name, trait in traits if trait in tables.get(name, ()))


def endings() -> frozenset[str]:
    """All sentences that `manner` may put after a reply."""
    return frozenset(line for table in _texts()["ends"].values() for lines in table.values() for line in lines)


@functools.cache
def _texts() -> dict[str, dict]:
    return tomllib.loads(resources.files("m2jax.patient").joinpath("persona.toml").read_text("utf-8"))
