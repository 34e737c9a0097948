"""Tasks whose replies a rule rewards (RL stage 1), and their JSONL form.

One line of a file is one task:

    {"id": "dose-01", "topic": "doses", "split": "train", "question": "How much for a child of 20 kg at 15 mg/kg?",
     "rule": {"kind": "quantity", "value": 300, "unit": "mg"}}

`messages` may stand in place of `question`, `topic` and `split` may be left out, as in `chats`; `rule` is one of
`rules.rule`. An instruction to repeat the request takes `question` where the rule has no prompt of its own.
"uncertain": true and "needs": "knowledge" or "reasoning" are for `launch/reject.py` (see `Task`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from m2jax.data import jsonl
from m2jax.lines import write_jsonl
from m2jax.rules import consensus
from m2jax.rules.rule import Rule, kind_of, parse_rule
from m2jax.verifier.rubric import SPLITS, Rubric, check_messages

NEEDS = ("knowledge", "reasoning")


@dataclasses.dataclass(frozen=True)
class Task:
    """A conversation that awaits a reply, and the rule that rewards it. messages: as of `verifier.rubric.Case`.
    uncertain: the rule's answer is in doubt, so that what replies agree on may take its place (`rules.consensus`).
    needs: of `NEEDS`, what it takes to answer; "" in a file: as its kind mostly does.
    """

    id: str
    messages: tuple[dict[str, str], ...]
    rule: Rule
    topic: str = ""
    split: str = "train"
    uncertain: bool = False
    needs: str = ""
    rubric: ClassVar[Rubric] = ()  # what a judge would have to decide: nothing


def load(path: str) -> tuple[list[Task], list[Task]]:
    """(training tasks, held-out tasks) of a file. ValueError where one of them is empty, or as of `load_tasks`."""
    tasks = load_tasks(path)
    train, heldout = ([task for task in tasks if task.split == split] for split in SPLITS)
    if not train or not heldout:
        raise ValueError(
            f"{path} has no task with split {'heldout' if train else 'train'!r}; mark some, so that there is something "
            "to learn and to test"
        )
    return train, heldout


def write_tasks(path: str | Path, tasks: Iterable[Task]) -> None:
    """The file that `load_tasks` reads."""
    write_jsonl(Path(path), map(to_json, tasks))


def to_json(task: Task) -> dict[str, object]:
    """What `parse_task` reads."""
    rule = {"kind": kind_of(task.rule)} | dataclasses.asdict(task.rule)
    row = {"id": task.id, "topic": task.topic, "split": task.split, "messages": list(task.messages), "rule": rule}
    return row | ({"uncertain": True} if task.uncertain else {}) | ({"needs": task.needs} if task.needs else {})


def needed(task: Task) -> str:
    """What it takes to answer: as the task says, or else by its rule's kind. Numbers, formulas, programs and forms are
    worked out; letters and names are known.
    """
    return task.needs or ("knowledge" if kind_of(task.rule) in ("choice", "exact", "set") else "reasoning")


def load_tasks(path: str | Path) -> list[Task]:
    """The tasks of a JSONL file in its order. ValueError is `file:line: what is wrong, with the value`."""
    return jsonl.load(path, "task", parse_task)


def parse_task(raw: object) -> Task:
    """The task of one decoded JSON line. ValueError says what is wrong, without file and line."""
    fields = jsonl.fields("task", raw, {"id", "rule"}, {"topic", "split", "question", "messages", "uncertain", "needs"})
    for name in fields.keys() & {"id", "topic", "question"}:
        if not isinstance(fields[name], str) or not (fields[name].strip() or name == "topic"):
            raise ValueError(f"{name} is {fields[name]!r}; give a text that is not empty")
    if fields.get("split", "train") not in SPLITS:
        raise ValueError(f"split is {fields['split']!r}; write one of {', '.join(SPLITS)}")
    if ("question" in fields) == ("messages" in fields):
        raise ValueError("a task needs either 'question' or 'messages', and not both")
    messages = fields.get("messages", [{"role": "user", "content": fields.get("question")}])
    if not isinstance(messages, list):
        raise ValueError(f"messages is {messages!r}; give a list of objects with 'role' and 'content'")
    check_messages(messages)
    raw_rule = fields["rule"]
    if isinstance(raw_rule, dict) and raw_rule.get("kind") == "instructions":
        raw_rule = {"prompt": messages[-1]["content"]} | raw_rule
    rule, uncertain, needs = parse_rule(raw_rule), fields.get("uncertain", False), fields.get("needs", "")
    if not isinstance(uncertain, bool) or needs not in ("", *NEEDS):
        raise ValueError(f"uncertain is {uncertain!r} and needs {needs!r}; give true or false, and one of {NEEDS}")
    if uncertain and not isinstance(rule, consensus.KINDS):
        raise ValueError(f"uncertain is true, but a rule {kind_of(rule)!r} does not ask for one answer; leave it out")
    topic, split = fields.get("topic", ""), fields.get("split", "train")
    return Task(fields["id"], tuple(messages), rule, topic, split, uncertain, needs)
