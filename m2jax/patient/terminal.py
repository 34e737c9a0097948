"""A person in a terminal: as the doctor of the simulated patient, or as the patient of a doctor that a model plays.

What is typed comes by `read`, which is given the prompt; what is shown goes by `say`. A talk ends by the gate, with
/quit, with the input, or with Ctrl-C, whatever is going on then; the person is told why and what there was to find.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from m2jax.patient import shown
from m2jax.patient.script import Dialogue, Line, Script
from m2jax.patient.simulate import Turn, Units, patient_turn
from m2jax.sampler import requests
from m2jax.sampler.requests import Failed
from m2jax.text.chat import Message

Read = Callable[[str], str]
Say = Callable[[str], None]
Doctor = Callable[[Sequence[Message]], requests.Dialogue]  # a chat to the dialogue that returns the doctor's reply

LONGEST = 1000  # characters of a message
QUIT = ("/quit", "/exit")
ENDINGS = {
    "diagnosis": "you gave a diagnosis and a plan",
    "emergency": "you sent the patient to emergency care",
    "farewell": "you said goodbye",
    "limit": "no more rounds",
    "quit": "you left",
    "end": "the input ended",
    "interrupt": "you pressed Ctrl-C",
}


class Runs(Protocol):
    """What plays the other side: `sampler.engine.Engine`."""

    def run(self, dialogues: Sequence[requests.Dialogue], *, seed: int, keys: Sequence[int]) -> list[Any]: ...


@dataclasses.dataclass
class Talk:
    """A talk while it grows. role: whom the model plays. turns: of each message of a person who plays the doctor.
    marks: of each of the doctor's messages (empty without a script). ended: of `ENDINGS`.
    """

    role: str
    script: Script | None
    seed: int = 0
    dialogue: Dialogue = ()
    turns: list[Turn] = dataclasses.field(default_factory=list)
    marks: list[tuple[shown.Mark, ...]] = dataclasses.field(default_factory=list)
    ended: str = ""


def talk_to_patient(
    talk: Talk, engine: Runs, opening: str, units: Units, read: Read, say: Say, units_shown: bool
) -> None:
    """The person is the doctor: one message a turn, until the talk ends."""
    record = talk.script.record
    talk.dialogue = (Line("patient", opening),)
    say(f"patient> {visible(opening)}")

    def step(text: str) -> str:
        marks = shown.marks_of(record, talk.dialogue, text)
        if units_shown:
            say(shown.show_marks(marks))
        dialogue = (*talk.dialogue, Line("doctor", text))
        turn = _run(engine, patient_turn(talk.script, dialogue, units), talk)
        if units_shown:
            say(visible(shown.show_turn(turn)))
        talk.dialogue, talk.turns, talk.marks = dialogue, [*talk.turns, turn], [*talk.marks, marks]
        if not turn.gate.stop:
            talk.dialogue += (Line("patient", turn.final),)
            say(f"patient> {visible(turn.final)}")
        return turn.gate.reason

    _until_the_end(talk, step, read, say)


def talk_to_doctor(talk: Talk, engine: Runs, doctor: Doctor, read: Read, say: Say, units_shown: bool) -> None:
    """The person is the patient and speaks first, with a case sheet where the talk has a script. What gets an empty
    reply is not kept.
    """
    if talk.script is not None:
        say(shown.case_sheet(talk.script))

    def step(text: str) -> str:
        dialogue = (*talk.dialogue, Line("patient", text))
        chat = [Message("user" if line.who == "patient" else "assistant", line.text) for line in dialogue]
        reply = _run(engine, doctor(chat), talk)
        if not reply.strip():  # an endpoint refuses a chat that holds an empty message
            say("doctor> (nothing)")
            return ""
        marks = () if talk.script is None else shown.marks_of(talk.script.record, dialogue, reply)
        talk.dialogue, talk.marks = (*dialogue, Line("doctor", reply)), [*talk.marks, marks]
        say(f"doctor> {visible(reply) or '(nothing)'}")
        if units_shown and marks:
            say(shown.show_marks(marks))
        return ""

    _until_the_end(talk, step, read, say)


def typed(read: Read, say: Say) -> str:
    """The person's next message, on one line."""
    while True:
        text = " ".join("".join(c if c.isprintable() else " " for c in read("you> ")).split())
        if text.lower() in QUIT:
            raise _LeftError
        if len(text) > LONGEST:
            say(f"(That is {len(text):,} characters, and {LONGEST:,} is the most: say it in fewer words.)")
        elif text:
            return text


def visible(text: str) -> str:
    """A text without what a terminal would obey: control characters but the line feed."""
    return "".join(c for c in text if c.isprintable() or c == "\n")


def transcript(talk: Talk) -> dict[str, Any]:
    """A talk as JSON."""
    return dataclasses.asdict(talk)


class _LeftError(Exception):
    """The person typed /quit."""


def _run(engine: Runs, dialogue: requests.Dialogue, talk: Talk) -> Any:
    """What a dialogue returns; its key is the number of the message, so that no two draw the same."""
    (result,) = engine.run([dialogue], seed=talk.seed, keys=[len(talk.dialogue)])
    if isinstance(result, Failed):
        raise result.error
    return result


def _until_the_end(talk: Talk, step: Callable[[str], str], read: Read, say: Say) -> None:
    """A step for each message, until one returns how the talk ended or the person leaves. A message that cannot be
    served is not kept.
    """
    try:
        while not talk.ended:
            text = typed(read, say)
            try:
                talk.ended = step(text)
            except ValueError as error:
                say(f"(That could not be answered: {error}. Try a shorter message, or {QUIT[0]}.)")
    except _LeftError:
        talk.ended = "quit"
    except EOFError:
        talk.ended = "end"
    except KeyboardInterrupt:
        talk.ended = "interrupt"
    say(f"\nThe talk is over: {ENDINGS[talk.ended]}.")
    if talk.script is not None:
        say(shown.reveal(talk.script.record, talk.dialogue))
