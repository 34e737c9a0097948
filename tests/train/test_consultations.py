"""RL stage 3 in miniature: a tiny model consults, and its runs go on to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs import rl_stage3
from m2jax import run as training
from m2jax.metrics import read_metrics
from m2jax.rollout import slices
from tests.rollout.test_patients import write
from tests.train import tiny_run

VALUES = {
    "data.prompts_per_step": 4,
    "data.samples_per_prompt": 8,
    "data.max_prompt_tokens": 400,
    "sampling.max_tokens": 24,
    "sampling.temperature": 1.0,
    "consult.context_tokens": 2400,
    "consult.patient_tokens": 8,
    "consult.adapter": "",
    "consult.interrupted": 0.5,
    "eval.cases": 2,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.write_model(tmp_path_factory.mktemp("model") / "model")


def config(model: Path, **values: object) -> ConfigDict:
    c = rl_stage3.get_config("smoke")
    c.update_from_flattened_dict({"model": str(model), **VALUES, **values})
    return c


def test_a_run_consults_learns_and_goes_on_to_the_bit(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    monkeypatch.setattr(slices, "fault_of", lambda said, stopped: "")  # noise is nothing else
    with tiny_run.one_device(monkeypatch):
        training.run(config(model, steps=3), whole, "")
        training.run(config(model, steps=1), broken, "")
        training.run(config(model, steps=3), broken, "")
    rows = [read_metrics(folder) for folder in (whole, broken)]
    timeless = [
        [{k: v for k, v in row.items() if "second" not in k and "_s" not in k and k != "compiles"} for row in side]
        for side in rows
    ]
    assert timeless[0] == timeless[1] and len(timeless[0]) == 3
    for row in timeless[0]:
        assert 1 <= row["consult/rounds"] <= 2 and row["consult/kept"] <= row["consult/rounds"]
        assert "consult/fault/over-length" in row and 0 <= row["consult/interrupted"] <= 1 and row["reward/score"] >= 0
    learned = [row["update/grad_norm"] for row in timeless[0] if row["groups/dropped"] < 4]
    assert learned and all(learned)  # noise differs now and then
    assert (whole / "report.html").is_file()
    kept = [[file.read_text() for file in sorted((folder / "dialogues").iterdir())] for folder in (whole, broken)]
    assert kept[0] == kept[1] and len(kept[0]) == 3
    rows = [json.loads(line) for text in kept[0] for line in text.splitlines()]
    assert {row["kind"] for row in rows} == {"consultation", "reply"}
    answered = [line["units"] for row in rows for line in row["lines"] if "units" in line]
    assert {units["gate"]["stop"] for units in answered} == {True, False}
    assert all(units["source"] for units in answered if not units["gate"]["stop"])


def test_patients_of_records_consult(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = write(tmp_path / "mine.jsonl", 10)
    with tiny_run.one_device(monkeypatch):
        training.run(config(model, steps=1, **{"data.path": str(data)}), tmp_path / "run", "")
    lines = (tmp_path / "run" / "dialogues").iterdir()
    ids = {json.loads(line)["id"] for file in lines for line in file.read_text().splitlines()}
    assert {name.partition("-")[0] for name in ids} == {"mine"}
    heldout = {json.loads(line)["id"] for line in (tmp_path / "run" / "eval_before.jsonl").read_text().splitlines()}
    assert {name.rpartition("-")[0] for name in heldout} == {"mine-4", "mine-9"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"consult.rounds": 0}, "config.consult.rounds is 0"),
        ({"consult.adapter": "nurse"}, "config.consult.adapter is 'nurse'"),
        ({"consult.interrupted": 1.2}, "config.consult.interrupted is 1.2"),
        ({"eval.cases": 0}, "config.eval.cases is 0"),
        ({"data.path": "mine.jsonl", "consult.session": True}, "config.data.path is 'mine.jsonl', but whole"),
        ({"data.path": "none.jsonl"}, "none.jsonl"),
        ({"data.clinic": 4}, "config.data.clinic is 4, but the consultations of stage 3"),
    ],
)
def test_values_that_cannot_be(model: Path, tmp_path: Path, values: dict, said: str):
    with pytest.raises(SystemExit, match=said):
        training.run(config(model, **values), tmp_path / "run", "")


@pytest.mark.parametrize("preset", ["smoke", "cpu", "chip", "0.5b", "7b", "32b"])
def test_presets_are_those_of_stage_2_with_consultations(preset: str):
    c = rl_stage3.get_config(preset)
    assert c.preset == preset and c.consult.context_tokens >= c.data.max_prompt_tokens + c.sampling.max_tokens
