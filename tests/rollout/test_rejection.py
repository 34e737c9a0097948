"""Rejection sampling: which reply of a group stays, as what, and that a stopped run goes on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from m2jax.data.chats import parse_chat, to_json
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

    def roll_out(engine, tokenizer, cases, k, judge, reward, *, seed, first_key, role):
        asked.append(([case.id for case in cases], first_key))
        texts = {"case-0": "Rest.", "case-1": "No.", "case-2": "Do rest.", "case-3": "Rest!"}
        return [[dataclasses.replace(rollout(texts[c.id], float("est" in texts[c.id])), case=c)] * k for c in cases]

    monkeypatch.setattr(rejection, "roll_out", roll_out)
    said: list[str] = []

    def sample(file: Path, **who: int) -> list[dict]:
        return rejection.sample(
            None, None, CASES, 2, 0.6, file, who=who, judge=None, reward=Reward(), at_once=2, tell=said.append
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
