"""docs/data.md: its examples load, its commands run (in order, on its own files), and its configs take its values.

Commands that want a model run with a tiny one, or with a server of the test's; those that train are slow, and here only
their values and their data are read.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ml_collections import ConfigDict
from tensorflow_datasets.core import registered

from m2jax.data import cases, documents, tasks
from m2jax.data.chats import load_chats
from m2jax.data.consultations import consultations
from m2jax.data.documents import load_documents
from m2jax.data.tasks import load_tasks
from m2jax.records.load import load as load_records
from m2jax.rollout import patients
from m2jax.train import midtrain, sft, values
from m2jax.verifier.rubric import load_cases
from tests.conftest import REPOSITORY
from tests.outside.fake_server import last, serving
from tests.train import tiny_run

PAGE = (REPOSITORY / "docs" / "data.md").read_text()
FILES = dict(re.findall(r"`(\w+\.jsonl)`:\n\n```json\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
LOADERS = {
    "documents.jsonl": load_documents,
    "chats.jsonl": load_chats,
    "tasks.jsonl": load_tasks,
    "cases.jsonl": load_cases,
    "records.jsonl": lambda path: load_records(path)[0],
}
NOTE = "It begins where the body is coldest, which would explain why the toe comes first."
TINY = {  # what makes a command small
    "midtrain": ["--config.data.row_tokens=64", "--config.data.rows_per_step=5", "--config.steps=1"],
    "sft": ["--config.data.row_tokens=2048", "--config.data.rows_per_step=1", "--config.steps=1",
            "--config.data.train=4", "--config.data.heldout=2"],
    "rl_stage1": ["--config.data.max_prompt_tokens=400"],
    "rl_stage2": ["--config.data.max_prompt_tokens=900"],
    "rl_stage3": ["--config.data.max_prompt_tokens=400", "--config.consult.context_tokens=2400",
                  "--config.consult.adapter=", "--config.eval.cases=2", "--config.consult.patient_tokens=8",
                  "--config.consult.rounds=2", "--config.data.samples_per_prompt=2"],
}  # fmt: skip


def write_files(folder: Path) -> None:
    """The page's files, each line also held out, and as often as a step wants."""
    for name, text in FILES.items():
        rows = [json.loads(line) for line in text.splitlines()]
        more = [
            row | {"id": f"{row['id']}-{i}"} | ({} if "facts" in row else {"split": "train" if i % 4 else "heldout"})
            for row in rows
            for i in range(8)
        ]
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in [*rows, *more]))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command of the page in a folder with the page's files."""
    write_files(tmp_path)

    def run(command: str, *more: str) -> subprocess.CompletedProcess[str]:
        script, *rest = shlex.split(command)[1:]
        argv = [str(REPOSITORY / script), *rest] if script.startswith("launch/") else [script, *rest]
        argv = [a.replace("configs/", f"{REPOSITORY}/configs/", 1) if a.startswith("--config=") else a for a in argv]
        where = {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu", "NO_PROXY": "127.0.0.1"}
        where |= {"M2JAX_CACHE": str(tmp_path / "cache"), "XLA_FLAGS": ""}
        done = subprocess.run(
            [sys.executable, *argv, *more],
            cwd=tmp_path,
            env=os.environ | where,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
        return done

    return run


def named(script: str) -> list[str]:
    return [command for command in COMMANDS if script in command.split("--")[0]]


def config_of(command: str) -> ConfigDict:
    """The config of a command with its values, as the launcher makes it."""
    flags = dict(re.findall(r"--([\w.]+)=(\S*)", command))
    name, _, preset = flags.pop("config").removeprefix("configs/").partition(":")
    config = importlib.import_module(f"configs.{name.removesuffix('.py')}").get_config(preset)
    given = {key.removeprefix("config."): value for key, value in flags.items() if key.startswith("config.")}
    flat: dict[str, object] = {}
    for key, value in given.items():
        group = config
        for part in key.split(".")[:-1]:
            group = group[part]
        is_text = isinstance(group[key.split(".")[-1]], str)
        flat[key] = value if is_text else ast.literal_eval(value)
    config.update_from_flattened_dict(flat)
    return config


def test_every_form_has_an_example_that_loads(tmp_path: Path):
    assert FILES.keys() == LOADERS.keys()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        assert len(LOADERS[name](tmp_path / name)) == len(text.splitlines())
    assert {d.kind for d in load_documents(tmp_path / "documents.jsonl")} == set(documents.KINDS)


def test_what_trains_takes_the_pages_values_and_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    read = []
    for command in [c for c in COMMANDS if "--config=" in c]:
        config = config_of(command)
        path = config.data.get("path", "")
        read.append(Path(path).name)
        if "1.0.0" in path:
            continue
        match config.get("stage", "rl"):
            case "midtrain":
                assert all(midtrain.read_documents(config))
            case "sft":
                assert all(sft.read_chats(config))
            case _ if config.get("tasks"):
                assert all(tasks.load(path))
            case _ if config.get("consult"):
                values.check_consult(config)
                assert bool(values.endpoints(config)) == bool(config.patient.url)
                assert not path or all(patients.read(path))
            case _:
                assert all(cases.load(path))
        values_of = config.get("dynamic")
        if values_of:
            values.check_dynamic(config)
    assert LOADERS.keys() <= set(read)


def test_the_tools_without_a_model_run_one_after_the_other(run, tmp_path: Path):
    for command in named("launch/data.py"):
        said = run(command).stdout
        assert re.search(r"\d+ of \d+ rows", said)
    assert "1 of 1 rows" in said and (tmp_path / "unique.jsonl.dropped.jsonl").read_text()
    assert [Path(c.split("--out=")[1].split()[0]).stem for c in named("launch/data.py")] == [
        "unique", "clean", "good", "spread"
    ]  # fmt: skip


def test_the_clinic_becomes_a_dataset_and_an_endpoint_rephrases_and_writes_notes(run, tmp_path: Path):
    (command,) = named("m2jax.data.clinic_tfds")
    run(command)
    assert len(load_chats(tmp_path / "data" / "clinic" / "chats" / "1.0.0")) == 50
    with serving(lambda n, body: NOTE) as server:
        rephrase, notes = (c.replace("http://localhost:8000/v1", server.url) for c in named("launch/corpus.py"))
        run(rephrase)
        said = run(notes)
    assert (tmp_path / "rephrased.jsonl").exists()
    assert "9 of 9 made, 27 of other kinds as they were" in said.stdout
    noted = load_documents(tmp_path / "noted.jsonl")
    assert sum(document.id.endswith("/notes") for document in noted) == 9


def test_the_simulated_patient_consults_by_an_endpoint(run, tmp_path: Path):
    (command,) = named("launch/consultations.py")
    knows = lambda body: re.findall(r"^- (.+)\n\nAnswer only", last(body), re.MULTILINE)  # noqa: E731
    with serving(lambda n, body: " ".join([*knows(body), "I hope it is nothing bad."])) as server:
        said = run(command.replace("http://localhost:8000/v1", server.url)).stdout
        asked = len(server.asked)
        run(command.replace("http://localhost:8000/v1", server.url))
    assert asked == len(server.asked) > 9 and "of 9 consultations" in said
    chats = load_chats(tmp_path / "consultations.jsonl")
    by_rule = {chat.id: chat for chat in [*consultations("train", 6, 0), *consultations("heldout", 3, 0)]}
    doctors = lambda chat: [m.content for m in chat.messages if m.role == "assistant"]  # noqa: E731
    assert chats and all(doctors(chat)[0] == doctors(by_rule[chat.id])[0] for chat in chats)
    assert any("I hope it is nothing bad." in m.content for chat in chats for m in chat.messages if m.role == "user")


def test_the_builder_of_the_page_makes_a_dataset_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "chats.jsonl").write_text(FILES["chats.jsonl"])
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    space = {"__name__": "mine"}
    with registered.skip_registration():  # another test may have run the page's blocks in this process
        exec(compile(code, str(tmp_path / "mine.py"), "exec"), space)  # noqa: S102
    space["MyChats"].pkg_dir_path = str(tmp_path)
    builder = space["MyChats"](data_dir=str(tmp_path / "own"))
    builder.download_and_prepare()
    assert load_chats(builder.data_path) == load_chats(tmp_path / "chats.jsonl")


def test_the_curriculums_values_are_values_of_its_stages():
    (command,) = named("launch/curriculum.py")
    given = re.findall(r"--set=(\w+)\.data\.path=(\S+)", command)
    assert [stage for stage, _ in given] == ["midtrain", "sft", "rl_stage1", "rl_stage2"]
    for stage, file in given:
        assert file in FILES and "path" in importlib.import_module(f"configs.{stage}").get_config("cpu").data


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len([c for c in COMMANDS if "--config=" in c])))
def test_what_trains_and_samples_runs_with_a_tiny_model(run, tmp_path: Path, number: int):
    model = tiny_run.write_model(tmp_path / "model")
    command = [c for c in COMMANDS if "--config=" in c][number]
    if "1.0.0" in command:
        run(named("m2jax.data.clinic_tfds")[0])
    stage = re.search(r"configs/(\w+)\.py", command)[1]
    small = command.replace(":cpu", ":smoke").replace("session-cpu", "session-smoke").replace("--k=8", "--k=2")
    small = small.replace("--low=0.1 --high=0.9", "--low=0 --high=1")
    more = [f"--config.model={model}", *TINY[stage]]
    more += ["--config.data.prompts_per_step=4"] if "dynamic" in command else []
    more += ["--config.steps=1"] if stage.startswith("rl") and "train.py" in command else []
    with serving(lambda n, body: "It is worse at night.") as server:
        run(small.replace("http://localhost:8000/v1", server.url), *more)
    out = re.search(r"--(?:workdir|out)=(\S+)", command)[1]
    assert (tmp_path / out / "report.html" if "workdir" in command else tmp_path / out).exists()
