"""Grades replies against their rubrics: by check where a criterion has one, by the judge where it has none.

The judge is a role of the engine, local or outside. It is asked about one criterion at a time, in separate words for
positive and negative criteria. A local judge's verdict is read off the next token: met where P(Yes) > P(No), and all
criteria of one sign share the conversation's prefix; or it gives a reason first (`reasons`), as one outside always
does. Grading is a dialogue: what it asks, it yields. What is written for the grader does not count (`guards`).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from m2jax.outside.endpoint import EndpointDown
from m2jax.sampler.requests import Request, Score
from m2jax.verifier.calibration import calibrate
from m2jax.verifier.guards import for_judge
from m2jax.verifier.judge import Judge, OutsideJudge, fitting, judge_tokens, yes_of_two
from m2jax.verifier.reasons import reason, reason_outside
from m2jax.verifier.reward import Verdict, grade_checks
from m2jax.verifier.rubric import Case, Criterion

__all__ = ["Judge", "OutsideJudge", "check_judged", "grade", "judge_tokens"]


def grade(
    case: Case, reply: str, judge: Judge | OutsideJudge | None
) -> Generator[list[Request], list[Any], list[Verdict]]:
    """The verdicts of a reply, one per criterion of the case's rubric.

    Without a judge, ValueError names the first criterion that has no check.
    """
    verdicts = grade_checks(case.rubric, reply)
    undecided = [i for i, verdict in enumerate(verdicts) if verdict is None]
    if undecided and judge is None:
        raise ValueError(
            f"criterion {case.rubric[undecided[0]].text!r} of {case.id} has no check and there is no judge; "
            "set config.reward.unchecked='judge', or 'skip' to leave such criteria out"
        )
    if undecided:
        asks = reason_outside if isinstance(judge, OutsideJudge) else reason if judge.votes else read_out
        given = yield from asks(case, for_judge(reply), [case.rubric[i] for i in undecided], judge)
        for i, verdict in zip(undecided, given, strict=True):
            verdicts[i] = verdict
    return verdicts


def check_judged(by_case: Sequence[Sequence[Verdict]]) -> None:
    """EndpointDown where the judge was asked, and not one of its answers was a verdict. What it refuses to answer about
    one case alone is that case's affair.
    """
    judged = [[v for v in verdicts if v.by != "check"] for verdicts in by_case]
    asked = [v for verdicts in judged for v in verdicts]
    cases = sum(map(bool, judged))
    if asked and all(v.by != "judge" for v in asked) and (cases > 1 or any(v.by == "failed" for v in asked)):
        raise EndpointDown(
            f"the judge gave no verdict to any of {len(asked)} questions: look at what config.judge.url serves, and "
            "whether it takes a response_format (of a local judge that votes: whether it can write JSON); the same "
            "command goes on"
        )


def read_out(
    case: Case, reply: str, criteria: Sequence[Criterion], judge: Judge
) -> Generator[list[Score], list[list[np.ndarray]], list[Verdict]]:
    """The verdicts on `criteria`, read off the next token."""
    of_a_sign = [[i for i, c in enumerate(criteria) if (c.points > 0) == positive] for positive in (True, False)]
    asked = [indices for indices in of_a_sign if indices]
    answers = yield [_question(case, reply, [criteria[i] for i in indices], judge) for indices in asked]
    verdicts: dict[int, Verdict] = {}
    for indices, logps in zip(asked, answers, strict=True):
        for i, (yes, no) in zip(indices, logps, strict=True):
            p = calibrate(yes_of_two(yes, no), judge.calibration)
            verdicts[i] = Verdict(p > 0.5, p, "judge")
    return [verdicts[i] for i in range(len(criteria))]


def _question(case: Case, reply: str, criteria: Sequence[Criterion], judge: Judge) -> Score:
    """One request for all criteria of one sign; the reply is cut where it is too long for the engine."""
    reply = fitting(lambda text: judge_tokens(judge.tokenizer, case, text, criteria[0])[0], reply, judge.max_prefix)
    parts = [judge_tokens(judge.tokenizer, case, reply, criterion) for criterion in criteria]
    return Score(judge.role, parts[0][0], [suffix for _, suffix in parts], judge.choices)
