"""Rejection sampling with the verifier (paper, section 4): of k replies to a case the best stays, if it is good.

Where a task's answer is uncertain, what enough of the k replies agree on takes its place; where they do not agree, the
task is defective. What is left without a good reply is hard: hard knowledge is to be told (SFT), hard reasoning to be
found (RL stage 1).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from m2jax import distributed
from m2jax.data.chats import Chat, to_json
from m2jax.data.tasks import Task, needed, parse_task
from m2jax.data.tasks import to_json as task_json
from m2jax.data.tools.quality import quality
from m2jax.rollout.kept import Row, kept
from m2jax.rollout.single_turn import Reward, Rollout, roll_out
from m2jax.rules.answer import Exact, Named
from m2jax.rules.choice import Choice
from m2jax.rules.consensus import consensus
from m2jax.rules.mathematics import Mathematics
from m2jax.rules.quantity import Quantity
from m2jax.rules.rule import rewards
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
    agree: float,
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
    the k replies of the role "start"; `file` keeps them (`kept`). agree: the share of replies to a task whose answer is
    uncertain that must give the same one: then "agreed" is that share and "task" the task with that answer, else
    "reason" says why there is none.
    """

    def roll(part: Sequence[Case | Task], first: int) -> list[list[Rollout]]:
        keys = {"seed": seed, "first_key": first * k, "role": "start"}
        return roll_out(engine, tokenizer, part, k, judge, reward, **keys, beside=cases)

    def row(case: Case | Task, group: list[Rollout]) -> Row:
        told: Row = {"id": case.id}
        if isinstance(case, Task) and case.uncertain:
            texts = [r.text for r in group]
            # rules with limits of time: one process decides, as in `single_turn.pay`
            task, share, scores = distributed.from_first(_paid(case, texts, agree) if distributed.is_first() else None)
            if task is None:
                return told | {"chat": None, "highest": 0.0, "agreed": share, "reason": f"no consensus: {share:.2f}"}
            group = [dataclasses.replace(r, score=s) for r, s in zip(group, scores, strict=True)]
            told |= {"agreed": share, "task": task}
        good = best(group, least)
        line = to_json(chat(good)) if good else None
        return told | {"chat": line, "highest": max(r.score for r in group)}

    return kept(cases, at_once, file, who, roll, row, tell)


def resolve(task: Task, replies: Sequence[str], agree: float) -> tuple[Task | None, float]:
    """The task with the answer that at least `agree` of the replies give, no longer uncertain; None where they do not.
    And the share that gives the most frequent one.
    """
    rule, share = consensus(task.rule, replies)
    return (dataclasses.replace(task, rule=rule, uncertain=False) if rule and share >= agree else None), share


def _paid(task: Task, replies: Sequence[str], agree: float) -> tuple[Row | None, float, list[float]]:
    """The resolved task as JSON has it, the share that agrees, and what the replies are paid by it."""
    resolved, share = resolve(task, replies, agree)
    if resolved is None:
        return None, share, []
    return task_json(resolved), share, rewards([(resolved.rule, reply) for reply in replies])


def hard(cases: Sequence[Case | Task], found: Sequence[Row]) -> dict[str, list[Row]]:
    """What has no good reply, as lines of JSON: "sft", tasks that need knowledge as chats with their answers; "rl",
    those that need reasoning, as tasks; "dropped", those that replies do not agree on, with the reason; "hard", cases
    with rubrics with their highest score, and tasks that need knowledge whose answer is no text.
    """
    made: dict[str, list[Row]] = {"sft": [], "rl": [], "dropped": [], "hard": []}
    for case, row in zip(cases, found, strict=True):
        if row["chat"]:
            continue
        task = parse_task(row["task"]) if "task" in row else case
        if "reason" in row:
            made["dropped"].append({"id": row["id"], "reason": row["reason"]})
        elif isinstance(task, Task) and needed(task) == "reasoning":
            made["rl"].append(task_json(task))
        elif isinstance(task, Task) and (told := taught(task)):
            made["sft"].append(to_json(told))
        else:
            made["hard"].append({"id": row["id"], "highest": row["highest"]})
    return made


def taught(task: Task) -> Chat | None:
    """The task with its reference answer for a reply; None where that is no text."""
    match task.rule:
        case Choice():
            said = f"{task.rule.answer}. {task.rule.options[task.rule.answer]}".rstrip(". ")
        case Exact():
            said = task.rule.answers[0]
        case Named():
            said = ", ".join(names[0] for names in task.rule.answers)
        case Quantity() if not isinstance(task.rule.value, list | tuple):
            said = f"{task.rule.value:g} {task.rule.unit}".strip()
        case Mathematics():
            said = f"${task.rule.answer}$"
        case _:
            return None
    asked = [Message(m["role"], m["content"]) for m in task.messages]
    return Chat(task.id, (*asked, Message("assistant", said, trained=True)), task.topic, task.split)
