"""Rejection sampling: which reply of a group stays, as what, and that a stopped run goes on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from m2jax.data.chats import parse_chat, to_json
from m2jax.data.tasks import Task, needed, parse_task
from m2jax.rollout import rejection
from m2jax.rollout.single_turn import Reward, Rollout
from m2jax.sampler.requests import Completion
from m2jax.verifier.checks import parse_check
from m2jax.verifier.rubric import Case, Criterion

CASES = [
    Case(f"case-{i}", "cough", split, ({"role": "user", "content": f"I cough, {i} days."},),
         (Criterion("Names rest", 5, "care", parse_check({"words": ["rest"]})),))
    for i, split in enumerate(("train", "train", "train", "heldout"))
]  # fmt: skip


def rollout(text: str, score: float, tokens: int = 5, stopped: bool = True) -> Rollout:
    logp = np.zeros(tokens, np.float32)
    return Rollout(CASES[0], [1], Completion(np.zeros(tokens, np.int32), logp, logp, stopped), text, [], score, 0.0, {})


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ([rollout("Rest.", 0.5), rollout("Rest well.", 0.9), rollout("No.", 0.1)], "Rest well."),
        ([rollout("Rest now, please.", 0.9, 9), rollout("Rest.", 0.9, 3)], "Rest."),
        ([rollout("Rest and", 1.0, stopped=False), rollout("Rest.", 0.7)], "Rest."),
        ([rollout("Rest now at home please and then", 1.0), rollout("Rest.", 0.6)], "Rest."),
        ([rollout("", 1.0), rollout("You need rest now. " * 8, 1.0)], None),
        ([rollout("Rest.", 0.59)], None),
    ],
)  # fmt: skip
def test_the_best_whole_reply_stays_if_it_is_good(group: list[Rollout], text: str | None):
    found = rejection.best(group, 0.6)
    assert (found and found.text) == text


def test_a_reply_becomes_a_chat():
    made = rejection.chat(rollout(" Rest. ", 1.0))
    assert [(m.role, m.content, m.trained) for m in made.messages] == [
        ("user", "I cough, 0 days.", False),
        ("assistant", "Rest.", True),
    ]
    assert parse_chat(json.loads(json.dumps(to_json(made)))) == dataclasses.replace(made, group="")


def test_what_was_sampled_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[list[str], int]] = []

    def roll_out(engine, tokenizer, cases, k, judge, reward, *, seed, first_key, role, beside):
        asked.append(([case.id for case in cases], first_key))
        texts = {"case-0": "Rest.", "case-1": "No.", "case-2": "Do rest.", "case-3": "Rest!"}
        return [[dataclasses.replace(rollout(texts[c.id], float("est" in texts[c.id])), case=c)] * k for c in cases]

    monkeypatch.setattr(rejection, "roll_out", roll_out)
    said: list[str] = []

    def sample(file: Path, **who: int) -> list[dict]:
        return rejection.sample(
            None, None, CASES, 2, 0.6, 0.75, file, who=who, judge=None, reward=Reward(), at_once=2, tell=said.append
        )

    whole = sample(tmp_path / "whole")
    assert asked == [(["case-0", "case-1"], 0), (["case-2", "case-3"], 4)]
    assert [(row["id"], bool(row["chat"]), row["highest"]) for row in whole] == [
        ("case-0", True, 1.0), ("case-1", False, 0.0), ("case-2", True, 1.0), ("case-3", True, 1.0)
    ]  # fmt: skip
    lines = (tmp_path / "whole").read_text().splitlines(keepends=True)
    (tmp_path / "part").write_text("".join(lines[:4]) + lines[4][:9])
    assert sample(tmp_path / "part") == whole == sample(tmp_path / "whole")
    assert asked[2:] == [(["case-2", "case-3"], 4)]
    assert said == ["2/4 cases tried", "4/4 cases tried", "4/4 cases tried"]
    sample(tmp_path / "whole")
    with pytest.raises(ValueError, match="whole was begun with other values of k; remove it, or write elsewhere"):
        sample(tmp_path / "whole", k=3)
    monkeypatch.setitem(globals(), "CASES", [*CASES[:3], dataclasses.replace(CASES[3], rubric=CASES[3].rubric * 2)])
    assert [row["id"] for row in sample(tmp_path / "whole")] == [row["id"] for row in whole]
    assert asked[3:] == [(["case-2", "case-3"], 4)]  # a case that is another one now


# ---- Tasks: answers in doubt, and what is hard

OPTIONS = {"A": "asthma", "B": "bronchitis", "C": "croup"}


def task(name: str, rule: dict, **more: object) -> Task:
    return parse_task({"id": name, "question": "What is it?", "rule": rule} | more)


DOUBTFUL = task("doubtful", {"kind": "choice", "options": OPTIONS, "answer": "A"}, uncertain=True)


@pytest.mark.parametrize(
    ("texts", "agree", "answer", "share"),
    [
        (["B. bronchitis", "The answer is B.", "**Bronchitis**", "A"], 0.75, "B", 0.75),
        (["B", "B", "A", "A"], 0.5, "B", 0.5),
        (["B", "B", "A", "A"], 0.75, None, 0.5),
        (["B", "A or B", "I cannot say.", "C"], 0.25, "B", 0.25),
        (["I cannot say."] * 4, 0.0, None, 0.0),
    ],
)
def test_what_enough_replies_agree_on_takes_the_answers_place(
    texts: list[str], agree: float, answer: str | None, share: float
):
    resolved, found = rejection.resolve(DOUBTFUL, texts, agree)
    assert (resolved and resolved.rule.answer, found) == (answer, share)
    assert resolved is None or not resolved.uncertain


def test_replies_to_a_doubtful_task_are_paid_by_what_they_agree_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sure = dataclasses.replace(DOUBTFUL, id="sure", uncertain=False)
    torn = dataclasses.replace(DOUBTFUL, id="torn")
    said = {"doubtful": ["B", "B", "B", "A"], "sure": ["B", "B", "B", "C"], "torn": ["A", "B", "C", "A or B"]}

    def roll_out(engine, tokenizer, cases, k, judge, reward, **_):
        return [[dataclasses.replace(rollout(t, float(t == "A")), case=c) for t in said[c.id]] for c in cases]

    monkeypatch.setattr(rejection, "roll_out", roll_out)
    cases = [DOUBTFUL, sure, torn]
    found = rejection.sample(
        None, None, cases, 4, 0.6, 0.75, tmp_path / "f", who={}, judge=None, reward=Reward(), at_once=3
    )
    assert [row["chat"] and row["chat"]["messages"][-1]["content"] for row in found] == ["B", None, None]
    assert (found[0]["agreed"], parse_task(found[0]["task"]).rule.answer) == (0.75, "B")
    rest = rejection.hard(cases, found)
    assert rest["dropped"] == [{"id": "torn", "reason": "no consensus: 0.25"}]
    (told,) = map(parse_chat, rest["sft"])
    assert (told.id, told.messages[-1].content) == ("sure", "A. asthma") and not rest["rl"] and not rest["hard"]


@pytest.mark.parametrize(
    ("rule", "more", "where", "said"),
    [
        ({"kind": "choice", "options": OPTIONS, "answer": "C"}, {}, "sft", "C. croup"),
        ({"kind": "exact", "answers": ["croup", "laryngotracheitis"]}, {}, "sft", "croup"),
        ({"kind": "set", "answers": [["asthma"], ["croup", "pseudocroup"]]}, {}, "sft", "asthma, croup"),
        ({"kind": "quantity", "value": 250, "unit": "mg"}, {}, "rl", ""),
        ({"kind": "quantity", "value": 250, "unit": "mg"}, {"needs": "knowledge"}, "sft", "250 mg"),
        ({"kind": "math", "answer": "\\frac{1}{2}"}, {"needs": "knowledge"}, "sft", "$\\frac{1}{2}$"),
        ({"kind": "choice", "options": OPTIONS, "answer": "C"}, {"needs": "reasoning"}, "rl", ""),
        ({"kind": "quantity", "value": [1, 2]}, {"needs": "knowledge"}, "hard", ""),
    ],
    ids=str,
)
def test_hard_knowledge_is_told_and_hard_reasoning_is_left_to_be_found(rule: dict, more: dict, where: str, said: str):
    one = task("t", rule, **more)
    rest = rejection.hard([one, CASES[0]], [{"id": "t", "chat": None, "highest": 0.2}] * 2)
    assert [name for name, rows in rest.items() if any(row.get("id") == "t" for row in rows)][0] == where
    assert len(rest["hard"]) == 1 + (where == "hard")  # a case with a rubric is neither
    if where == "sft":
        told = parse_chat(rest["sft"][0])
        assert told.messages[-1].content == said and told.messages[0].content == "What is it?"
        assert rejection.rewards([(one.rule, said)]) == [1.0]  # what is told would be paid
    if where == "rl":
        assert parse_task(rest["rl"][0]) == one and needed(one) == "reasoning"


def test_a_good_reply_is_not_hard():
    assert rejection.hard([DOUBTFUL], [{"id": "doubtful", "chat": {"id": "doubtful"}, "highest": 1.0}]) == {
        "sft": [], "rl": [], "dropped": [], "hard": []
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "says"),
    [({"uncertain": 1}, "uncertain is 1"), ({"needs": "luck"}, "needs 'luck'"),
     ({"uncertain": True, "rule": {"kind": "set", "answers": [["a"]]}}, "'set' does not ask for one answer")],
)  # fmt: skip
def test_marks_that_cannot_be(more: dict, says: str):
    with pytest.raises(ValueError, match=says):
        parse_task({"id": "t", "question": "?", "rule": {"kind": "exact", "answers": ["a"]}} | more)
