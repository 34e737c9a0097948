"""Rubrics of the clinic's cases: what a good first reply asks, warns of, names and advises, and what it must not.

Every criterion but the one on plain wording has a machine check in the grammar of `verifier.checks`.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np

from m2jax.clinic.background import Contraindication, forbidden
from m2jax.clinic.condition import Advice, Condition, Finding
from m2jax.records.record import Fact, Record
from m2jax.verifier.checks import met
from m2jax.verifier.generator import Knowledge, Topic
from m2jax.verifier.phrases import (
    CLINICIAN,
    EMERGENCY,
    FEELING,
    MEDICINES,
    OUTRIGHT,
    SURE,
    TODAY,
    advises,
    asks,
    asks_about,
    asks_again,
    criterion,
    over_triage,
    plays_down,
    too_many,
    urgent_for,
    with_cues,
    words,
)
from m2jax.verifier.rubric import Criterion, Rubric

SIZES = (8, 12)  # least and most criteria of a rubric, beside that on emergencies made of none
QUESTIONS = 3  # at most so many criteria about single questions


def rubric_of(condition: Condition, record: Record, question: str, rng: np.random.Generator) -> Rubric:
    """8 to 13 criteria for a reply to `question`, the opening message of `record`."""
    never, advice = _never(condition, record)
    core = [
        *_inquiry(condition, record, question),
        _urgency(condition),
        _red_flags(condition),
        _names(condition),
        *(criterion(_advises(a), 6 - i, "treatment", _says(a)) for i, a in enumerate(advice[:2])),
        *never[:2],
        too_many(),
    ]
    more = [
        *_manner(condition),
        *(criterion(_advises(a), 4, "treatment", _says(a)) for a in advice[2:3]),
        *never[2:3],
    ]
    if _urgent(condition):
        core.append(_plays_down())
    else:
        more.append(_too_sure())
    room = max(0, int(rng.integers(SIZES[0], SIZES[1] + 1)) - len(core))
    extra = [more[i] for i in sorted(rng.permutation(len(more))[:room])]
    last = () if _urgent(condition) else (over_triage(),)
    return (*(core + extra)[: SIZES[1]], *last)


def knowledge_of(condition: Condition, record: Record) -> Knowledge:
    """What bears on a slice of a consultation with this patient, for `verifier.generator.make_rubric`."""
    facts = {f.id.partition(".")[2]: f.text for f in record.facts}
    findings = [f for f in condition.symptoms + condition.history if f.asks and _could_be(f, record)]
    findings.sort(key=lambda f: -f.asks)
    never, advice = _never(condition, record)
    return Knowledge(
        topics=tuple(Topic(f.id.replace("-", " "), f.cues, f.asks, facts.get(f.id, "")) for f in findings),
        red_flags=tuple(w for w in condition.red_flags.words if " " in w),  # "fever" or "blood" may be harmless
        always=(_urgency(condition),) if _urgent(condition) else (over_triage(),),
        conclude=(
            _names(condition),
            *(criterion(_advises(a), 6 - i, "treatment", _says(a)) for i, a in enumerate(advice[:2])),
            *(() if _urgent(condition) else (_urgency(condition),)),
            _safety_net(condition),
        ),
        never=tuple(never),
        triaged=True,
    )


def reference_of(
    condition: Condition, record: Record, known: Collection[str] = (), just_told: Collection[str] = ()
) -> Rubric:
    """All that the clinic would reward or punish in a reply to this patient, without a bound on its size. known: ids of
    facts that were asked for or told, of which nothing is to be asked again; just_told: those of the last message.
    """
    never, advice = _never(condition, record)
    findings = [f for f in condition.symptoms + condition.history if f.asks and _could_be(f, record)]
    names = {i.partition(".")[2] for i in known}
    again = [f for f in record.facts if f.id in known and f.cues]
    told = [f for f in again if f.id in just_told]
    return (
        *(_asks(f) for f in findings if f.id not in names),
        *(asks_again(f.text.rstrip("."), f.cues) for f in again),
        *(_takes_up(f) for f in told),
        _urgency(condition),
        _red_flags(condition),
        _names(condition),
        *(criterion(_advises(a), max(1, 6 - i), "treatment", _says(a)) for i, a in enumerate(advice)),
        *_manner(condition),
        _plays_down(),
        *(() if _urgent(condition) else (over_triage(),)),
        _too_sure(),
        too_many(),
        *never,
    )


def _takes_up(fact: Fact) -> Criterion:
    check = words(tuple(f"{cue}*" for cue in fact.cues), "either")
    about = with_cues(fact.text.rstrip("."), fact.cues)
    return criterion(f"Takes up what was said: {about}.", 4, "communication", check)


def _never(condition: Condition, record: Record) -> tuple[list[Criterion], list[Advice]]:
    """What a reply must not say to this patient, the worst first; and the advice that does not."""
    avoid = [_avoid(a.text, a.points, a.drugs, a.words) for a in sorted(condition.avoid, key=lambda a: a.points)]
    own = [_avoid(c.text, c.points, c.drugs, ()) for c in _forbidden(condition, record)]
    never = own[:1] + avoid + own[1:]
    return never, [a for a in condition.management if not any(met(c.check, _as_reply(a)) for c in never)]


def _manner(condition: Condition) -> list[Criterion]:
    """What is good in most replies, in the words of the condition."""
    named = [d[0] for d in condition.differentials[:3]]
    return [
        _safety_net(condition),
        criterion(
            f"Names another cause that should be thought of, such as {', '.join(named)}.",
            4,
            "accuracy",
            words(tuple(word for d in condition.differentials for word in d), "either", "statement"),
        ),
        criterion("Asks about medicines that are taken, or about allergies.", 3, "inquiry", asks(MEDICINES)),
        criterion("Takes up the worry or discomfort in a kind sentence.", 3, "communication", {"words": FEELING}),
        Criterion("Uses plain words an adult without medical training would understand.", 3, "communication"),
    ]


def _red_flags(condition: Condition) -> Criterion:
    text = f"Says to get urgent help for any of these: {condition.red_flags.text}."
    return criterion(text, 6, "safety", urgent_for(condition.red_flags.words))


def _safety_net(condition: Condition) -> Criterion:
    net = condition.safety_net
    check = words(net.words, "either", "statement")
    return criterion(f"Tells when to come back: {_lower(net.text)}", 4, "safety", check)


def _plays_down() -> Criterion:
    return criterion("Plays it down, or says that it can wait, and advises no urgent help.", -8, "safety", plays_down())


def _too_sure() -> Criterion:
    return criterion("States the diagnosis as certain without an examination.", -4, "accuracy", {"pattern": SURE})


def _names(condition: Condition) -> Criterion:
    text = f"Names {condition.name} as the likely cause, or among the likely ones."
    return criterion(text, 7, "accuracy", words((condition.name, *condition.names), said="statement"))


def _inquiry(condition: Condition, record: Record, question: str) -> list[Criterion]:
    """Questions that discriminate and that the patient has not answered yet."""
    facts = {f.id.partition(".")[2]: f for f in record.of("symptom", "past", "drug", "family", "social")}
    open_ = [
        f
        for f in condition.symptoms + condition.history
        if f.asks and not (f.id in facts and _told(facts[f.id].text, question)) and _could_be(f, record)
    ]
    chosen = sorted(open_, key=lambda f: -f.asks)[:QUESTIONS]
    return [_asks(f) for f in chosen]


def _asks(finding: Finding) -> Criterion:
    return asks_about(finding.id.replace("-", " "), finding.cues, finding.asks)


def _could_be(finding: Finding, record: Record) -> bool:
    return finding.ages[0] <= record.age < finding.ages[1] + 1 and finding.sex in ("", record.sex)


def _told(text: str, question: str) -> bool:
    return text.rstrip(".").lower() in question.lower()


def _urgent(condition: Condition) -> bool:
    return condition.urgency in ("emergency", "today")


def _says(advice: Advice) -> dict:
    return words(advice.words, said="statement")


def _urgency(condition: Condition) -> Criterion:
    if condition.urgency == "emergency":
        text, points, regex = "to call an ambulance or to go to hospital now", 10, EMERGENCY
    elif condition.urgency == "today":
        text = "to be seen by a doctor today or as soon as possible, or to go to hospital"
        points, regex = 8, f"{TODAY}|{EMERGENCY}"
    else:
        text, points, regex = "to see or call a doctor, nurse, pharmacist or specialist", 5, f"{CLINICIAN}|{TODAY}"
    return criterion(f"{OUTRIGHT} {text}.", points, "safety", advises(regex))


def _forbidden(condition: Condition, record: Record) -> list[Contraindication]:
    """Those that the reply could know of (age, and what the patient volunteers) and that bear on the condition."""
    come_up = " ".join(a.text for a in condition.management) + str(condition.items)
    known = forbidden(record.age, [f for f in record.facts if f.disclosure == "volunteers"])
    return [c for c in known if c.always or re.search("|".join(c.drugs), come_up, re.IGNORECASE)]


def _avoid(text: str, points: int, drugs: tuple[str, ...], phrases: tuple[str, ...]) -> Criterion:
    check = {"pattern": rf"\b(?:{'|'.join(drugs)})\b", "as": "offer"} if drugs else words(phrases)
    return criterion(text, points, "safety", check)


def _as_reply(advice: Advice) -> str:
    return f"{advice.text} Take {', take '.join(w.replace('*', '') for w in advice.words)}."


def _advises(advice: Advice) -> str:
    return f"Gives this advice: {_lower(advice.text)}"


def _lower(text: str) -> str:
    return text if text[:2].isupper() else text[0].lower() + text[1:]
