"""A run whose judge is an endpoint: it dies in the middle, and the same command goes on without paying twice."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs import rl_stage2
from m2jax import run as training
from m2jax.metrics import read_metrics
from m2jax.train import rl
from tests.outside.fake_server import last, serving
from tests.train import tiny_run


def judge(body: dict) -> str:
    """Acceptable is a reply in which the letter e comes often."""
    text = last(body)
    reply = text[text.index("Doctor:") : text.index("# Rubric item")]
    return json.dumps({"explanation": "I counted.", "acceptable": reply.count("e") % 2 == 0})


def test_a_judge_that_dies_stops_the_run_and_is_not_paid_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = tiny_run.write_all(tmp_path)
    monkeypatch.setenv("M2JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", "s3cret")
    alive, answered = threading.Event(), []

    def behave(n: int, body: dict) -> dict | str:
        if len(answered) >= 14 and not alive.is_set():  # in the second step
            return {"status": 402, "body": b"no credit"}
        answered.append(json.dumps(body, sort_keys=True))
        return judge(body)

    with serving(behave) as server, tiny_run.one_device(monkeypatch):
        values = {"judge.url": server.url, "judge.model": "m", "judge.key_env": "JUDGE_KEY", "steps": 2}
        folder = tmp_path / "run"
        with pytest.raises(SystemExit, match="status 402: no credit"):
            training.run(tiny_run.config(*files, **values), folder)
        done = len(read_metrics(folder))
        assert done < 2
        alive.set()
        training.run(tiny_run.config(*files, **values), folder)
    assert len(answered) == len(set(answered)) > 14
    metrics = read_metrics(folder)
    assert [m["reward/judge_failed"] for m in metrics] == [0, 0]
    assert sum(m["outside/prompt_tokens"] for m in metrics) > 0
    rows = [json.loads(line) for line in (folder / "eval_after.jsonl").read_text().splitlines()]
    assert "s3cret" not in (folder / "config.json").read_text()
    assert {v["by"] for row in rows for v in row["criteria"]} == {"check", "judge"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"judge.model": "m"}, "judge.url is empty"),
        ({"judge.url": "http://h/v1", "reward.unchecked": "skip"}, "asks none"),
        ({"judge.url": "http://h/v1"}, "model is ''"),
        ({"judge.url": "h:80", "judge.model": "m"}, "no address"),
        ({"judge.url": "http://h/v1", "judge.model": "m", "judge.key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY is not set"),
    ],
    ids=str,
)
def test_a_judge_that_cannot_be_is_refused_before_anything_is_loaded(
    values: dict, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    config: ConfigDict = rl_stage2.get_config("smoke")
    config.update_from_flattened_dict(values | {"model": "no such model"})
    with pytest.raises(ValueError, match=says):
        rl.start(config, None)
