"""What a run keeps to be read: which dialogues, with what in them, and files that are whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from m2jax.rollout import dialogues, sessions
from m2jax.rollout.dialogues import GROUPS, TOKENS
from m2jax.rollout.single_turn import Reply, Reward, pay
from m2jax.sampler.requests import Completion
from m2jax.verifier.checks import parse_check
from m2jax.verifier.reward import Verdict
from m2jax.verifier.rubric import Case, Criterion
from tests.report import made_runs

RUBRIC = (Criterion("Names rest", 3, "care", parse_check({"words": ["rest"]})), Criterion("Is kind", 1, "tone"))
CASE = Case(
    "a", "cough", "train", ({"role": "system", "content": "S"}, {"role": "user", "content": "I cough."}), RUBRIC
)


def reply(words: made_runs.Words, text: str, rest: bool, kind: float) -> Reply:
    tokens = np.asarray(words.encode(text), np.int32)
    logp = -np.arange(1, len(tokens) + 1, dtype=np.float32) / 7
    verdicts = [Verdict(rest, None, "check"), Verdict(kind > 0.5, kind, "judge")]
    return Reply([1], Completion(tokens, logp, logp, True), text, verdicts)


def test_of_a_group_the_best_and_the_worst_are_kept_with_all_that_was_decided():
    words = made_runs.Words()
    group = [
        reply(words, f"Reply {i}", rest, kind)
        for i, (rest, kind) in enumerate([(True, 0.2), (False, 0.1), (True, 0.9)])
    ]
    rows = dialogues.of_replies(pay([CASE], [group], Reward(length_scale=0)), words)
    assert [(row["sample"], row["score"]) for row in rows] == [(1, 0.0), (2, 1.0)]
    mean = (0.75 + 0 + 1) / 3
    assert [row["advantage"] for row in rows] == pytest.approx([-mean, 1 - mean])
    *asked, said = rows[1]["lines"]
    assert [(line["who"], line["text"]) for line in asked] == [("system", "S"), ("patient", "I cough.")]
    assert (said["who"], said["text"], said["pieces"], said["logp"]) == (
        "doctor",
        "Reply 2",
        ["Reply", " 2"],
        [-0.143, -0.286],
    )
    checked, judged = said["criteria"]
    assert (checked["points"], checked["met"], checked["probability"], checked["check"]) == (3, True, None, True)
    assert (judged["points"], judged["met"], judged["probability"], judged["check"]) == (1, True, 0.9, None)


def test_what_is_kept_of_a_step_is_bounded():
    words = made_runs.Words()
    long = " ".join(["word"] * (TOKENS + 50))
    cases = [CASE] * (GROUPS + 3)
    groups = pay(cases, [[reply(words, long, i == j, 0.1) for j in range(6)] for i in range(len(cases))], Reward())
    rows = dialogues.of_replies(groups, words)
    assert len(rows) == 2 * GROUPS
    line = rows[0]["lines"][-1]
    assert len(line["pieces"]) == len(line["logp"]) == TOKENS + 1 and line["logp"][-1] is None
    assert "".join(line["pieces"]) == line["text"] == long


def test_a_consultation_keeps_what_the_units_decided():
    rng, words = np.random.default_rng(3), made_runs.Words()
    group = sessions.pay([made_runs._held(3, rng, words, "") for _ in range(4)], made_runs.RULES)
    rows = dialogues.of_episodes([group], words)
    assert len(rows) == 2 and rows[0]["about"]["diagnosis"] and rows[0]["outcome"].keys() >= {"share", "diagnosis"}
    for row in rows:
        episode = group[row["sample"]]
        doctor = [line for line in row["lines"] if line["who"] == "doctor"]
        assert [line["advantage"] for line in doctor] == [turn.advantage for turn in episode.turns]
        assert all(
            len(line["criteria"]) == len(turn.verdicts) for line, turn in zip(doctor, episode.turns, strict=True)
        )
    patients = [line for row in rows for line in row["lines"] if line["who"] == "patient" and "units" in line]
    assert patients and all(line["units"]["final"] == line["text"] for line in patients)
    assert {claim["label"] for line in patients for claim in line["units"]["claims"]} > {"supported"}
    for row in rows:
        last = row["lines"][-1]  # the gate's decision, which nobody says
        gate = last["units"]["gate"]
        assert last["text"] == "" and (gate["stop"], gate["reason"], gate["read"]) == (True, row["ended"], None)
        assert gate["p"] > 0.5 or row["ended"] == "limit"


def test_a_slice_has_the_units_of_the_lines_that_it_keeps():
    rng, words = np.random.default_rng(5), made_runs.Words()
    cut = made_runs._cut(made_runs._held(7, rng, words, "").held)
    groups = pay([cut.case], [[made_runs._reply(cut.case, 0.5, rng, words) for _ in range(3)]], Reward())
    whole, *replies = dialogues.of_replies(groups, words, [cut])
    assert whole["kind"] == "consultation" and whole["cut"] == 2 * cut.kept + 1 and cut.kept > 1
    for row in replies:
        assert (
            row["kind"] == "reply" and row["lines"][:-1] != whole["lines"][: whole["cut"]]
        )  # without the doctor's tokens
        same = zip(row["lines"][:-1], whole["lines"], strict=False)
        assert all((a["text"], a.get("units")) == (b["text"], b.get("units")) for a, b in same)


def test_a_file_is_replaced_whole(tmp_path: Path):
    dialogues.write(tmp_path, 3, [{"id": "old"}, {"id": "older"}])
    dialogues.write(tmp_path, 3, [{"id": "new \ud800 é"}])
    dialogues.write(tmp_path, 3, [{"id": "seen"}], "watch")
    folder = tmp_path / "dialogues"
    assert sorted(file.name for file in folder.iterdir()) == ["step-00000003.jsonl", "watch-00000003.jsonl"]
    (row,) = map(json.loads, (folder / "step-00000003.jsonl").read_text("utf-8").splitlines())
    assert row == {"step": 3, "id": "new ? é"}
