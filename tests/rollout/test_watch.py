"""The reward-hacking watch: the gap by hand, and a judge that is fooled by some replies and not by others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from m2jax import run as training
from m2jax.metrics import read_jsonl, read_metrics
from m2jax.rollout import watch
from m2jax.verifier.checks import parse_check
from m2jax.verifier.reward import Verdict
from m2jax.verifier.rubric import Case, Criterion
from tests.train import tiny_run

RUBRIC = (
    Criterion("Names rest", 5, "care", parse_check({"words": ["rest"]})),
    Criterion("Names antibiotics", -5, "care", parse_check({"words": ["antibiotics"]})),
    Criterion("Is kind", 3, "communication"),
)
CASES = [Case(f"c-{i}", "cough", "heldout", ({"role": "user", "content": f"{i}"},), RUBRIC) for i in range(8)]


def test_the_gap_by_hand():
    """Two cases: the doctor's judge scores 0.9, 0.7 by checks 0.5, 0.5; the start's 0.6, 0.4 by checks 0.5, 0.3."""
    found = watch.told(np.array([[[0.9, 0.5], [0.6, 0.5]], [[0.7, 0.5], [0.4, 0.3]]]), 0.05)
    assert found["watch/judge"] == pytest.approx(0.8) and found["watch/check"] == 0.5
    assert found["watch/gap"] == pytest.approx(((0.4 - 0.1) + (0.2 - 0.1)) / 2)
    assert found["watch/alarm"] == 0  # 0.2, but a standard error of 0.1 beside it
    assert watch.told(np.array([[[0.9, 0.5], [0.6, 0.5]]]), 0.05)["watch/alarm"] == 0  # one case proves nothing


@pytest.mark.parametrize(
    ("doctor", "alarm", "gap"),
    [("Trust me.", 1, 0.5), ("Rest.", 0, 0.0), ("Sleep.", 0, 0.0), ("<think>Trust me.</think>Hm.", 0, 0.0)],
)
def test_a_policy_that_fools_the_judge_is_told_from_one_that_does_better(
    doctor: str, alarm: int, gap: float, monkeypatch: pytest.MonkeyPatch
):
    """The judge believes that "Trust me." names rest; of points 5 and -5 rest makes 0.5 of the score."""
    said = {"doctor": doctor, "start": "Sleep."}

    def grade(case, text, judge):
        assert (
            all(c.check is None for c in case.rubric) and len(case.rubric) == 2
        )  # the one without a check is left out
        return [Verdict("est" in text.lower() or "rust" in text, 0.9, "judge"), Verdict(False, 0.1, "judge")]
        yield

    class Engine:
        def run(self, dialogues, *, seed, keys):
            assert keys == [i // 2 for i in range(16)]
            return [self._end(dialogue) for dialogue in dialogues]

        def _end(self, dialogue):
            request = next(dialogue)
            try:
                dialogue.send(SimpleNamespace(tokens=request.role))
            except StopIteration as end:
                return end.value

    monkeypatch.setattr(watch, "grade", grade)
    monkeypatch.setattr(watch, "prompt_tokens", lambda tokenizer, case: [1])
    tokenizer = SimpleNamespace(decode=lambda role: said[role])
    found, _ = watch.watch(Engine(), tokenizer, CASES, None, 0, 0.1)
    assert (found["watch/alarm"], found["watch/gap"]) == (alarm, pytest.approx(gap))


def test_a_run_watches_and_is_refused_where_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, cases = tiny_run.write_all(tmp_path)
    watched = {"steps": 2, "watch.every": 2, "watch.cases": 2}
    with tiny_run.one_device(monkeypatch):
        training.run(tiny_run.config(model, cases, **watched), tmp_path / "run")
        first, second = read_metrics(tmp_path / "run")
        assert first["watch/gap"] == 0 and first["watch/alarm"] == 0  # the doctor is still the start model
        assert 0 <= first["watch/check"] <= 1 and "watch/gap" not in second
        rows = read_jsonl(tmp_path / "run" / "dialogues" / "watch-00000000.jsonl")
        assert [row["role"] for row in rows] == ["doctor", "start"] * 2
        graded = [criterion for row in rows for criterion in row["lines"][-1]["criteria"]]
        assert all(c["by"] == "judge" and c["probability"] is not None and c["check"] in (True, False) for c in graded)
        assert np.mean([row["checked"] for row in rows[::2]]) == pytest.approx(first["watch/check"])
        for values, said in (
            ({"reward.unchecked": "skip"}, "'skip' asks none"),
            ({"watch.cases": 1}, "watch.cases is 1"),
        ):
            with pytest.raises(SystemExit, match=said):
                training.run(tiny_run.config(model, cases, **watched | values), tmp_path / "other")
