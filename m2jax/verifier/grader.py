"""Grades replies against their rubrics: by check where a criterion has one, by the judge where it has none.

The judge is a role of the engine. It is asked about one criterion at a time, in separate words for positive and
negative criteria, and
its verdict is read off the next token: met where P(Yes) > P(No). All criteria of one sign share the conversation's
prefix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from m2jax.sampler.engine import Engine
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.judge_prompt import judge_parts
from m2jax.verifier.reward import Verdict, grade_checks
from m2jax.verifier.rubric import Case, Criterion


class Judge(Protocol):
    """Answers, for each (case, reply, criteria), the probability that each criterion is met."""

    def __call__(self, asked: Sequence[tuple[Case, str, Sequence[Criterion]]]) -> list[list[float]]: ...


def grade(cases: Sequence[Case], replies: Sequence[str], judge: Judge | None) -> list[list[Verdict]]:
    """The verdicts of each reply to the case at the same index, one per criterion of its rubric.

    Without a judge, ValueError names the first criterion that has no check.
    """
    verdicts = [grade_checks(case.rubric, reply) for case, reply in zip(cases, replies, strict=True)]
    open_at = [[i for i, v in enumerate(row) if v is None] for row in verdicts]
    waiting = [n for n, indices in enumerate(open_at) if indices]
    if waiting and judge is None:
        case = cases[waiting[0]]
        raise ValueError(
            f"criterion {case.rubric[open_at[waiting[0]][0]].text!r} of {case.id} has no check and there is no judge; "
            "set config.reward.unchecked='judge', or 'skip' to leave such criteria out"
        )
    asked = [(cases[n], replies[n], [cases[n].rubric[i] for i in open_at[n]]) for n in waiting]
    for n, probabilities in zip(waiting, judge(asked) if asked else [], strict=True):
        for i, p in zip(open_at[n], probabilities, strict=True):
            verdicts[n][i] = Verdict(p > 0.5, p, "judge")
    return verdicts


class EngineJudge:
    """A judge served by the engine under `role`."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, role: str = "judge") -> None:
        self.engine, self.tokenizer, self.role = engine, tokenizer, role
        self.choices = [answer_token(tokenizer, "Yes"), answer_token(tokenizer, "No")]

    def __call__(self, asked: Sequence[tuple[Case, str, Sequence[Criterion]]]) -> list[list[float]]:
        out = [[0.0] * len(criteria) for _, _, criteria in asked]
        places, prefixes, suffixes = [], [], []
        for n, (case, reply, criteria) in enumerate(asked):
            for positive in (True, False):
                indices = [i for i, c in enumerate(criteria) if (c.points > 0) == positive]
                if indices:
                    parts = [self._fitting(case, reply, criteria[i]) for i in indices]
                    places.append((n, indices))
                    prefixes.append(parts[0][0])
                    suffixes.append([suffix for _, suffix in parts])
        for (n, indices), logp in zip(
            places, self.engine.score(self.role, prefixes, suffixes, self.choices), strict=True
        ):
            for i, (yes, no) in zip(indices, logp, strict=True):
                out[n][i] = 1 / (1 + math.exp(no - yes))
        return out

    def _fitting(self, case: Case, reply: str, criterion: Criterion) -> tuple[list[int], list[int]]:
        """`judge_tokens`, the reply cut where it is too long for the engine (bytes that are no text grow)."""
        parts = judge_tokens(self.tokenizer, case, reply, criterion)
        while reply and len(parts[0]) > self.engine.shapes.prefix:
            reply = reply[: len(reply) * 3 // 4]
            parts = judge_tokens(self.tokenizer, case, reply, criterion)
        return parts


def judge_tokens(tokenizer: Tokenizer, case: Case, reply: str, criterion: Criterion) -> tuple[list[int], list[int]]:
    """(prefix, suffix) token ids of the judge's prompt; the prefix is the same for all criteria of one sign."""
    conversation = [*((m["role"], m["content"]) for m in case.messages), ("assistant", reply)]
    prefix, suffix = (tokenizer.encode(text) for text in judge_parts(conversation, criterion))
    # the template's scaffolding around the user's message; the message's own ids are put in between
    framed = render(tokenizer, [Message("user", [*prefix, *suffix])])
    inside = np.flatnonzero(framed.roles == 0)
    cut = int(inside[0]) + len(prefix)
    return framed.tokens[:cut].tolist(), framed.tokens[cut:].tolist()


def answer_token(tokenizer: Tokenizer, word: str) -> int:
    """The first token of an answer; ValueError where it is not a token of its own."""
    ids = tokenizer.encode(word)
    if len(ids) != 1:
        raise ValueError(f"{word!r} is {len(ids)} tokens for this model; the judge reads single-token answers")
    return ids[0]
