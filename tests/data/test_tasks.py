"""Tasks with rules: their file, and what is wrong with one."""

from __future__ import annotations

import json

import pytest

from m2jax.data.tasks import load_tasks
from m2jax.rules.quantity import Quantity
from m2jax.rules.rule import reward

DOSE = {"id": "dose-01", "question": "How much?", "rule": {"kind": "quantity", "value": 300, "unit": "mg"}}
REPEAT = {"kind": "instructions", "instruction_ids": ["combination:repeat_prompt"], "kwargs": [{}]}


def written(tmp_path, *tasks):
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(map(json.dumps, tasks)), "utf-8")
    return path


def test_tasks_of_a_file(tmp_path):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say it."}]
    other = {"id": "b", "messages": messages, "rule": REPEAT, "topic": "t", "split": "heldout"}
    dose, repeat = load_tasks(written(tmp_path, DOSE, other))
    assert dose.messages == ({"role": "user", "content": "How much?"},)
    assert (dose.rule, dose.topic, dose.split) == (Quantity(300, "mg"), "", "train")
    assert (repeat.messages, repeat.topic, repeat.split) == (tuple(messages), "t", "heldout")
    assert (reward(repeat.rule, "Say it. Said."), reward(repeat.rule, "Said.")) == (1, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": {"kind": "quantity", "value": 300, "unit": "parsec"}}, "rule 'quantity': unit is 'parsec'"),
        ({"rule": 7}, "rule is 7"),
        ({"rule": {"kind": "quantity"}}, r"lacks the keys \['value'\]"),
        ({"id": ""}, "id is ''; give a text"),
        ({"question": None}, "question is None; give a text"),
        ({"split": "test"}, "split is 'test'; write one of train, heldout"),
        ({"messages": []}, "either 'question' or 'messages'"),
        ({"more": 1}, r"task has unknown keys \['more'\]"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path, change, message):
    path = written(tmp_path, DOSE, {**DOSE, "id": "b", **change})
    with pytest.raises(ValueError, match=rf"tasks\.jsonl:2: .*{message}"):
        load_tasks(path)


def test_messages_must_end_with_the_user(tmp_path):
    task = {"id": "a", "messages": [{"role": "assistant", "content": "x"}], "rule": DOSE["rule"]}
    with pytest.raises(ValueError, match=r"tasks\.jsonl:1: messages end with the role 'assistant'"):
        load_tasks(written(tmp_path, task))
