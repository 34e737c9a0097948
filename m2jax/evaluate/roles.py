"""How well a model plays the verifier's and the patient's roles, on what is kept out of training.

`grader`: verdicts against checks, on replies that models wrote. `affective`: drafts that are a reply and nothing else,
and that the rules find no fault with. `factual`: claims judged, and rewrites likewise. `gate`: whether a consultation
is over. Each measure is a mean over its items, with its bootstrap 95% interval over records, as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from m2jax.clinic.sample import sample_case
from m2jax.data import roles, stops
from m2jax.data.chats import Chat
from m2jax.data.replies import load_replies
from m2jax.evaluate.agreement import agreement as share
from m2jax.evaluate.agreement import kappa, table
from m2jax.evaluate.serving import Runs
from m2jax.evaluate.stats import bootstrap_ci, pooled_ci
from m2jax.patient.gate import question
from m2jax.rollout.single_turn import results_of
from m2jax.sampler.requests import Dialogue
from m2jax.text.chat import Message
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.ask import ask, ask_yes
from m2jax.verifier.calibration import calibrate, fit
from m2jax.verifier.checks import met
from m2jax.verifier.grader import Judge, read_out
from m2jax.verifier.rubric import Case

SEED = 5_000_000  # of what is composed here: no seed of training
_NOT_SAID = re.compile(r"^(?:#|>|- |Patient:|Doctor:)|\b(?:the patient's next reply|the new reply)\b", re.I | re.M)

Figures = dict[str, Any]
Labelled = tuple[float, bool]  # a judge's probability, and what is true


def measure(name: str, engine: Runs, tokenizer: Tokenizer, role: str, n: int, fitted: bool = True) -> Figures:
    """The figures of one of `MEASURES` for a role of the engine, on n records. fitted: a judge is also calibrated on
    what is held out besides them.
    """
    return MEASURES[name](engine, tokenizer, role, n, fitted)


def grader(engine: Runs, tokenizer: Tokenizer, role: str, n: int, fitted: bool = True) -> Figures:
    """Agreement with the checks and Cohen's kappa, on every criterion that has a check, of the first n replies."""
    written = sampled_replies(None)
    if not written:
        raise ValueError("m2jax/data/replies.jsonl is not there: write it with launch/replies.py")
    given = against_checks(engine, tokenizer, role, written[:n])
    labels = against_checks(engine, tokenizer, role, written[n:]) if fitted else []
    return {"sampled": agreement([[(p > 0.5, y) for p, y in one] for one in given]), **_calibrated(given, labels)}


def sampled_replies(n: int | None) -> list[tuple[Case, str]]:
    """At most n replies (None: all) that a model wrote to held-out cases; none where the package has none."""
    return [(sample_case(seed, "heldout"), reply) for seed, reply in load_replies("heldout")[:n]]


def against_checks(
    engine: Runs, tokenizer: Tokenizer, role: str, replies: Sequence[tuple[Case, str]]
) -> list[list[Labelled]]:
    """Of each reply, on every criterion that has a check: (the judge's probability, the check's verdict)."""
    judge = Judge(tokenizer, role)

    def grade(case: Case, reply: str) -> Dialogue:
        criteria = [c for c in case.rubric if c.check is not None]
        verdicts = yield from read_out(case, reply, criteria, judge)
        return [(v.probability, met(c.check, reply)) for v, c in zip(verdicts, criteria, strict=True)]

    return results_of(engine.run([grade(case, reply) for case, reply in replies]))


def affective(engine: Runs, tokenizer: Tokenizer, role: str, n: int, fitted: bool = True) -> Figures:
    """Of drafts: the share in the form of a reply, and of those without a fault by the rules."""
    return _written(engine, tokenizer, role, roles.drafts("heldout", n, SEED))


def factual(engine: Runs, tokenizer: Tokenizer, role: str, n: int, fitted: bool = True) -> Figures:
    """Agreement on claims, and of rewrites what `affective` measures of drafts."""
    chats = roles.factual("heldout", n, SEED)
    judge = Judge(tokenizer, role)
    groups: dict[str, list[Chat]] = {}
    for chat in chats:
        if chat.topic == "supported":
            groups.setdefault(chat.group, []).append(chat)

    def judged(group: Sequence[Chat]) -> Dialogue:
        parts = [chat.messages[0].content.partition("# The patient says\n") for chat in group]
        found = yield from ask_yes(judge, parts[0][0] + parts[0][1], [claim for _, _, claim in parts])
        return [(p > 0.5, chat.messages[1].content == "Yes") for p, chat in zip(found, group, strict=True)]

    claims = agreement(results_of(engine.run([judged(group) for group in groups.values()])))
    return {"claims": claims, "rewrites": _written(engine, tokenizer, role, roles.rewrites("heldout", n, SEED))}


def gate(engine: Runs, tokenizer: Tokenizer, role: str, n: int, fitted: bool = True) -> Figures:
    """Agreement on n of the messages held out."""
    rows, judge = stops.split_rows("heldout"), Judge(tokenizer, role)
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))][: None if fitted else n]
    asked = [ask_yes(judge, question(row.messages), [""]) for row in rows]
    given = [[(over, row.stop)] for [over], row in zip(results_of(engine.run(asked)), rows, strict=True)]
    said = agreement([[(over > 0.5, stop)] for [(over, stop)] in given[:n]])
    return {"messages": said, **_calibrated(given[:n], given[n:])}


def _calibrated(given: Sequence[Sequence[Labelled]], others: Sequence[Sequence[Labelled]]) -> Figures:
    """The agreement of a judge's probabilities as calibrated on others, and that calibration; nothing without them."""
    if not (labels := [pair for one in others for pair in one]):
        return {}
    fitted = fit(*zip(*labels, strict=True))
    said = agreement([[(calibrate(p, fitted) > 0.5, y) for p, y in one] for one in given])
    return {"calibrated": said, "calibration": fitted._asdict()}


MEASURES: dict[str, Callable[[Runs, Tokenizer, str, int, bool], Figures]] = {
    "grader": grader,
    "affective": affective,
    "factual": factual,
    "gate": gate,
}


def agreement(given: Sequence[Sequence[tuple[bool, bool]]]) -> Figures:
    """Of (verdict, truth) pairs by record: agreement with its interval, Cohen's kappa, and the share that is true."""
    counts = table([pairs for pairs in given if pairs])
    sums = counts.sum(0)
    value, low, high = pooled_ci(counts, share)
    return {
        "n": int(sums.sum()),
        "records": len(counts),
        "agreement": value,
        "low": low,
        "high": high,
        "kappa": float(kappa(sums)),
        "true": float((sums[0] + sums[2]) / sums.sum()),
        "said_true": float((sums[0] + sums[1]) / sums.sum()),
    }


def in_form(text: str) -> bool:
    """Whether a text is one to three sentences of the patient, and nothing of the prompt."""
    sentences = [s for s in re.split(r"(?<=[.!?])\s+", text.strip()) if s]
    return 1 <= len(sentences) <= roles.MOST_SENTENCES + 1 and not _NOT_SAID.search(text)


def _written(engine: Runs, tokenizer: Tokenizer, role: str, items: Sequence[roles.Item]) -> Figures:
    """What a role writes to prompts: the share that ended by itself in the form of a reply, that is good by the rules,
    and that is the reference word for word.
    """

    def write(item: roles.Item) -> Dialogue:
        return (yield from ask(tokenizer, role, [Message("user", item.prompt)]))

    texts = results_of(engine.run([write(item) for item in items]))
    marks = {
        "form": [in_form(text) for text in texts],
        "good": [roles.is_good(text, item.known) for text, item in zip(texts, items, strict=True)],
        "same": [text == item.answer for text, item in zip(texts, items, strict=True)],
    }
    figures: Figures = {"n": len(items)}
    for name, values in marks.items():
        mean, low, high = bootstrap_ci([float(v) for v in values])
        figures[name] = {"share": mean, "low": low, "high": high}
    return figures
