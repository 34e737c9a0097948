"""Exports: each form of a run that trained an adapter, the card beside it, and what it cannot write."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from m2jax.checkpoint import Checkpoints, load_params
from m2jax.export import FORMS, export_model, export_run
from m2jax.gguf_file import read_gguf
from m2jax.models import lora
from m2jax.train import optimizer
from m2jax.train.step import init_state
from m2jax.weights.adapter import read_adapter
from m2jax.weights.load import load
from tests.conftest import REPOSITORY
from tests.docs.pages import PAGES, run_here, shown, sketched
from tests.train import tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny model that ended, with an adapter of rank 2."""
    folder = tmp_path_factory.mktemp("run")
    files = tiny_run.write_all(tmp_path_factory.mktemp("tiny"))
    (files[0] / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    (files[0] / "generation_config.json").write_text('{"temperature": 0.6}')
    config = tiny_run.config(*files, **{"lora.rank": 2}).to_dict()
    (folder / "config.json").write_text(json.dumps(config | {"command": "python launch/train.py --config=x"}))
    side = {"score": 0.25, "low": 0.125, "high": 0.375}
    gain = {"mean": 0.1, "low": 0.05, "high": 0.15}
    summary = {"steps": 3, "before": side, "after": side | {"score": 0.35}, "gain": gain}
    (folder / "summary.json").write_text(json.dumps(summary))
    adapter = lora.init(tiny_run.CFG, jax.random.key(0), 2, 16.0, stacked=False)
    adapter = jax.tree.map(lambda x: x + 0.01, adapter)
    checkpoints = Checkpoints(folder)
    checkpoints.save(3, init_state(adapter, optimizer.make(optimizer.Optimizer())), {})
    checkpoints.close()
    return folder


def test_all_forms_hold_the_same_model_and_a_card(run: Path, tmp_path: Path) -> None:
    for form in FORMS:
        export_run(run, None, tmp_path / form, form, "float32")
        card = (tmp_path / form / "README.md").read_text()
        assert card.startswith('---\nlicense: "mit"\n') and "| score | 0.25 [0.125, 0.375] | 0.35 [" in card
        assert (
            "+0.100 [+0.050, +0.150]" in card
            and "LoRA adapter of rank 2" in card
            and "3 steps." in card
            and "launch/train.py" in card
        )
        assert "$" not in card.split("## How")[0]
    sampled = json.loads((tmp_path / "merged" / "generation_config.json").read_text())
    assert sampled["temperature"] == 0.6 and "eos_token_id" in sampled
    metadata, _ = read_gguf(tmp_path / "gguf" / "model.gguf")
    assert metadata["general.name"] == "gguf" and metadata["general.license"] == "mit"
    cfg, trained, base = load_params(run)
    for path in (tmp_path / "merged", tmp_path / "gguf" / "model.gguf"):
        jax.tree.map(np.testing.assert_array_equal, load(path, stacked=False, dtype="float32")[1], trained)
    adapter = read_adapter(cfg, tmp_path / "peft" / "adapter_model.safetensors", stacked=False)
    mine = lora.merge(lora.attach(load(Path(base), stacked=False, dtype="float32")[1], adapter))
    jax.tree.map(np.testing.assert_array_equal, mine, trained)
    config = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 2 and config["base_model_name_or_path"] == base
    assert config["target_modules"] == [
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj",
    ]  # fmt: skip


def test_the_pages_give_commands_that_export(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = [command for page in PAGES for command in (*shown(page), *sketched(page)) if "launch/export.py" in command]
    assert len(told) == 5
    for command in told:
        (folder,) = (Path(word.removeprefix("--run=")) for word in command if word.startswith("--run="))
        (out,) = (Path(word.removeprefix("--out=")) for word in command if word.startswith("--out="))
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(run, folder, dirs_exist_ok=True)
        run_here(command)
        assert (out / ("adapter_model.safetensors" if "--form=peft" in command else "model.safetensors")).exists()


def test_a_card_that_cannot_be_made_leaves_no_folder(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "summary.json").write_text("{half")
    with pytest.raises(ValueError):
        export_run(tmp_path / "run", None, tmp_path / "out", "peft", "float32")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_written_says_why(run: Path, tmp_path: Path) -> None:
    for form, said in (("merged", "is not empty"), ("peft", "is not empty"), ("gguf", "is not empty")):
        with pytest.raises(ValueError, match=said):
            export_run(run, None, run, form, "float32")
    with pytest.raises(ValueError, match="give --run"):
        export_model(json.loads((run / "config.json").read_text())["model"], tmp_path / "out", "peft", "float32")
    config = json.loads((run / "config.json").read_text())
    whole = tmp_path / "whole"
    checkpoints = Checkpoints(whole)
    weights = load(Path(config["model"]), stacked=False, dtype="float32")[1]
    checkpoints.save(1, init_state(weights, optimizer.make(optimizer.Optimizer())), {})
    checkpoints.close()
    (whole / "config.json").write_text(json.dumps(config | {"lora": {"rank": 0}}))
    with pytest.raises(ValueError, match="trained all parameters"):
        export_run(whole, None, tmp_path / "out", "peft", "float32")
    assert not (tmp_path / "out").exists()


def test_a_model_by_name_has_a_card_without_figures(run: Path, tmp_path: Path) -> None:
    export_model(json.loads((run / "config.json").read_text())["model"], tmp_path / "out", "merged", "bfloat16")
    assert "nothing was trained" in (tmp_path / "out" / "README.md").read_text()


def test_uploading_without_a_token_says_so_before_anything_is_written(tmp_path: Path) -> None:
    env = os.environ | {"HF_TOKEN": "", "HF_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    argv = [sys.executable, "launch/export.py", "--model=none", f"--out={tmp_path / 'out'}", "--push=me/mine"]
    done = subprocess.run(argv, cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert done.returncode == 1 and "error: --push needs a token" in done.stderr
