"""RL stage 1 in miniature: a tiny model is paid by rules, and its runs go on to the bit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import rl_stage1
from m2jax import run as training
from m2jax.data.tasks import load_tasks
from m2jax.metrics import read_jsonl, read_metrics
from m2jax.rollout.difficulty import pass_rates
from m2jax.train import rl
from tests.train import tiny_run

# what noise has sometimes, so that there is something to learn
RULES = (
    {"kind": "shape", "pattern": ".*[aeiou]{2}.*"},
    {
        "kind": "instructions",
        "instruction_ids": ["punctuation:no_comma", "change_case:english_lowercase"],
        "kwargs": [{}, {}],
    },
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.write_model(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {"id": f"t-{i}", "topic": "noise", "split": split, "question": f"Say {i}.", "rule": RULES[i % 2]}
        for i, split in enumerate(["train"] * 6 + ["heldout"] * 2)
    ]
    path = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(model: Path, file: Path, **values: object) -> ConfigDict:
    c = rl_stage1.get_config("smoke")
    mine = {"data.samples_per_prompt": 8, "sampling.temperature": 1.0, "sampling.max_tokens": 16}
    c.update_from_flattened_dict({"model": str(model), "data.path": str(file), **mine, **values})
    return c


def test_a_run_is_paid_by_rules_learns_and_goes_on_to_the_bit(
    model: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with tiny_run.one_device(monkeypatch):
        training.run(config(model, file, steps=3), whole, "")
        training.run(config(model, file, steps=1), broken, "")
        training.run(config(model, file, steps=3), broken, "")
    rows = [read_metrics(folder) for folder in (whole, broken)]
    timeless = [
        [{k: v for k, v in row.items() if "second" not in k and "_s" not in k and k != "compiles"} for row in side]
        for side in rows
    ]
    assert timeless[0] == timeless[1] and len(timeless[0]) == 3
    assert any(row["update/grad_norm"] > 0 for row in timeless[0] if row["groups/dropped"] < 2)
    for row in timeless[0]:
        assert row["reward/score"] == pytest.approx(
            np.mean([row[k] for k in row if k.startswith("reward/dimension/")]), abs=0.51
        )
        assert row["reward/length_bonus"] <= 0  # brevity earns nothing, length costs
    after = read_jsonl(whole / "eval_after.jsonl")
    assert {row["criteria"][0]["dimension"] for row in after} == {"shape", "instructions"}
    assert all(row["criteria"][0]["met"] == (row["score"] == 1) for row in after)
    assert (whole / "report.html").is_file()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"data.path": "", "tasks.train": 0}, "config.tasks.train is 0"),
        ({"data.path": "", "tasks.made": ("sums",)}, "not \\['sums'\\]"),
        ({"reward.overlong": 17}, "margin is 17"),
        ({"data.clinic": 4}, "config.data.clinic is 4, but the tasks of stage 1"),
    ],
)
def test_values_that_cannot_be_are_named(model: Path, file: Path, tmp_path: Path, values: dict, said: str):
    with pytest.raises(SystemExit, match=said):
        training.run(config(model, file, **values), tmp_path / "run", "")
    assert not (tmp_path / "run").exists()


def test_pass_rates_are_kept_and_go_on(model: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    with tiny_run.one_device(monkeypatch):
        c = config(model, file)
        mesh = rl.make_mesh(c)
        with jax.set_mesh(mesh):
            parts, _ = rl.start(c, mesh)
            tried = lambda path: pass_rates(  # noqa: E731
                parts.engine,
                parts.tokenizer,
                parts.train,
                4,
                path,
                who={"k": 4, "mesh": ()},
                at_once=2,
                tell=said.append,
            )
            whole = tried(tmp_path / "rates")
            lines = (tmp_path / "rates").read_text().splitlines(keepends=True)
            (tmp_path / "part").write_text("".join(lines[:4]) + lines[4][:9])  # stopped within the second two
            assert tried(tmp_path / "part") == whole == tried(tmp_path / "rates")
    assert [*whole] == [f"t-{i}" for i in range(6)] and set(whole.values()) <= {i / 8 for i in range(9)}
    assert len(set(whole.values())) > 1
    assert said == [f"{i}/6 cases tried" for i in (2, 4, 6, 4, 6)]


def test_the_command_leaves_out_what_is_too_easy(model: Path, file: Path, tmp_path: Path):
    out = tmp_path / "kept.jsonl"
    argv = [
        sys.executable, "launch/difficulty.py", "--config=configs/rl_stage1.py:smoke", f"--config.model={model}",
        f"--config.data.path={file}", f"--out={out}", "--k=4", "--low=0", "--high=0.7",
    ]  # fmt: skip
    for tried in (3, 0):  # the second time it is all there
        code, said = tiny_run.finish(tiny_run.start(argv))
        assert code == 0 and said.count("cases tried") == tried, said
    rates = {row["id"]: row["rate"] for row in read_jsonl(tmp_path / "kept.jsonl.rates.jsonl")[1:]}
    kept = load_tasks(out)
    assert {t.id for t in kept if t.split == "train"} == {name for name, rate in rates.items() if rate <= 0.7}
    assert 0 < len(kept) - 2 < len(rates)
    assert sum(t.split == "heldout" for t in kept) == 2
