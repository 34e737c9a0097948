"""A patient's turn (gate, Affective Unit, Factual Unit: the paper's order) and whole consultations, as dialogues.

A consultation opens with the patient. The doctor's tokens are kept as they were sampled and go back into its prompt
verbatim, so they can be trained on; its thoughts nobody hears, and the dialogue has its answers alone. The patient's
text is encoded anew and cannot become a control token.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from m2jax.patient import claims
from m2jax.patient.affective import affective
from m2jax.patient.claims import Claim
from m2jax.patient.disclosed import asked
from m2jax.patient.factual import factual
from m2jax.patient.gate import Gate, gate, is_sure, question
from m2jax.patient.interruption import Interruption, shown, shown_dialogue
from m2jax.patient.script import Dialogue, Line, Script, said_by
from m2jax.rules.final import answered
from m2jax.sampler import requests
from m2jax.sampler.requests import Completion, Generate
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.ask import ask_yes
from m2jax.verifier.calibration import of_card
from m2jax.verifier.grader import Judge


@dataclasses.dataclass(frozen=True)
class Units:
    """Who plays the units: roles of the engine over one tokenizer, which is the doctor's too (None: all are endpoints).
    judge: None lets the rules decide alone. limit: rounds, at least 1. max_tokens: of a draft and of a rewrite.
    outside: the units alone are endpoints. gate: reads the doctor's messages beside the regression; None: nobody does.
    """

    tokenizer: Tokenizer | None
    affective: str = "affective"
    factual: str = "factual"
    judge: Judge | None = None
    limit: int = 10
    max_tokens: int = 96
    outside: bool = False
    gate: Judge | None = None

    @property
    def own(self) -> Tokenizer | None:
        """The tokenizer of the units; None where they are endpoints."""
        return None if self.outside else self.tokenizer


def units_of(
    tokenizer: Tokenizer | None, cards: Mapping[str, Mapping[str, Any]], start: str, limit: int, max_tokens: int = 96
) -> Units:
    """Units played by adapters, as roles of their names (`adapters.NAMES`), as far as `cards` has theirs (it may be
    empty), and else by the role `start`. limit, max_tokens: as in `Units`.
    """

    def judge(name: str) -> Judge | None:
        return Judge(tokenizer, name, calibration=of_card(cards[name])) if name in cards else None

    drafts, rewrites = (name if name in cards else start for name in ("affective", "factual"))
    return Units(tokenizer, drafts, rewrites, judge("factual"), limit, max_tokens, gate=judge("gate"))


@dataclasses.dataclass(frozen=True)
class Turn:
    """Everything that was decided about one reply. `final` is "" where the gate stops. asked: ids of facts."""

    gate: Gate
    asked: tuple[str, ...] = ()
    draft: str = ""
    claims: tuple[Claim, ...] = ()
    rewrite: str | None = None
    rewrite_claims: tuple[Claim, ...] = ()
    final: str = ""
    source: str = ""


@dataclasses.dataclass(frozen=True)
class Round:
    """What the doctor was shown in tokens, all that it wrote, and the patient's turn."""

    prompt: list[int]
    completion: Completion
    text: str
    turn: Turn


@dataclasses.dataclass(frozen=True)
class Consultation:
    """messages: the chat of the doctor, its own contents as tokens marked to be trained on. The patient has the last
    word where there was no room for another prompt of the doctor. dialogue: without the interruption, which `shown` is
    with.
    """

    script: Script
    dialogue: Dialogue
    rounds: tuple[Round, ...]
    messages: tuple[Message, ...]
    interruption: Interruption | None = None

    @property
    def shown(self) -> Dialogue:
        """The dialogue as the doctor sees it."""
        return shown_dialogue(self.dialogue, self.interruption)

    @property
    def interrupted(self) -> bool:
        """Whether the interruption came before the end."""
        return self.interruption is not None and self.interruption.round < len(self.rounds)


def patient_turn(script: Script, dialogue: Dialogue, units: Units) -> requests.Dialogue:
    """The patient's `Turn` after a dialogue that ends with the doctor; ValueError where it does not."""
    if not dialogue or dialogue[-1].who != "doctor":
        raise ValueError("the dialogue does not end with the doctor; a patient's turn answers the doctor")
    decision = yield from decide(said_by("doctor", dialogue), units)
    if decision.stop:
        return Turn(decision)
    known = claims.known(script.record, dialogue)
    draft = yield from affective(script, dialogue, known, units.own, units.affective, units.max_tokens)
    checked = yield from factual(
        script, dialogue, known, draft, units.own, units.factual, units.judge, units.max_tokens
    )
    meant = asked(dialogue[-1].text, script.record).facts
    return Turn(decision, meant, draft, **{f.name: getattr(checked, f.name) for f in dataclasses.fields(checked)})


def decide(doctor_messages: Sequence[str], units: Units) -> requests.Dialogue:
    """The `Gate` after the last of the doctor's messages."""
    if units.gate is None or is_sure(doctor_messages):
        return gate(doctor_messages, units.limit)
    over = None
    with contextlib.suppress(ValueError):  # no room for the question
        [over] = yield from ask_yes(units.gate, question(doctor_messages), [""])
    return gate(doctor_messages, units.limit, over)


Refuse = Callable[[tuple[str, ...], Completion], str]


def consult(
    script: Script,
    opening: str,
    doctor: str,
    units: Units,
    interruption: Interruption | None = None,
    *,
    longest: int | None = None,
    refuse: Refuse = lambda said, completion: "",
) -> requests.Dialogue:
    """A `Consultation` of the role `doctor` with the patient, who begins with `opening`.

    longest: tokens of a prompt of the doctor; where the next would have more, the consultation ends. refuse: what is
    wrong with a reply, given all that was said up to it and the reply as sampled: then it is not answered, and ends the
    consultation as the gate would, with the reason "fault"; "" lets it go on.
    """
    dialogue: Dialogue = (Line("patient", opening),)
    messages = [Message("user", shown(opening, 0, interruption))]
    rounds: list[Round] = []
    while True:
        prompt = render(units.tokenizer, messages).tokens.tolist()
        if rounds and longest is not None and len(prompt) > longest:
            return Consultation(script, dialogue, tuple(rounds), tuple(messages), interruption)
        completion = yield Generate(doctor, prompt)
        text = units.tokenizer.decode(completion.tokens).strip()
        dialogue += (Line("doctor", answered(text)),)
        messages.append(Message("assistant", completion.tokens.tolist(), trained=True))
        if refuse(tuple(line.text for line in shown_dialogue(dialogue, interruption)), completion):
            turn = Turn(Gate(True, "fault"))
        else:
            turn = yield from patient_turn(script, dialogue, units)
        rounds.append(Round(prompt, completion, text, turn))
        if turn.gate.stop:
            return Consultation(script, dialogue, tuple(rounds), tuple(messages), interruption)
        dialogue += (Line("patient", turn.final),)
        messages.append(Message("user", shown(turn.final, len(rounds), interruption)))
