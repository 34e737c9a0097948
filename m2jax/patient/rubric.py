"""The rubric of the slice that a consultation has come to: of the doctor's next reply."""

from __future__ import annotations

from m2jax.clinic.rubrics import knowledge_of
from m2jax.clinic.sample import condition_of, is_of_clinic
from m2jax.patient.script import Dialogue
from m2jax.records.record import Record
from m2jax.verifier.generator import Knowledge, knowledge_from, make_rubric
from m2jax.verifier.rubric import Rubric

STAGES = ("inquiry", "diagnosis")
_ROLES = {"patient": "user", "doctor": "assistant"}


def chat(dialogue: Dialogue) -> tuple[dict[str, str], ...]:
    """A dialogue as the messages of a chat, in which the model is the doctor."""
    return tuple({"role": _ROLES[line.who], "content": line.text} for line in dialogue)


def rubric_after(record: Record, dialogue: Dialogue) -> Rubric:
    """What the doctor's reply to a dialogue is graded by: from the clinic's knowledge of the condition, or of a record
    from outside from the record alone. ValueError where the dialogue does not end with the patient.
    """
    return make_rubric(record, chat(dialogue), _knowledge(record))


def rubric_of_whole(record: Record) -> Rubric:
    """What all of a doctor's messages together are graded by: what is due once (urgency, diagnosis, plan, safety net)
    and what must not be said at all. Every criterion has a check.
    """
    known = _knowledge(record)
    return (*known.always, *known.conclude, *known.never)


def stage_of(record: Record, rubric: Rubric) -> str:
    """The stage a consultation has come to, one of `STAGES`: whether its rubric asks for a diagnosis and a plan yet."""
    due = {c.text for c in _knowledge(record).conclude}
    return STAGES[any(c.text in due for c in rubric)]


def _knowledge(record: Record) -> Knowledge:
    return knowledge_of(condition_of(record), record) if is_of_clinic(record) else knowledge_from(record)
