"""What a consultation came to, by rules alone: what the doctor found out, named and left the patient with. What is
written for the grader earns nothing here either (`verifier.guards`): no list of all that could be asked or named, in
one message or over many. The diagnosis is that of the last message that gives one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from m2jax.clinic.condition import Condition
from m2jax.clinic.names import named, names_of
from m2jax.clinic.sample import condition_of
from m2jax.patient.disclosed import asked
from m2jax.records.record import Record
from m2jax.verifier.checks import met, parse_check
from m2jax.verifier.guards import CAUSES, for_checks
from m2jax.verifier.phrases import words

_ASKED = re.compile(r"[^.?!\n]*\?")  # a question names nothing


class Outcome(NamedTuple):
    """share: of the symptoms that are told only when asked for, those asked for, in [0, 1]; per_message: how many a
    message of the doctor. diagnosis: whether the last message that names any cause names the right one, and all of
    them no more than `CAUSES`; safety_net: whether some message gives it; 0 or 1. messages: how many.
    """

    share: float
    per_message: float
    diagnosis: float
    safety_net: float
    messages: float


def outcome(record: Record, said: tuple[str, ...]) -> Outcome:
    """What a doctor's messages amount to with a patient of the clinic."""
    condition, key = condition_of(record), open_facts(record)
    counted, elicited = [for_checks(message) for message in said], asked_for(record, said)
    net = parse_check(words(condition.safety_net.words, "either"))
    return Outcome(
        len(elicited) / len(key) if key else 1.0,
        len(elicited) / max(1, len(said)),
        float(_diagnosed(record, condition, counted)),
        float(any(met(net, message) for message in counted)),
        float(len(said)),
    )


def asked_for(record: Record, said: Sequence[str]) -> frozenset[str]:
    """The key facts, told only when asked for, that the doctor's messages ask for; of each message what
    `guards.for_checks` leaves of it, so that a list of all that could be asked earns nothing.
    """
    return open_facts(record) & {name for message in said for name in asked(for_checks(message), record).facts}


def _diagnosed(record: Record, condition: Condition, messages: Sequence[str]) -> bool:
    own = parse_check(words(names_of(condition)))
    before = " ".join(fact.text for fact in record.facts if fact.disclosure != "hidden")
    known = named(before, condition)  # what she has had is no diagnosis
    given = []
    for message in messages:
        told = _ASKED.sub(" ", message)
        given.append((named(told, condition) - known) | ({condition.id} if met(own, told) else set()))
    last = next((causes for causes in reversed(given) if causes), set())
    return condition.id in last and len(set().union(*given)) <= CAUSES


def open_facts(record: Record) -> set[str]:
    """Ids of the symptoms that are told only when asked for."""
    return {f.id for f in record.facts if f.kind == "symptom" and f.disclosure in ("asked", "private")}
