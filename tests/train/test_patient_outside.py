"""RL stage 3 whose patient is an endpoint: it is silent for a while, then dies, and the same command goes on."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs import rl_stage3
from m2jax import run as training
from m2jax.metrics import read_metrics
from m2jax.rollout import slices
from m2jax.train import rl, values
from tests.outside.fake_server import last, serving
from tests.train import tiny_run
from tests.train.test_consultations import VALUES

SMALL = VALUES | {"data.samples_per_prompt": 4, "steps": 2, "checkpoint.every": 1}


def config(model: Path | str, **values: object) -> ConfigDict:
    c = rl_stage3.get_config("smoke")
    c.update_from_flattened_dict({"model": str(model), **SMALL, **values})
    return c


def test_a_patient_that_dies_stops_the_run_which_then_goes_on_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = tiny_run.write_model(tmp_path / "model")
    monkeypatch.setattr(slices, "fault_of", lambda said, stopped: "")  # the doctor's noise is nothing else
    for name, value in (("M2JAX_CACHE", str(tmp_path / "cache")), ("NO_PROXY", "127.0.0.1"), ("PATIENT_KEY", "s3cret")):
        monkeypatch.setenv(name, value)
    alive, answered, silent = threading.Event(), [], []

    def behave(n: int, body: dict) -> dict | str:
        if n in (1, 2):  # the step waits, and goes on
            silent.append(n)
            return {"status": 503}
        if len(answered) >= 6 and not alive.is_set():
            return {"status": 402, "body": b"no credit"}
        answered.append(json.dumps(body, sort_keys=True))
        return "It is worse at night." if "draft" not in last(body) else "I do not know, doctor."

    with serving(behave) as server, tiny_run.one_device(monkeypatch):
        given = {"patient.url": server.url, "patient.model": "m", "patient.key_env": "PATIENT_KEY"}
        with pytest.raises(SystemExit, match="m at http.* answers with status 402: no credit; look at its url"):
            training.run(config(model, **given), tmp_path / "run")
        assert len(read_metrics(tmp_path / "run")) < 2 and len(silent) == 2
        alive.set()
        training.run(config(model, **given), tmp_path / "run")
    metrics = read_metrics(tmp_path / "run")
    assert len(metrics) == 2 and len(answered) == len(set(answered)) > 6  # nothing is paid for twice
    assert sum(row["outside/requests"] for row in metrics) > 0 and metrics[0]["consult/rounds"] > 1
    first = json.loads(answered[0])
    assert first["temperature"] == 1.0 and "seed" in first and first["max_tokens"] == VALUES["consult.patient_tokens"]
    assert "s3cret" not in (tmp_path / "run" / "config.json").read_text()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"patient.model": "m"}, "patient.url is empty"),
        ({"patient.url": "http://h/v1", "patient.model": "m", "consult.adapter": "affective"}, "'affective' another"),
        ({"patient.url": "http://h/v1"}, "model is ''"),
        ({"patient.url": "http://h/v1", "patient.model": "m", "patient.key_env": "NO_SUCH"}, "NO_SUCH is not set"),
    ],
    ids=str,
)
def test_a_patient_that_cannot_be_is_refused_before_anything_is_loaded(given: dict, says: str):
    with pytest.raises(ValueError, match=says):
        rl.start(config("no such model", **given), None)


def test_judge_and_patient_may_both_be_outside():
    given = {f"{role}.{key}": value for role in ("judge", "patient") for key, value in
             (("url", f"http://{role}/v1"), ("model", role))}  # fmt: skip
    found = values.endpoints(config("no such model", **given))
    assert {name: (e.model, e.temperature) for name, e in found.items()} == {
        "judge": ("judge", 0.0), "patient": ("patient", 1.0)
    }  # fmt: skip
