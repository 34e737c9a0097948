"""By which names the clinic's conditions go: which of them a text names, and what must not be named beside one."""

from __future__ import annotations

import functools
import re

from m2jax.clinic.condition import Condition, conditions
from m2jax.verifier.negation import is_negated


def names_of(condition: Condition) -> tuple[str, ...]:
    """Every name of a condition, the one that is shown first."""
    return (condition.name, *condition.names)


def named(text: str, condition: Condition) -> set[str]:
    """What a text names and does not deny: ids of conditions of the clinic, and names of the differential of this one
    that are none of them. Of names within one another the longest counts.
    """
    pattern, ids = _vocabulary(condition.id)
    found = (match for match in pattern.finditer(text) if not is_negated(text, match.start(), match.end()))
    return {ids[_key(match[0])] for match in found}


def others(condition: Condition, told: str = "") -> list[str]:
    """Names that an answer which is to be this condition may not hold: of its differential, and of the clinic's other
    conditions but those that are `told` of the patient before.
    """
    history = named(told, condition)
    listed = [name for names in condition.differentials for name in names]
    shared = {_key(name) for name in listed}
    for other in conditions():
        own = names_of(other)
        if other.id != condition.id and (other.id not in history or shared & set(map(_key, own))):
            listed += own
    mine = set(map(_key, names_of(condition)))
    return [name for name in dict.fromkeys(listed) if _key(name) not in mine]


def _key(name: str) -> str:
    return re.sub(r"[\s-]+", " ", name.lower())


@functools.cache
def _vocabulary(condition: str) -> tuple[re.Pattern[str], dict[str, str]]:
    """All names in one pattern, and whose each is."""
    ids = {_key(name): c.id for c in conditions() for name in names_of(c)}
    (own,) = [c for c in conditions() if c.id == condition]
    for first, *_ in own.differentials:
        ids.setdefault(_key(first), first)
    longest_first = sorted(ids, key=len, reverse=True)
    body = "|".join(r"[\s-]+".join(map(re.escape, name.split())) for name in longest_first)
    return re.compile(rf"(?<!\w)(?:{body})(?!\w)", re.IGNORECASE), ids
