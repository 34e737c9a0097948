"""Rejection sampling with the verifier (paper, section 4): of k replies to a case the best stays, if it is good."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from m2jax.data.chats import Chat, to_json
from m2jax.data.tasks import Task
from m2jax.data.tools.quality import quality
from m2jax.rollout.kept import Row, kept
from m2jax.rollout.single_turn import Reward, Rollout, roll_out
from m2jax.sampler.engine import Engine
from m2jax.text.chat import Message
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.grader import Judge, OutsideJudge
from m2jax.verifier.rubric import Case


def best(group: Sequence[Rollout], least: float) -> Rollout | None:
    """Of the replies to a case the one with the highest score, of several the shortest; None where none that is whole
    and without a fault (`quality`) reaches `least`.
    """
    good = [r for r in group if r.score >= least and r.completion.stopped and not quality([chat(r)])[0]]
    return min(good, key=lambda r: (-r.score, len(r.completion.tokens)), default=None)


def chat(rollout: Rollout) -> Chat:
    """A case with a reply to it, to be learned."""
    case = rollout.case
    asked = [Message(m["role"], m["content"]) for m in case.messages]
    reply = Message("assistant", rollout.text.strip(), trained=True)
    return Chat(case.id, (*asked, reply), case.topic, case.split)


def sample(
    engine: Engine,
    tokenizer: Tokenizer,
    cases: Sequence[Case | Task],
    k: int,
    least: float,
    file: Path,
    *,
    who: Mapping[str, Any],
    judge: Judge | OutsideJudge | None,
    reward: Reward,
    at_once: int,
    seed: int = 0,
    tell: Callable[[str], None] = print,
) -> list[Row]:
    """Of each case its id, the best reply's chat as a line of JSON has it (None: no good one), and the highest score of
    the k replies of the role "start"; `file` keeps them (`kept`).
    """

    def roll(part: Sequence[Case | Task], first: int) -> list[list[Rollout]]:
        return roll_out(engine, tokenizer, part, k, judge, reward, seed=seed, first_key=first * k, role="start")

    def row(case: Case | Task, group: list[Rollout]) -> Row:
        good = best(group, least)
        line = to_json(chat(good)) if good else None
        return {"id": case.id, "chat": line, "highest": max(r.score for r in group)}

    return kept(cases, at_once, file, who, roll, row, tell)
