"""The curriculum in miniature: two stages of a tiny model, stopped and gone on with; the smoke presets of all five."""

from __future__ import annotations

import functools
import importlib
import json
import shutil
import sys
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver
from ml_collections import ConfigDict

from launch import curriculum
from m2jax import run as training
from m2jax.export import export_run
from m2jax.metrics import read_metrics
from m2jax.train import values
from tests.train import tiny_run


def test_two_stages_follow_one_another_and_what_is_done_is_not_done_again(tmp_path: Path):
    model = tiny_run.write_model(tmp_path / "model")
    tasks = [
        {"id": f"t-{i}", "split": s, "question": "Say.", "rule": {"kind": "shape", "pattern": ".*[aeiou].*"}}
        for i, s in enumerate(["train"] * 3 + ["heldout"])
    ]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    argv = [
        sys.executable, "launch/curriculum.py", "--preset=smoke", f"--workdir={tmp_path}/all", f"--model={model}",
        "--stages=sft,rl_stage1", "--set=sft.data.row_tokens=2048", "--set=sft.steps=1", "--set=rl_stage1.steps=1",
        f"--set=rl_stage1.data.path={tmp_path}/tasks.jsonl", "--set=eval.longest=4096", "--set=eval.n.questions=2",
    ]  # fmt: skip
    code, said = tiny_run.finish(tiny_run.start(argv))
    assert code == 0, said
    whole = tmp_path / "all"
    table = (whole / "table.md").read_text()
    assert table.startswith("|  | start | sft | rl_stage1 |\n") and table in said and "multiple choice" in table
    assert json.loads((whole / "rl_stage1" / "config.json").read_text())["model"] == str(whole / "sft" / "model")
    assert (whole / "figure.svg").read_text().startswith("<svg")
    assert said.count("+ python launch/train.py") == 2 and said.count("+ python launch/eval.py") == 3
    for name in ("model", "figures.jsonl"):  # stopped after the last stage's training
        path = whole / "rl_stage1" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    code, said = tiny_run.finish(tiny_run.start(argv))
    assert code == 0, said
    assert [line.split()[2] for line in said.splitlines() if line.startswith("+ ")] == [
        "launch/export.py",
        "launch/eval.py",
    ]
    assert (whole / "table.md").read_text() == table
    code, said = tiny_run.finish(tiny_run.start([*argv, "--set=dpo.steps=1"]))
    assert code == 1 and "--set=dpo.steps=1 is of no stage" in said
    code, said = tiny_run.finish(tiny_run.start([*argv, "--set=sft.seed=1"]))
    assert code == 1 and "holds a curriculum with other values of set" in said
    code, said = tiny_run.finish(tiny_run.start([*argv, "--preset=chip"]))
    assert code == 1 and "has no preset 'chip'" in said


FORCED = {  # by the tiny tokenizer, whose texts have more tokens, and the tiny model, of which no adapter ships
    "midtrain": {"data.row_tokens": 768},
    "sft": {"data.row_tokens": 1024},
    "rl_stage1": {"data.max_prompt_tokens": 1280},
    "rl_stage2": {"data.max_prompt_tokens": 320},
    "rl_stage3": {"consult.adapter": "", "consult.context_tokens": 3072},
}


def test_the_smoke_presets_follow_one_another_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """On the data that each makes for itself, in this process, each from what the one before exports."""
    start = model = str(tiny_run.write_model(tmp_path / "model"))
    for name in curriculum.STAGES:
        c = importlib.import_module(f"configs.{name}").get_config("smoke")
        own = {"verifier": start} if name in curriculum.VERIFIED else {}
        c.update_from_flattened_dict({"model": model, **FORCED[name], **own})
        run, model = tmp_path / name, str(tmp_path / name / "model")
        with tiny_run.one_device(monkeypatch):
            training.run(c, run)
        assert len(read_metrics(run)) == c.steps == json.loads((run / "summary.json").read_text())["steps"]
        assert (run / "report.html").is_file()
        export_run(run, None, Path(model), "merged", "float32")


@pytest.mark.parametrize("model", ["smollm2-135m-instruct", "hf:other/model"])
def test_what_a_stage_has_beside_its_preset_can_be(model: str):
    """For a model that has no adapters too."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])
    with flagsaver.flagsaver(preset="cpu", model=model, stages=[*curriculum.STAGES], set=["sft.seed=1"]):
        _, own = curriculum.asked()
    assert own["sft"] == ["--config.seed=1"] and {*curriculum.CPU} <= {name for name, given in own.items() if given}
    for name in curriculum.VERIFIED:
        config = importlib.import_module(f"configs.{name}").get_config("cpu")
        given = dict(flag.removeprefix("--config.").split("=", 1) for flag in own[name])  # the last one counts
        config.update_from_flattened_dict(
            {key: type(config_value(config, key))(value) for key, value in given.items()} | {"verifier": model}
        )
        values.check_judge(config)
        if name == "rl_stage3":
            values.check_consult(config)
        assert config.judge.adapter == ("grader" if name == "rl_stage2" and model.startswith("smol") else "")


def config_value(config: ConfigDict, key: str) -> object:
    return functools.reduce(lambda found, part: found[part], key.split("."), config)
