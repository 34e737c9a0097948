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
    """What a text names and does not deny: ids of conditions of the clinic, and names in the differential of this one
    that are none of them. Of names within one another the longest counts.
    """
    pattern, ids = _vocabulary()
    found = (match for match in pattern.finditer(text) if not is_negated(text, match.start(), match.end()))
    counts = {c.id for c in conditions()} | {_key(first) for first, *_ in condition.differentials}
    return {ids[_key(match[0])] for match in found} & counts


def others(condition: Condition, told: str = "") -> list[str]:
    """Names that an answer which is to be this condition may not hold: of its differential, and of the clinic's other
    conditions but those that are `told` of the patient before.
    """
    return list(_others(condition.id, frozenset(named(told, condition))))


@functools.lru_cache(1024)  # tasks of a condition tell much the same
def _others(condition: str, history: frozenset[str]) -> tuple[str, ...]:
    (this,) = [c for c in conditions() if c.id == condition]
    listed = [name for names in this.differentials for name in names]
    shared = set(map(_key, listed))
    for other in conditions():
        own = names_of(other)
        if other.id != condition and (other.id not in history or shared & set(map(_key, own))):
            listed += own
    mine = set(map(_key, names_of(this)))
    return tuple(name for name in dict.fromkeys(listed) if _key(name) not in mine)


def _key(name: str) -> str:
    return re.sub(r"[\s-]+", " ", name.lower())


@functools.cache
def _vocabulary() -> tuple[re.Pattern[str], dict[str, str]]:
    """All names in one pattern, and whose each is."""
    ids = {_key(name): c.id for c in conditions() for name in names_of(c)}
    for first in (first for c in conditions() for first, *_ in c.differentials):
        ids.setdefault(_key(first), _key(first))
    body = "|".join(r"[\s-]+".join(map(re.escape, key.split())) for key in sorted(ids, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{body})(?!\w)", re.IGNORECASE), ids
