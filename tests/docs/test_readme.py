"""README, and what is like it in docs/verifier.md and docs/report.md: commands that are quick with a tiny model and few
rows run.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from tensorflow_datasets.core import registered

from m2jax.data import cases
from m2jax.data.tasks import load_tasks
from tests.conftest import REPOSITORY
from tests.docs.pages import PAGES, Command, blocks, page_of, run_here, shown, sketched, small
from tests.train import tiny_run

README = page_of("README")
EVERY = [command for page in PAGES for command in (*shown(page), *sketched(page))]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run: README's line of a chat and of a case, and the record of docs/verifier.md."""
    chat, *_ = blocks(README, "json")
    (case,) = (text for text in blocks(README, "json") if '"rubric"' in text)
    (tmp_path / "chats.jsonl").write_text(chat)
    held_out = [json.loads(case) | {"id": f"heldout-{i}", "split": "heldout"} for i in range(4)]
    more = [json.loads(case) | {"id": f"train-{i}"} for i in range(4)]
    (tmp_path / "my.jsonl").write_text(case + "".join(json.dumps(row) + "\n" for row in held_out + more))
    (tmp_path / "FILE").write_text(*blocks(page_of("verifier"), "json"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_tasks() -> None:
    """README's dataset, small; another test may have registered the clinic in this process."""
    (command,) = named("clinic_tfds --form=tasks")
    with registered.skip_registration():
        run_here(command, "--train=8", "--heldout=4")


def named(words: str, among: list[Command] = EVERY) -> list[Command]:
    """The commands in which these words follow one another."""
    return [command for command in among if words in " ".join(command)]


def test_make_lists_every_target_that_the_pages_name() -> None:
    said = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    targets = {word for command in EVERY if command[0] == "make" for word in command[1:]}
    assert {"demo", "test", "setup"} <= targets <= set(re.findall(r"^make ([a-z-]+) ", said, re.MULTILINE))


def test_records_are_read_and_a_model_is_found(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = named("m2jax.records FILE")
    run_here(command)
    assert Path("records.jsonl").read_text().count("\n") == 1
    (command,) = named("m2jax.weights NAME")
    run_here([*command[:-1], str(model)])
    assert str(model) in capsys.readouterr().out


def test_a_file_and_a_check_are_tried_without_training(capsys: pytest.CaptureFixture[str]) -> None:
    counts, check = named("python -c", shown(README))
    run_here(counts)
    assert capsys.readouterr().out == "5 4 questions to train on, and held out\n"
    run_here(check)
    assert capsys.readouterr().out.startswith("True")


def test_data_are_cleaned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("medqa.jsonl", "healthbench.jsonl"):
        (folder / name).write_text('{"question": "Which helps?"}\n')
    (command,) = named("launch/data.py decontaminate", shown(README))
    run_here(command)
    assert "1 of 1 rows" in capsys.readouterr().out


@pytest.mark.parametrize("command", named("launch/chat.py --role"), ids=lambda c: " ".join(c[2:]))
def test_a_talk_begins_and_is_left(command: Command, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_here(named("m2jax.records FILE")[0])
    run_here(command, f"--model={model}", typed="I cough. Since when?\n/quit\n")
    said = capsys.readouterr().out
    assert "The talk is over: you left." in said and "The diagnosis:" in said


def test_a_small_part_of_the_verifiers_figures_and_of_the_doctors(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, smoke = named("configs/eval_verifier.py")
    parts = ["--config.parts=('generator','attacks')", "--config.n.attacks=1"]
    assert smoke == small(whole)
    run_here(smoke, f"--config.model={model}", *parts)
    assert "attack, repetition" in capsys.readouterr().out
    (doctor,) = named("configs/eval_doctor.py")
    none = [f"--config.n.{part}=0" for part in ("questions", "sums", "consultations", "texts")]
    run_here(small(doctor), f"--config.model={model}", *none)
    assert "rubric score" in capsys.readouterr().out


def test_the_page_shows_a_made_run_and_a_talk(model: Path) -> None:
    (made,) = named("tests.report.made_runs")
    run_here(made, "50")
    (talk,) = named("--role=doctor --seed")
    run_here(talk, f"--model={model}", "--transcript=FILE.json", typed="I cough.\n/quit\n")
    pages = [Path(name) for name in ("page-0", "page-1", "page-2")]
    for command, page in zip(named("launch/view.py", sketched(README)), pages, strict=True):
        run_here([re.sub(r"^runs/\w+$", made[-1], word) for word in command], f"--out={page}")
        assert (page / "index.html").exists()


RULES, OWN = "configs/rl_stage1.py --config.data.path=data/", "configs/rl_stage2.py --config.data.path=my.jsonl"


def test_the_data_of_what_trains_are_read() -> None:
    (command,) = named(OWN)
    train, heldout = cases.load(command[3].split("=")[1])
    assert train[0].id == "nosebleed-01" and len(heldout) == 4
    make_tasks()
    (command,) = named(RULES)
    assert len(load_tasks(command[3].split("=")[1])) == 12


@pytest.mark.parametrize(
    ("words", "leaves"),
    [
        pytest.param(RULES, "runs/rl_stage1-smoke/report.html", marks=pytest.mark.slow),
        (OWN, "runs/my-first/report.html"),
        ("launch/reject.py --config=configs/rl_stage2.py:cpu", "chats.jsonl.sampled.jsonl"),
    ],
)
def test_what_trains_runs(words: str, leaves: str, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = named(words, shown(README))
    more = [f"--config.model={model}", "--config.data.max_prompt_tokens=900", "--config.data.samples_per_prompt=2"]
    if words == RULES:
        make_tasks()
    elif words != OWN:
        more += ["--config.data.path=my.jsonl", "--k=2"]
    with tiny_run.one_device(monkeypatch):
        run_here(small(command), *more, "--config.steps=1")
    assert Path(leaves).stat().st_size
