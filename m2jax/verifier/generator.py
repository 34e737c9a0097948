"""Rubrics of a slice of a consultation, from knowledge (paper section 2; RL-3 conditions on the dialogue so far).

    rubric = make_rubric(record, messages, knowledge_of(condition, record))   # of the clinic: `clinic.rubrics`
    rubric = make_rubric(record, messages, knowledge_from(record))            # of any record

`messages` end with what the patient has just said; the rubric is that of the doctor's next reply. What was asked before
or told already is not asked again (and loses points if it is), what the patient has just said must be taken up, and a
red flag just disclosed must be acted on. All but one criterion carry checks. `proposals` makes them by a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from m2jax.records.outside import UNSTATED
from m2jax.records.record import Fact, Record
from m2jax.records.text import stem, telling
from m2jax.verifier.checks import met, parse_check
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
    content,
    criterion,
    pattern,
    plays_down,
    too_many,
    with_cues,
    words,
)
from m2jax.verifier.rubric import Criterion, Rubric

DIMENSIONS = ("accuracy", "inquiry", "treatment", "communication", "safety", "citation", "clarity")
MOST = 12  # criteria of a rubric
QUESTIONS = 3  # about single questions
CONCLUDES = 3  # replies of the doctor after which a diagnosis and a plan are due, though questions may be open
SAID = 0.6  # the share of a fact's content words in what the patient said that counts as having told it

RED_FLAGS = (  # that any clinician acts on, whatever the condition
    *("can't breathe", "cannot breathe", "struggling to breathe", "short of breath at rest", "coughing up blood"),
    *("chest pain", "pain in the chest", "passed out", "fainted", "collapsed", "unconscious", "blacked out", "seizure"),
    *("worst headache", "thunderclap", "droop*", "slurred", "cannot find words", "fitting", "stiff neck", "confused"),
    *("vomiting blood", "black stool*", "blood in the stool*", "rash that does not fade", "not moving"),
    *("kill myself", "end my life", "suicid*", "harm myself", "swollen tongue", "swollen lips"),
)
_STOCK = (
    r"\b(?:studies|research|evidence|guidelines?) (?:clearly |also )?(?:shows?|says?|suggests?|recommends?|proves?)\b"
)

_RANK = {"symptom": 0, "past": 1, "drug": 1, "allergy": 1}  # of kinds: what bears most on a case is asked first
SECTIONS = {  # what a chart's section is asked for by: its name, and words of such a question
    "past": ("past illnesses", ("illness", "history", "condition", "operation", "surger", "diagnosed")),
    "drug": ("medicines", MEDICINES[:-1]),
    "allergy": ("allergies", ("allerg",)),
    "family": ("the family", ("family", "relatives", "parents", "sibling")),
    "social": ("habits", ("smok", "alcohol", "drink", "work", "job", "live", "drugs")),
}


@dataclass(frozen=True)
class Topic:
    """A question that is worth asking: its name, the cues that a question about it holds, its points, and what the
    record says ("" where nothing).
    """

    name: str
    cues: tuple[str, ...]
    points: int
    fact: str = ""


@dataclass(frozen=True)
class Knowledge:
    """What bears on a case. topics: questions, in any order. red_flags: its own, as phrases of the patient. always:
    criteria with checks of every reply until one meets them; triaged: they say how urgent the opening message is.
    conclude: criteria of a reply that is to name a diagnosis and a plan. never: negative ones.
    """

    topics: tuple[Topic, ...]
    red_flags: tuple[str, ...] = ()
    always: tuple[Criterion, ...] = ()
    conclude: tuple[Criterion, ...] = ()
    never: tuple[Criterion, ...] = ()
    triaged: bool = False


def make_rubric(record: Record, messages: Sequence[Mapping[str, str]], knowledge: Knowledge) -> Rubric:
    """5 to `MOST` criteria for the doctor's next reply. ValueError where the messages do not end with the patient's."""
    if not messages or messages[-1]["role"] != "user":
        last = messages[-1]["role"] if messages else None
        raise ValueError(f"the dialogue of {record.id} ends with the role {last!r}; it must end with the patient's")
    patient = [m["content"] for m in messages if m["role"] == "user"]
    doctor = [m["content"] for m in messages if m["role"] == "assistant"]
    asked = sorted((t for t in knowledge.topics if _last(doctor, t) >= 0), key=lambda t: _last(doctor, t))
    told = [t for t in knowledge.topics if t not in asked and any(_tells(text, t.fact) for text in patient)]
    open_ = [t for t in knowledge.topics if t not in asked and t not in told]
    flags = _disclosed(patient, knowledge)
    concludes = len(doctor) >= CONCLUDES or not open_
    alarm = _alarm(flags) if flags else []
    if any(met(alarm[0].check, text) for text in doctor if alarm):
        alarm = []  # the patient has been told
    due = [c for c in knowledge.always if not any(met(c.check, text) for text in doctor)]
    if alarm:  # what it says of urgency is said by the red flag
        due = [c for c in due if c.dimension != "safety"]
    again = [asks_again(t.name, t.cues) for t in [*told, *asked][-2:]]
    of_slice = [*alarm, *_inquiry(open_, bool(alarm)), *_takes_up(patient[-1], record, knowledge), *again]
    of_case = [*due, *(knowledge.conclude if concludes else ()), *knowledge.never[:2]]
    return _fitting([*of_slice, *of_case[: MOST - len(of_slice)]], _manner(len(doctor), concludes, bool(alarm)))


def knowledge_from(record: Record) -> Knowledge:
    """What a record alone tells: questions about the facts that are told when asked, its diagnosis."""
    text = f"{OUTRIGHT} to see or call a doctor, nurse, pharmacist or specialist, or to go to hospital."
    see = criterion(text, 5, "safety", advises(f"{CLINICIAN}|{TODAY}|{EMERGENCY}"))
    if record.diagnosis == UNSTATED:
        return Knowledge(_topics(record), conclude=(see,))
    name = criterion(
        f"Names {record.diagnosis} as the likely cause, or among the likely ones.",
        7,
        "accuracy",
        words((record.diagnosis,), said="statement"),
    )
    return Knowledge(_topics(record), conclude=(name, see))


def _topics(record: Record) -> tuple[Topic, ...]:
    """Symptoms first, then what is there before what is not. Facts without cues are asked for by the words that tell
    them from the record's others; those of a chart's section, as its medicines, by one question.
    """
    facts = [f for f in record.facts if f.disclosure in ("asked", "private")]
    facts.sort(key=lambda f: (_RANK.get(f.kind, 2), _absent(f)))
    topics = [Topic(_name(f), f.cues, _points(f), f.text) for f in facts if f.cues]
    bare = [f for f in facts if not f.cues]
    words_of = [telling(f.text) for f in record.facts]
    known = {
        word for f, its in zip(record.facts, words_of, strict=True) if f.disclosure == "volunteers" for word in its
    }
    for fact in (f for f in bare if f.kind == "symptom"):
        own = [word for word in telling(fact.text) if word not in known]
        rarest = sorted(own, key=lambda word: (sum(word in its for its in words_of), -len(word)))[:2]
        name = ", ".join(word for word in own if word in rarest)
        if name and all(name != topic.name for topic in topics):
            topics.append(Topic(name, tuple(map(stem, rarest)), _points(fact), fact.text))
    for kind, (name, cues) in SECTIONS.items():
        if own := [f for f in bare if f.kind == kind]:
            topics.append(Topic(name, cues, _points(own[0]), " ".join(f.text for f in own)))
    return tuple(topics)


def _absent(fact: Fact) -> bool:
    return fact.text.startswith("No ") if fact.absent is None else fact.absent


def _points(fact: Fact) -> int:
    return 5 - _RANK.get(fact.kind, 2)


# ---- Criteria


def _inquiry(topics: Sequence[Topic], alarm: bool) -> list[Criterion]:
    """The best open questions; behind a red flag only one, since help comes first."""
    best = sorted(topics, key=lambda t: -t.points)[: 1 if alarm else QUESTIONS]
    return [asks_about(t.name, t.cues, t.points) for t in best]


def _alarm(flags: Sequence[str]) -> list[Criterion]:
    what = ", ".join(flags[:3])
    urgent = advises(f"{EMERGENCY}|{TODAY}")
    return [
        criterion(f"Acts on the red flag that was just told ({what}): urgent help now.", 10, "safety", urgent),
        criterion(
            f"Plays down what was just told ({what}), or says that it can wait, and advises no urgent help.",
            -8,
            "safety",
            plays_down(),
        ),
    ]


def _takes_up(last: str, record: Record, knowledge: Knowledge) -> list[Criterion]:
    """That the reply takes up what the patient just said: what bears most on the case, else the complaint."""
    topics = [t for t in knowledge.topics if _tells(last, t.fact)]
    said = [f for f in record.of("symptom", "complaint", "drug", "allergy", "past") if f.cues and _tells(last, f.text)]
    said = [f for f in said if not _absent(f)]  # "no regular medicines" asks for no answer
    if topics:
        best = max(topics, key=lambda t: t.points)
        name, cues = best.name, best.cues
    elif said:
        name, cues = _name(said[0]), said[0].cues
    else:
        return []
    check = words(tuple(f"{cue}*" for cue in cues), "either")
    text = f"Takes up what the patient just said about {with_cues(name, cues)}."
    return [criterion(text, 4, "communication", check)]


def _manner(turns: int, concludes: bool, alarm: bool) -> list[Criterion]:
    stock = criterion("Appeals to studies or guidelines without naming one.", -2, "citation", pattern(_STOCK))
    sure = criterion("States a diagnosis as certain without an examination.", -4, "accuracy", {"pattern": SURE})
    kind = criterion("Takes up the worry or discomfort in a kind sentence.", 3, "communication", {"words": FEELING})
    plain = Criterion("Uses plain words an adult without medical training would understand.", 3, "communication")
    return [
        *([] if concludes and not alarm else [sure]),
        too_many(),
        stock,
        *([kind] if turns == 0 or alarm else [plain]),
    ]


def _fitting(needed: Sequence[Criterion], more: Sequence[Criterion]) -> Rubric:
    """Each once, at most `MOST`: all that are needed, then those of most weight."""
    needed = list({c.text: c for c in needed}.values())
    return (*needed, *sorted(more, key=lambda c: -abs(c.points))[: MOST - len(needed)])


# ---- What was said


def _last(doctor: Sequence[str], topic: Topic) -> int:
    """Which of the doctor's replies was the last to ask about the topic; -1 for none."""
    check = parse_check(asks(topic.cues))
    return max((i for i, text in enumerate(doctor) if met(check, text)), default=-1)


def _tells(text: str, fact: str) -> bool:
    """Whether the patient states the fact: at least `SAID` of its content words, in her order or another."""
    wanted, here = content(fact), content(text)
    return bool(wanted) and len(wanted & here) >= SAID * len(wanted)


def _disclosed(patient: Sequence[str], knowledge: Knowledge) -> list[str]:
    """The red flags in the patient's last message that she does not deny."""
    if len(patient) == 1 and knowledge.triaged:
        return []
    flags = dict.fromkeys((*knowledge.red_flags, *RED_FLAGS))
    return [flag.replace("*", "") for flag in flags if met(parse_check(words((flag,))), patient[-1])]


def _name(fact: Fact) -> str:
    if fact.kind == "complaint":
        return "the complaint"
    return fact.id.rpartition(".")[2].replace("-", " ").replace("_", " ")
