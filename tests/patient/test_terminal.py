"""A person in a terminal, played by a script of lines, against a model that the test plays."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from m2jax.outside.endpoint import Endpoint, Said
from m2jax.patient import shown, terminal
from m2jax.patient.script import Line, sample_script
from m2jax.patient.simulate import Units
from m2jax.records.record import Fact, Record
from m2jax.sampler.engine import Engine
from m2jax.sampler.requests import Chat, Failed
from m2jax.sampler.scheduler import Sizes
from m2jax.verifier.ask import ask
from tests.outside import fake_server
from tests.patient.test_patient_rules import RECORD, SCRIPT

UNITS = Units(None, "patient", "patient", limit=4)


class Says:
    """An engine whose every role is one that says `answer(chat)`; it may raise what an engine's run may."""

    def __init__(self, answer: Callable[[list[dict]], str]) -> None:
        self.answer, self.keys = answer, []

    def run(self, dialogues, *, seed, keys):
        self.keys += keys
        return [self._end(dialogue) for dialogue in dialogues]

    def _end(self, dialogue):
        said = None
        try:
            while True:
                request = dialogue.send(said)
                assert isinstance(request, Chat)
                said = Said(self.answer(request.messages))
        except StopIteration as end:
            return end.value
        except ValueError as error:
            return Failed(error, "")


def person(*lines: str | type[BaseException]) -> Callable[[str], str]:
    """Types the lines, then the input ends; an exception is raised in its place."""
    left = list(lines)

    def read(_: str) -> str:
        line = left.pop(0) if left else EOFError
        if isinstance(line, str):
            return line
        raise line

    return read


def as_doctor(*lines, answer=lambda _: "I have no fever.", show=False):
    talk, said = terminal.Talk("patient", SCRIPT), []
    engine = Says(answer)
    terminal.talk_to_patient(talk, engine, "Hello, my head hurts.", UNITS, person(*lines), said.append, show)
    return talk, "\n".join(said), engine


def test_a_talk_to_its_end_shows_the_diagnosis_and_what_was_never_asked() -> None:
    talk, said, engine = as_doctor("Any fever?", "This is influenza. Rest and drink plenty.")
    assert [line.text for line in talk.dialogue[1:3]] == ["Any fever?", "I have no fever."]
    assert (talk.ended, talk.turns[-1].gate.reason) == ("diagnosis", "diagnosis")
    before, _, after = said.partition("The talk is over: you gave a diagnosis and a plan.")
    assert "patient> Hello, my head hurts.\npatient> I have no fever." in before
    assert "influenza" not in before and "cannabis" not in before
    assert "The diagnosis: influenza." in after and "Crackles at both lung bases." in after
    assert "Smokes cannabis at weekends. (private)" in after and "No fever." not in after
    assert "Has never smoked." in after
    assert len(set(engine.keys)) == 2  # of each message another, or the same words would come back


@pytest.mark.parametrize(
    ("lines", "ended"),
    [
        (["Any fever?"], "end"),
        ([], "end"),
        (["Any fever?", KeyboardInterrupt], "interrupt"),
        (["", "   ", "/quit", "Any fever?"], "quit"),
        (["Do you smoke?", "Any fever?", "Where does it hurt?", "Since when?", "And now?"], "limit"),
        (["Goodbye."], "farewell"),
    ],
    ids=str,
)
def test_every_way_it_ends_is_told(lines: list, ended: str) -> None:
    talk, said, _ = as_doctor(*lines)
    assert talk.ended == ended and said.count("The talk is over") == 1
    assert terminal.ENDINGS[ended] in said and "The diagnosis: influenza." in said


def test_ctrl_c_while_the_patient_thinks_ends_it_and_keeps_what_was_said() -> None:
    def answer(chat: list[dict]) -> str:
        if "smoke" in chat[0]["content"].partition("# What you know")[0]:
            raise KeyboardInterrupt
        return "I have no fever."

    talk, _, _ = as_doctor("Any fever?", "Do you smoke?", "Anything else?", answer=answer)
    assert (talk.ended, len(talk.turns), len(talk.dialogue)) == ("interrupt", 1, 3)
    assert json.loads(json.dumps(terminal.transcript(talk)))["dialogue"][-1]["text"] == "I have no fever."


def test_empty_long_and_broken_input_is_asked_for_again() -> None:
    long = "fever " * 400
    talk, said, _ = as_doctor("", long, "\x1b[2J Any\tfever\udcff?\x00")
    assert f"{len(long) - 1:,} characters" in said
    assert [line.text for line in talk.dialogue[1:2]] == ["[2J Any fever ?"]
    assert talk.ended == "end"


def test_a_message_that_cannot_be_served_is_not_kept() -> None:
    def answer(chat: list[dict]) -> str:
        if "very long" in chat[0]["content"]:
            raise ValueError("a prompt of 9 tokens does not fit")
        return "I have no fever."

    talk, said, _ = as_doctor("A very long question?", "Any fever?", answer=answer)
    assert "a prompt of 9 tokens does not fit" in said
    assert [line.text for line in talk.dialogue[1:]] == ["Any fever?", "I have no fever."]


def test_the_units_and_the_marks_are_shown_when_asked_for() -> None:
    told = "I smoke cannabis at weekends."
    _, said, _ = as_doctor("Any fever?", answer=lambda _: told, show=True)
    for shown_line in ("gate      goes on", "asked     fever", f"draft     {told}", f"leak (smoke): {told}"):
        assert shown_line in said, said
    assert "source    neutral" in said and re.search(r"patient> .*[Nn]o fever\.", said)
    _, quiet, _ = as_doctor("Any fever?", answer=lambda _: told)
    assert "cannabis" not in quiet.partition("The talk is over")[0]


def test_the_marks_are_those_of_the_message() -> None:
    dialogue = (Line("patient", "My head hurts."),)
    fever = "Asks about: fever (any of: fever, temperature)."
    asks = {m.text: m.met for m in shown.marks_of(RECORD, dialogue, "Do you have a fever?")}
    none = {m.text: m.met for m in shown.marks_of(RECORD, dialogue, "Hm.")}
    assert asks[fever] is True and none[fever] is False
    script = sample_script(3, "heldout")
    marks = shown.marks_of(script.record, (Line("patient", shown.opening(script.record, 3)),), "Since when?")
    assert 5 <= len(marks) <= 12
    assert shown.show_marks(marks).count("\n") == len(marks)


def test_a_person_plays_the_patient_from_a_sheet() -> None:
    talk, said = terminal.Talk("doctor", SCRIPT), []
    heard = []

    def answer(chat: list[dict]) -> str:
        heard.append([m["role"] for m in chat])
        return "Do you have\x1b[31m a fever?"

    doctor = lambda chat: ask(None, "doctor", chat)  # noqa: E731
    terminal.talk_to_doctor(talk, Says(answer), doctor, person("My head hurts.", "No."), said.append, True)
    assert heard == [["user"], ["user", "assistant", "user"]]
    sheet, replies = said[0], "\n".join(said[1:])
    assert "cannabis" in sheet and "Crackles" not in sheet and "nfluenza" not in sheet
    assert "doctor> Do you have[31m a fever?" in replies and "rubric" in replies
    assert "The diagnosis: influenza." in replies and len(talk.marks) == 2


def test_a_person_may_ask_a_doctor_without_a_case() -> None:
    talk, said = terminal.Talk("doctor", None), []
    terminal.talk_to_doctor(
        talk, Says(lambda _: ""), lambda c: ask(None, "d", c), person("Hi", "/quit"), said.append, True
    )
    assert said[0] == "doctor> (nothing)" and talk.ended == "quit" and "diagnosis" not in "".join(said)
    assert talk.dialogue == ()


def test_what_was_told_or_asked_is_not_called_missed() -> None:
    facts = (
        Fact("c", "complaint", "A dull headache.", "volunteers", ("head",)),
        Fact("t", "symptom", "A stiff neck.", "volunteers", ("neck",)),
        Fact("a", "allergy", "No allergies.", "asked", ("allerg",)),
        Fact("x", "exam", "Papilloedema.", "hidden"),
    )
    record = Record("r", 40, "female", "meningitis", facts, "test")
    said = shown.opening(record, 0)
    assert "I have a dull headache" in said
    missed = lambda *lines: [f.id for f in shown.never_asked(record, tuple(lines))]  # noqa: E731
    assert missed(Line("patient", said)) == ["a"]
    assert missed(Line("patient", "Help."), Line("doctor", "Any allergies? How is your neck?")) == ["c"]


def test_the_units_may_be_an_endpoint(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("M2JAX_CACHE", str(tmp_path))
    with fake_server.serving(lambda _, body: "I have no fever.") as server:
        engine = Engine(None, None, Sizes(), {"patient": Endpoint(server.url, "a-model")})
        talk, said = terminal.Talk("patient", SCRIPT), []
        terminal.talk_to_patient(talk, engine, "Hello.", UNITS, person("Any fever?", "And now?"), said.append, False)
    assert talk.turns[0].source == "draft" and talk.ended == "end"
    assert "Any fever?" in fake_server.last(server.asked[0])
