"""Rejection sampling with the verifier (paper, section 4): of k replies to a case the best stays, if it is good."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from m2jax import distributed
from m2jax.data.chats import Chat, to_json
from m2jax.data.tasks import Task
from m2jax.data.tools.quality import quality
from m2jax.metrics import read_jsonl
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
    judge: Judge | OutsideJudge | None,
    reward: Reward,
    at_once: int,
    seed: int = 0,
    role: str = "start",
    tell: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Of each case its id, the best reply's chat as a line of JSON has it (None: no good one), and the highest score of
    the k replies. `file` (JSONL) gets them as they come; what it has is not sampled again.
    """
    known = {row["id"]: row for row in distributed.from_first(read_jsonl(file) if file.is_file() else [])}
    for start in range(0, len(cases), at_once):
        part = cases[start : start + at_once]
        if all(case.id in known for case in part):
            continue
        groups = roll_out(
            engine, tokenizer, part, k, judge, dataclasses.replace(reward, overlong=0), seed=seed, first_key=start * k,
            role=role,
        )  # fmt: skip
        found = []
        for case, group in zip(part, groups, strict=True):
            good = best(group, least)
            line = to_json(chat(good)) if good else None
            found.append({"id": case.id, "chat": line, "highest": max(r.score for r in group)})
        known |= {row["id"]: row for row in found}
        if distributed.is_first():
            with file.open("a") as out:
                out.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found))
            tell(f"{start + len(part)}/{len(cases)} cases sampled")
    return [known[case.id] for case in cases]
