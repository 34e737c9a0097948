"""What a user is told who starts training with a value that cannot be: soon, and with the value in the last lines."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from m2jax import run as training
from tests.train import tiny_run

SMOKE = "--config=configs/rl_stage2.py:smoke"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return tiny_run.write_all(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--config=configs/rl_stage2.py:huge"], ["'huge'", "smoke, cpu, chip"]),
        ([SMOKE, "--config.optimizer.lrr=1"], ["lrr", '"lr"']),
        ([SMOKE, "--config.steps=abc"], ["--config.steps", "'abc'"]),
        ([SMOKE, "steps=3"], ["'steps=3'", "--config.key=value"]),
        ([], ["--config"]),
        ([SMOKE, "--config.data.samples_per_prompt=1"], ["config.data.samples_per_prompt", "2"]),
    ],
    ids=["preset", "key", "type", "positional", "nothing", "range"],
)
def test_command_that_cannot_be_says_why(
    files: tuple[Path, Path], tmp_path: Path, flags: list[str], said: list[str]
) -> None:
    here = [f"--config.model={files[0]}", f"--config.data.path={files[1]}"] if SMOKE in flags else []
    argv = [*tiny_run.command(*files, tmp_path / "run")[:2], *flags[:1], *here, *flags[1:]]
    began = time.monotonic()
    code, output = tiny_run.finish(tiny_run.start([*argv, f"--workdir={tmp_path / 'run'}"]))
    assert code != 0 and time.monotonic() - began < 30
    last = "\n".join(output.strip().splitlines()[-4:])
    assert all(words in last for words in said), output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"data.path": "/no/such/cases.jsonl"}, ["/no/such/cases.jsonl"]),
        ({"model": "no-such-model"}, ["'no-such-model'", "smollm2-135m-instruct"]),
        ({"data.samples_per_prompt": 1}, ["config.data.samples_per_prompt"]),
        ({"data.prompts_per_step": 4}, ["config.data.prompts_per_step is 4", "3 training cases"]),
        ({"data.max_prompt_tokens": 8}, ["config.data.max_prompt_tokens is 8", "case-"]),
        ({"reward.normalisation": "zscore"}, ["'zscore'", "minmax"]),
        ({"reward.unchecked": "guess"}, ["'guess'", "'judge'", "'skip'"]),
        ({"mesh": (3, 5, 7)}, ["(3, 5, 7)", "config.mesh"]),
        ({"mesh": (1, 1, 1, 8)}, ["(1, 1, 1, 8)", "context", "config.sampling.mesh"]),
        ({"steps": 0}, ["config.steps 0"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_value_that_cannot_be_is_named_before_anything_is_written(
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, object],
    said: list[str],
) -> None:
    message = _refusal(tiny_run.config(*files, **values), tmp_path / "run", None if "mesh" in values else monkeypatch)
    assert all(words in message for words in said), message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", ":6: not JSON"),
        ('{"id": "case-0", "topic": "t", "question": "q", "rubric": []}', ":6: rubric has no criterion"),
        ('{"id": "x", "topic": "t", "question": "q", "rubrics": []}', ":6: case has unknown keys ['rubrics']"),
    ],
    ids=["json", "rubric", "key"],
)
def test_bad_line_of_the_cases_is_named(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    bad = tmp_path / "cases.jsonl"
    bad.write_text(files[1].read_text() + text + "\n")
    message = _refusal(tiny_run.config(files[0], bad), tmp_path / "run", monkeypatch)
    assert f"{bad}{said}" in message


def _refusal(config: tiny_run.ConfigDict, workdir: Path, monkeypatch: pytest.MonkeyPatch | None) -> str:
    """What Python prints last where the run is refused (it exits with 1)."""
    with pytest.raises(SystemExit) as error:
        if monkeypatch is None:
            training.run(config, workdir)
        else:
            with tiny_run.one_device(monkeypatch):
                training.run(config, workdir)
    assert isinstance(error.value.code, str)
    return error.value.code
