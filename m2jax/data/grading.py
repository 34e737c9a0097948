"""Practice for the grader, made from the clinic by seed: the judge's own prompts, with what the checks say as truth;
and for the writer, whose replies the grader then reads.

Five replies of eight were written by a model, where there are such (`data.replies`); one is composed of sentences of
the condition's data and of others', in many wordings, and two are explanations (`data.explained`). A reply is long and
a question about it short: so of each reply much is asked (`questions`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import numpy as np

from m2jax.clinic.condition import Condition, conditions
from m2jax.clinic.rubrics import reference_of
from m2jax.clinic.sample import condition_of, sample_case, sample_record
from m2jax.data.chats import Chat
from m2jax.data.doctor_lines import NAMED
from m2jax.data.explained import explanation
from m2jax.data.replies import load_replies, request, wishes
from m2jax.text.chat import Message
from m2jax.verifier.checks import met
from m2jax.verifier.judge_prompt import judge_messages
from m2jax.verifier.phrases import content, small
from m2jax.verifier.rubric import Case, Criterion, Rubric

FOLLOWED = 0.8  # of the criteria that are wished for
YES, NO = 6, 4  # criteria asked that a reply meets, at most, and how many more that it does not
STATEMENTS, STATED = 2, 3  # of what a reply states and of what it does not; each of more words than that
SENTENCES = (2, 6)  # least and most of a composed reply
URGENT = {
    "emergency": ("Call an ambulance now.", "Please go to the emergency department straight away.", "Call 999."),
    "today": ("Please see a doctor today.", "You should be seen today.", "Contact your doctor urgently."),
    "soon": ("Make an appointment with your doctor.", "See your GP this week.", "A nurse can have a look at it."),
    "routine": ("Ask your pharmacist.", "Your doctor can help with that.", "Talk to your doctor about it."),
}
CALMING = ("It is probably nothing.", "There is nothing to worry about.", "You can wait and see.", "It will pass.")
NAMES = ("This could be {}.", "It sounds like {}.", "You may have {}.", "{} is possible.", "This is not {}.")
SURE = ("You definitely have {}.", "This is certainly {}.")
DRUGS = ("Take {}.", "You could try {} for a few days.", "Do not take {}.", "Avoid {} for now.", "I recommend {}.")
FLAGS = ("Get urgent help if there is {}.", "Go to hospital at once if you notice {}.", "Look out for {}.")
KIND = (
    "I'm sorry to hear that.",
    "That must be unpleasant.",
    "I understand that you are worried.",
    "Thank you for asking.",
)
PLAIN = ("Drink enough and rest.", "Keep an eye on it.", "I hope this helps.", "Let me know how it goes.")
MEDICINES = ("What medicines are you taking?", "Are you allergic to anything?", "Do you take any tablets?")


def grader(split: str, n: int, seed: int) -> list[Chat]:
    """The questions about n replies: of eight two are explanations, one is composed, and the others are models', where
    there are any, in their order and from the first again after the last, with other questions.
    """
    written = load_replies(split)
    of_models = itertools.cycle(written)
    chats = []
    for i in range(n):
        rng, name = np.random.default_rng([seed, i]), f"grader-{split}-{i}"
        if i % 4 == 2:
            chats += _asked(*explanation(split, name, rng), name, rng)
            continue
        if i % 8 and written:
            number, reply = next(of_models)
            case = sample_case(number, split)
        else:
            case = sample_case(seed + 10_000 + i, split)
            reply = composed_reply(case, rng)
        chats += questions(case, reply, name, rng)
    return chats


def writer(split: str, n: int, seed: int) -> list[Chat]:
    """n patients who wish for something, and replies that mostly do it."""
    chats = []
    for i in range(n):
        case, rng = sample_case(seed + 20_000 + i, split), np.random.default_rng([seed, 3, i])
        wished = wishes(case, rng)
        reply = composed_reply(case, rng, wished)
        messages = (Message("user", request(case, wished)), Message("assistant", reply, trained=True))
        chats.append(Chat(f"writer-{split}-{i}", messages, case.topic, split))
    return chats


def questions(case: Case, reply: str, name: str, rng: np.random.Generator) -> list[Chat]:
    """The judge's questions about a reply, grouped by the sign of the points: those share a prefix.

    Of what the clinic could ask about the patient, her condition and one other, what the reply meets (at most `YES`),
    and more of what it does not; and statements, of which some stand in the reply (`_statements`).
    """
    record = sample_record(int(case.id.rpartition("-")[2]), case.split)
    asked = {c.text: c for c in (*case.rubric, *reference_of(condition_of(record), record), *_strange(case, rng))}
    decided = [(c, met(c.check, reply)) for c in asked.values() if c.check is not None]
    yes, no = ([c for c, m in decided if m is answer] for answer in (True, False))
    yes = [yes[i] for i in rng.permutation(len(yes))[:YES]]
    no = [no[i] for i in rng.permutation(len(no))[: len(yes) + NO]]
    chosen = [(c, "Yes") for c in yes] + [(c, "No") for c in no] + _statements(case, reply, rng)
    return _asked(case, reply, chosen, name, rng)


def _strange(case: Case, rng: np.random.Generator) -> Rubric:
    """The rubric of a patient of the same split, most often with another condition."""
    return sample_case(int(rng.integers(1 << 30)), case.split).rubric


def _statements(case: Case, reply: str, rng: np.random.Generator) -> list[tuple[Criterion, str]]:
    """Criteria that a reply states something: parts of its own sentences, and as many of sentences about another
    condition with which it shares few words.
    """
    said = [s for s in re.split(r"(?<=[.!?])\s+", reply) if s.endswith(".") and len(s.split()) > STATED]
    others = [c for c in conditions() if c.split == case.split and c.id != case.topic]
    pool = [s for s in sentences(others[rng.integers(len(others))], rng) if s.endswith(".")]
    unsaid = [s for s in pool if len(s.split()) > STATED and 3 * len(content(s) & content(reply)) < len(content(s))]
    some = lambda options: [options[i] for i in rng.permutation(len(options))[:STATEMENTS]]  # noqa: E731
    made = [(_states(s, rng), "Yes") for s in some(said)]
    return made + [(_states(s, rng), "No") for s in some(unsaid)[: max(1, len(made))]]


def _states(sentence: str, rng: np.random.Generator) -> Criterion:
    clauses = [part for part in re.split(r"[,;:]\s+|\s+and\s+", sentence.rstrip(".")) if len(part.split()) > STATED]
    part = clauses[rng.integers(len(clauses))] if clauses else sentence.rstrip(".")
    verb = ("States that", "Says that", "Mentions that")[rng.integers(3)]
    return Criterion(f"{verb} {small(part)}.", 5, "accuracy")


def composed_reply(case: Case, rng: np.random.Generator, wished: Sequence[Criterion] = ()) -> str:
    """Sentences about the case's condition, some of another one, in a drawn order. wished: criteria for each of which a
    sentence that meets it is among them, where there is one and more often than not.
    """
    own = next(c for c in conditions() if c.id == case.topic)
    others = [c for c in conditions() if c.split == own.split and c.id != own.id]
    other = others[rng.integers(len(others))]
    bank = sentences(own, rng) if rng.random() < 0.95 else []
    bank = bank + sentences(other, rng)[: len(bank) // 4 + 1]
    count = int(rng.integers(SENTENCES[0], SENTENCES[1] + 1))
    chosen = [s for c in wished if (s := _meeting(c, own, rng)) and rng.random() < FOLLOWED]
    chosen += [bank[i] for i in rng.permutation(len(bank))[: max(1, count - len(chosen))]]
    return " ".join(chosen[i] for i in rng.permutation(len(chosen)))


def _meeting(criterion: Criterion, own: Condition, rng: np.random.Generator) -> str:
    """A sentence that meets a criterion, "" where none is found."""
    if criterion.check is None:
        return ""
    drawn = (s for _ in range(8) for s in sentences(own, rng))
    return next((s for s in drawn if met(criterion.check, s)), "")


def _asked(
    case: Case, reply: str, chosen: Sequence[tuple[Criterion, str]], name: str, rng: np.random.Generator
) -> list[Chat]:
    """The questions in a drawn order, those of one sign together."""
    mixed = sorted((chosen[i] for i in rng.permutation(len(chosen))), key=lambda item: item[0].points < 0)
    return [_question(case, reply, criterion, answer, f"{name}-{k}") for k, (criterion, answer) in enumerate(mixed)]


def _question(case: Case, reply: str, criterion: Criterion, answer: str, name: str) -> Chat:
    prompt = judge_messages(case.messages, reply, criterion)[0]["content"]
    messages = (Message("user", prompt), Message("assistant", answer, trained=True))
    sign = "positive" if criterion.points > 0 else "negative"
    return Chat(name, messages, sign, case.split, f"{name.rpartition('-')[0]}-{sign}")


def sentences(c: Condition, rng: np.random.Generator) -> list[str]:
    """What a reply to a patient with the condition might say, for better or worse; one wording of each."""
    draw = lambda options: str(options[rng.integers(len(options))])  # noqa: E731
    asked = [f for f in (*c.symptoms, *c.history) if f.asks]
    about = [f.id.replace("-", " ") for f in asked] + [cue for f in asked for cue in f.cues]
    drugs = [drug for avoid in c.avoid for drug in (*avoid.drugs, *avoid.words)]
    plain = lambda text: text.replace("*", "").replace("\\w", "").split("|")[0]  # noqa: E731
    return [
        *(draw(NAMED).format(draw(about)) for _ in range(3)),
        *(a.text for a in c.management),
        *(f"{draw(('Try', 'Think about', 'You need'))} {plain(draw(a.words))}." for a in c.management[:2]),
        draw(URGENT[c.urgency]),
        draw(URGENT[draw(tuple(URGENT))]),
        draw(FLAGS).format(draw((c.red_flags.text, plain(draw(c.red_flags.words))))),
        c.safety_net.text,
        draw(NAMES).format(draw((c.name, *c.names))),
        draw(NAMES).format(draw([draw(d) for d in c.differentials])),
        draw(SURE).format(c.name),
        *(draw(DRUGS).format(plain(drug)) for drug in drugs[:2]),
        draw(CALMING),
        draw(KIND),
        draw(PLAIN),
        draw(MEDICINES),
    ]
