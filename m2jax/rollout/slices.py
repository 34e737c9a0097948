"""Slices of consultations: what RL stage 3 is trained on (arXiv 2509.02208, section 5).

The policy consults with the simulated patient. Of what came of it a beginning is kept, up to where the doctor is to
speak again: a slice. It becomes a case with a rubric written for it, and the next reply is sampled, graded and
reinforced as that to any other case.

What follows a fault of the doctor (`fault`) is never kept: a slice ends before the first one. So every consultation
gives a slice, if only its opening message, and no fault is continued.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from m2jax.clinic import doctor
from m2jax.clinic.sample import condition_of, is_of_clinic
from m2jax.patient.gate import REASONS
from m2jax.patient.interruption import Interruption, draw, shown_dialogue, takes_up
from m2jax.patient.persona import sample_persona
from m2jax.patient.reference import scripted_reply
from m2jax.patient.rubric import chat, rubric_after
from m2jax.patient.script import Dialogue, Line, Script, sample_script
from m2jax.patient.shown import opening
from m2jax.patient.simulate import Consultation, Units, consult
from m2jax.records.record import Record
from m2jax.rollout.patients import Patients, of_clinic, stratified
from m2jax.rollout.single_turn import prompt_tokens, results_of
from m2jax.rules.final import answered
from m2jax.sampler import requests
from m2jax.sampler.engine import Engine
from m2jax.sampler.journal import Journal
from m2jax.sampler.requests import Completion
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.phrases import content
from m2jax.verifier.rubric import Case

ENDS = (*REASONS, "fault", "room")  # the gate's, or a fault of the doctor, or no room for another prompt
FAULTS = ("empty", "over-length", "role inversion", "repetition", "causal nonsense")
SEED_OFFSET = 4_000_037  # no key of the replies', the evaluation's, the watch's or the proposals'
GRAM, ALIKE = 4, 0.5  # words; the share of them said before from which on a reply repeats
_HELLO = r"^\W*(?:(?:hello|hi|good (?:morning|afternoon|evening))\W+)?"
_INVERTED = re.compile(
    rf"\A{_HELLO}(?:doctor|doc)\b\W*(?:,|[.!:]|$|\bI\b)|{_HELLO}(?:doctor|doc),\s*I\b"
    rf"|{_HELLO}(?:I'm|I am|I’m) an? \d{{1,3}}[- ]year|^\W*(?:patient|user|human)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE = re.compile(r"(?<=[.?!])\s+|\n+")
_REFERS = re.compile(  # what stands before it in its clause, what follows, and the next clause
    r"([^.?!\n,;:–—]*)\b(?:you(?:'ve|’ve| have)?|she|he) (?:just )?(?:said|mentioned|told me|described|reported)\b"
    r"([^.?!\n,;:–—]*)(?=,?([^.?!\n,;:–—]*))",
    re.IGNORECASE,
)
_OBJECT = re.compile(  # that which was said, where it stands before: "the rash (that) you mentioned", "what you said"
    r"\b(?:(what|everything|anything|all|how)|(?:the|your|his|her|any|an?|some|those|these|both)((?:\s+[\w'’-]+){1,5}?))"
    r"(?:\s+(?:that|which))?\s*$",
    re.IGNORECASE,
)
_NAMELESS = content(
    "symptoms signs problems complaints concerns findings history story details information picture situation things "
    "answers words"
)
_RESULT = re.compile(
    r"\byour (?:\w+ ){0,2}(tests?|results?|scans?|x-rays?|ecg|mri|ct|biopsy|swab)\b(?=[^.?!\n]{0,30}"
    r"\b(?:shows?|showed|came back|confirms?|confirmed|(?:is|are|was|were) (?:normal|abnormal|positive|negative)))",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.;:!?\n–—]|,(?!\s*(?:and|or|but)\b)")
_CONDITION = re.compile(
    r"\b(?:if|when|once|until|unless|whether|after|before|should|as soon as|in case)\b", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Sliced:
    """A case cut from a consultation. kept: of its `rounds` those in the case. fault: that of the reply at which the
    good beginning ends, "" where there is none. ended: why it stopped, one of `ENDS`. asked: facts the doctor asked
    for. held: the consultation.
    """

    case: Case
    kept: int
    rounds: int
    fault: str
    ended: str
    asked: int
    held: Consultation


def slices(
    engine: Engine,
    tokenizer: Tokenizer,
    units: Units,
    numbers: Sequence[int],
    limit: int,
    *,
    seed: int,
    come: Patients = of_clinic,
    trim: bool = False,
    interrupted: float = 0.0,
    journal: Journal | None = None,
) -> list[Sliced]:
    """A slice of a consultation of the role "doctor" with each of the numbered patients. limit: tokens of its prompt
    at most. come: who they are. trim: see `cut`. interrupted: the share of consultations with an interruption. A number
    and the seed determine patient, interruption, cut and samples.
    """

    def refuse(said: tuple[str, ...], completion: Completion) -> str:
        whole = _whole(said[-1]) if trim and not completion.stopped else ""
        return fault_of([*said[:-1], whole or said[-1]], completion.stopped or bool(whole))

    def dialogue(number: int) -> requests.Dialogue:
        script, said = come(number, seed)
        stopped_by = draw(interrupted, seed, number)
        held = yield from consult(script, said, "doctor", units, stopped_by, longest=limit, refuse=refuse)
        return cut(held, tokenizer, limit, np.random.default_rng([seed, 1, number]), trim)

    begun = [dialogue(number) for number in numbers]
    return results_of(engine.run(begun, seed=seed + SEED_OFFSET, keys=numbers, journal=journal))


def cut(held: Consultation, tokenizer: Tokenizer, limit: int, rng: np.random.Generator, trim: bool = False) -> Sliced:
    """A slice of the good beginning: as many of its rounds as are drawn, all numbers alike. trim: of a reply that was
    cut off, what there is up to the end of a sentence stands in the slice, and that is no fault: for small models,
    which seldom end by themselves.
    """
    if trim:
        held = _trimmed(held)
    faults = [fault(held, i) for i in range(len(held.rounds))]
    good = next((i for i, found in enumerate(faults) if found), len(faults))
    most = min(good, sum(not r.turn.gate.stop for r in held.rounds))  # the doctor speaks next
    kept = int(rng.integers(most + 1))
    case = case_of(held.script, held.dialogue[: 2 * kept + 1], held.interruption)
    while (size := len(prompt_tokens(tokenizer, case))) > limit:
        if not kept:
            raise ValueError(_too_long(held.script.record, size, limit))
        kept -= 1
        case = case_of(held.script, held.dialogue[: 2 * kept + 1], held.interruption)
    asked = set().union(*(r.turn.asked for r in held.rounds))
    found = faults[good] if good < len(faults) else ""
    return Sliced(case, kept, len(held.rounds), found, held.rounds[-1].turn.gate.reason or "room", len(asked), held)


def fault(held: Consultation, number: int) -> str:
    """What is wrong with a reply of the doctor, as `fault_of` says."""
    said = [line.text for line in held.shown[: 2 * number + 2]]
    return fault_of(said, held.rounds[number].completion.stopped)


def fault_of(said: Sequence[str], stopped: bool) -> str:
    """What is wrong with the doctor's last of the messages that were `said` in turn, one of `FAULTS`, or "": it was
    cut off (not `stopped`); it says nothing; the doctor speaks as the patient; it says again what it said, or goes
    round in circles; it builds on words of the patient or on results that there are not.
    """
    text, said = said[-1], said[:-1]
    if not stopped:
        return "over-length"
    if not re.search(r"\w", text):
        return "empty"
    if _INVERTED.search(text):
        return "role inversion"
    if _repeats(text, said[1::2]):
        return "repetition"
    return "causal nonsense" if _baseless(text, " ".join(said[::2])) else ""


def heldout_slices(n: int, rounds: int, tokenizer: Tokenizer, limit: int, records: Sequence[Record] = ()) -> list[Case]:
    """Cases of n patients of held-out conditions, or of the first n records where there are some, before and within
    consultations of at most `rounds` messages of the scripted doctor: the same whatever is trained.
    """
    if not records:
        seeds = [stratified(number, 1, "heldout") for number in range(n)]
        return [_scripted(sample_script(seed, "heldout"), seed, rounds, tokenizer, limit) for seed in seeds]
    scripts = [Script(record, sample_persona(number, record)) for number, record in enumerate(records[:n])]
    return [_scripted(script, number, rounds, tokenizer, limit) for number, script in enumerate(scripts)]


def check_openings(records: Sequence[Record], tokenizer: Tokenizer, limit: int) -> None:
    """ValueError names the first whose opening is a prompt of more than `limit` tokens."""
    for number, record in enumerate(records):
        script = Script(record, sample_persona(number, record))
        said = case_of(script, (Line("patient", opening(record, number)),))
        if (size := len(prompt_tokens(tokenizer, said))) > limit:
            raise ValueError(_too_long(record, size, limit))


def told_of(found: Sequence[Sliced]) -> dict[str, float]:
    """Metrics of a step's consultations: rounds, facts asked for in a round, where they were cut, and shares of faults
    and endings by reason.
    """
    rounds, n = sum(s.rounds for s in found), len(found)
    faults, ended = Counter(s.fault for s in found if s.fault), Counter(s.ended for s in found)
    return {
        "consult/rounds": rounds / n,
        "consult/kept": sum(s.kept for s in found) / n,
        "consult/asked_per_round": sum(s.asked for s in found) / rounds,
        "consult/interrupted": sum(s.held.interrupted for s in found) / n,
        **{f"consult/fault/{name.replace(' ', '_')}": faults[name] / n for name in FAULTS},
        **{f"consult/ended/{name}": ended[name] / n for name in ENDS},
    }


def _too_long(record: Record, size: int, limit: int) -> str:
    return (
        f"the opening of {record.id} is a prompt of {size} tokens; config.data.max_prompt_tokens is {limit}: raise it"
    )


def _trimmed(held: Consultation) -> Consultation:
    """With whole sentences alone; a reply that has none stays cut off."""
    rounds, dialogue = list(held.rounds), list(held.dialogue)
    for i, round in enumerate(held.rounds):
        if not round.completion.stopped and (whole := _whole(answered(round.text))):
            rounds[i] = dataclasses.replace(
                round, text=_whole(round.text), completion=dataclasses.replace(round.completion, stopped=True)
            )
            dialogue[2 * i + 1] = Line("doctor", whole)
    return dataclasses.replace(held, rounds=tuple(rounds), dialogue=tuple(dialogue))


def _whole(text: str) -> str:
    """The text up to the end of its last sentence; "" where it has none."""
    found = re.match(r"[\s\S]*[.?!](?=\s|$)", text)
    return found[0] if found else ""


def _scripted(script: Script, seed: int, rounds: int, tokenizer: Tokenizer, limit: int) -> Case:
    dialogue: Dialogue = (Line("patient", opening(script.record, seed)),)
    moves = doctor.moves(script.record, seed, rounds + 2)[1:-1]  # neither a greeting nor an end
    case = case_of(script, dialogue, split="heldout")
    for move in moves[: np.random.default_rng([seed, 2]).integers(len(moves) + 1)]:
        dialogue += (Line("doctor", move.text),)
        dialogue += (Line("patient", scripted_reply(script, dialogue, seed)),)
        longer = case_of(script, dialogue, split="heldout")
        if len(prompt_tokens(tokenizer, longer)) > limit:
            break
        case = longer
    return case


def case_of(script: Script, dialogue: Dialogue, interruption: Interruption | None = None, split: str = "train") -> Case:
    """The slice that a dialogue ending with the patient is, with its rubric: as the doctor sees it, who has to take up
    an interruption that has just come. split: of a record from outside; a patient of the clinic has that of her
    condition.
    """
    record = script.record
    name, topic = f"{record.id}-{len(dialogue) // 2}", record.diagnosis
    if is_of_clinic(record):
        condition = condition_of(record)
        topic, split = condition.id, condition.split
    rubric = rubric_after(record, dialogue)
    if interruption and interruption.round == len(dialogue) // 2:
        rubric += (takes_up(interruption),)
    return Case(name, topic, split, chat(shown_dialogue(dialogue, interruption)), rubric)


def _grams(text: str) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return [tuple(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1)]


def _repeats(text: str, before: Sequence[str]) -> bool:
    """Whether its runs of words stand in it twice, or were said before: those of sentences that say nothing new."""
    grams = _grams(text)
    if not grams:
        return text in before
    told, known = content(" ".join(before)), {gram for said in before for gram in _grams(said)}
    again = _grams(" ".join(s for s in _SENTENCE.split(text) if not content(s) - told))
    return len(set(grams)) <= ALIKE * len(grams) or sum(g in known for g in again) >= ALIKE * len(grams)


def _baseless(text: str, patient: str) -> bool:
    """Whether it refers to words of the patient, none of which there are, or to a result of which it has not heard."""
    known = {stem[:4] for stem in content(patient)}
    for before, after, following in _REFERS.findall(text):
        if re.search(r"\bas\s*$", before, re.IGNORECASE) and re.search(r"\byour?\b", following, re.IGNORECASE):
            after += following  # "As you said, you have a fever."
        found = _OBJECT.search(before)
        what = content((found[2] or "") if found else after) - _NAMELESS
        if what and not {stem[:4] for stem in what | content(after)} & known:
            return True
    for result in _RESULT.finditer(text):
        supposed = _CONDITION.search(_CLAUSE.split(text[: result.start()])[-1])
        if not supposed and not re.search(rf"\b{result[1][:4]}", patient, re.IGNORECASE):
            return True
    return False
