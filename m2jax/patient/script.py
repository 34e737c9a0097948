"""The script of a simulated patient: what she knows (a record) and how she is (a persona)."""

from __future__ import annotations

import dataclasses

from m2jax.clinic.sample import sample_record
from m2jax.patient.persona import Persona, sample_persona
from m2jax.records.record import Record


@dataclasses.dataclass(frozen=True)
class Script:
    """Medical part and psychological part (arXiv 2509.02208, section 1). Hidden facts of the record are there to be
    kept back: no unit but the check of what leaks sees them.
    """

    record: Record
    persona: Persona


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a dialogue: who is "patient" or "doctor"."""

    who: str
    text: str

    def __post_init__(self) -> None:
        if self.who not in ("patient", "doctor"):
            raise ValueError(f"who is {self.who!r}; write patient or doctor")


Dialogue = tuple[Line, ...]


def sample_script(seed: int, split: str) -> Script:
    """A patient of the clinic with a persona. ValueError for an unknown split."""
    record = sample_record(seed, split)
    return Script(record, sample_persona(seed, record))


def said_by(who: str, dialogue: Dialogue) -> tuple[str, ...]:
    """What one of the two has said, in order."""
    return tuple(line.text for line in dialogue if line.who == who)
