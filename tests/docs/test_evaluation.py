"""docs/evaluation.md, and the exam of docs/serving.md: the commands run, in small, on files in the forms named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.docs.pages import Command, blocks, commands, page_of, run_here, shown, small
from tests.outside.fake_server import serving
from tests.train.tiny_run import write_model

PAGE = page_of("evaluation")
EVALUATIONS = [c for page in (PAGE, page_of("serving")) for c in shown(page) if c[:2] == ["python", "launch/eval.py"]]
ROWS = {
    "healthbench.jsonl": {
        "prompt_id": "cold",
        "prompt": [{"role": "user", "content": "I have a cold."}],
        "rubrics": [
            {"criterion": "Says to rest.", "points": 5, "tags": ["axis:accuracy"]},
            {"criterion": "Promises a cure.", "points": -4, "tags": ["axis:accuracy"]},
        ],
        "example_tags": ["theme:hedging"],
    },
    "medqa.jsonl": {
        "question": "Which helps?",
        "options": {"A": "aspirin", "B": "rest"},
        "answer": "rest",
        "answer_idx": "B",
    },
    "agentclinic_medqa.jsonl": {
        "OSCE_Examination": {
            "Objective_for_Doctor": "Find out why the patient limps.",
            "Patient_Actor": {"Demographics": "40-year-old man", "History": "He fell off a ladder."},
            "Physical_Examination_Findings": {"Leg": "Swollen ankle"},
            "Test_Results": {"X-ray": "Fracture of the fibula"},
            "Correct_Diagnosis": "Fibular fracture",
        }
    },
}
FIGURE = {
    "healthbench": "HealthBench overall",
    "exam": "medqa by likelihood",
    "agentclinic": "AgentClinic accuracy",
    "consultation": "overall",
}  # of its table
KEPT = {
    "healthbench": ["replies", "verdicts"],
    "exam": ["replies", "letters"],
    "agentclinic": ["consultations"],
    "consultation": ["consultations"],
}  # in its workdir, where the same command goes on
ENDPOINT = "https://api.openai.com/v1"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def folder(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run: the page's files, and the model of its run."""
    for name, row in ROWS.items():
        (tmp_path / name).write_text(json.dumps(row) + "\n")
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "model").symlink_to(model)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("M2JAX_CACHE", str(tmp_path / "cache"))  # what endpoints have answered
    monkeypatch.setenv("OPENAI_API_KEY", "the key")
    return tmp_path


def tiny(command: Command, url: str = "") -> Command:
    """The same in small, with the tiny model for SmolLM2 and the test's endpoint for OpenAI's."""
    words = [word.replace(ENDPOINT, url) for word in small(command) if word != "--config.model=smollm2-135m-instruct"]
    return [*words, *["--config.model=runs/mine/model"] * ("--config.model=" not in " ".join(words))]


def plays(number: int, body: dict) -> str:
    """A grader finds every criterion met, a doctor names a diagnosis at once, a moderator says that it is wrong."""
    if body["model"] == "doctor":
        return "DIAGNOSIS READY: a cold"
    return '{"explanation": "It says so.", "criteria_met": true}' if "criteria_met" in str(body) else "No."


@pytest.mark.parametrize(
    "command", [c for c in EVALUATIONS if "workdir" not in " ".join(c)], ids=lambda c: " ".join(c[2:5])
)
def test_an_evaluation_runs(command: Command, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind = next(name for name in KEPT if f"eval_{name}.py" in " ".join(command))
    with serving(plays) as server:  # noise names no diagnosis, and then nobody is asked whether it is right
        doctor = [f"--config.roles.doctor.url={server.url}", "--config.roles.doctor.model=doctor"]
        run_here(tiny(command, server.url), *doctor * any("roles.moderator" in word for word in command))
    table = capsys.readouterr().out
    assert table.count(" n=") == len(table.splitlines()) and FIGURE[kind] in table
    assert {f"{name}.jsonl" for name in (*KEPT[kind], "figures")} == {
        file.name for file in (folder / "runs" / kind).iterdir()
    }
    named = {word.split("=")[1] for word in command if re.search(r"\.(judge|moderator)\.model=", word)}
    assert named == {body["model"] for body in server.asked} - {"doctor"}
    keys = [headers.get("Authorization") for headers in server.headers]
    assert ("Bearer the key" in keys) == bool(named)


def test_two_models_are_compared_by_what_their_evaluations_leave(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (text,) = [text for text in blocks(PAGE, "bash") if "launch/compare.py" in text]
    *measured, compared = commands(text)
    assert [f"--config.workdir={name}" for name in compared[2:4]] == [c[5] for c in measured]
    for command in measured:
        run_here(tiny(command))
    capsys.readouterr()
    run_here(compared)
    table = Path("table.md").read_text()
    assert table == capsys.readouterr().out and all(name in table.splitlines()[0] for name in compared[2:4])
    assert "medqa" in table and "+0.000" in table  # the same model on both sides


def test_every_evaluation_of_the_page_is_one_of_these() -> None:
    assert {command[1] for command in shown(PAGE)} == {"launch/eval.py", "launch/compare.py"}
