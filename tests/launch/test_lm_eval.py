"""An exam as tasks of lm_eval: what the command writes, and that its grades are those of m2jax's own rule."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jinja2
import yaml

from m2jax.evaluate import exams
from m2jax.text.tokenizer import load_tokenizer
from tests.conftest import REPOSITORY
from tests.train.tiny_run import write_model

QUESTIONS = [
    {"question": f"Which, {i}?", "options": {"A": "aspirin", "B": "rest", "C": "tea"}, "answer_idx": "ABC"[i]}
    for i in range(3)
]
REPLIES = ("The answer is B.", " (B)\n", "The answer is A.", "A or B", "I cannot say.", "")


class Yaml(yaml.SafeLoader):
    """Reads lm_eval's tag as the name that it gives."""


Yaml.add_constructor("!function", lambda loader, node: f"function {loader.construct_scalar(node)}")


def command(*flags: object) -> list[str]:
    return [sys.executable, "launch/lm_eval.py", *map(str, flags)]


def test_tasks_of_a_file_on_the_hub_and_their_grades(tmp_path: Path) -> None:
    model, out = write_model(tmp_path / "model"), tmp_path / "a folder: out"  # as no YAML has it unquoted
    fetched = tmp_path / "hub" / "datasets--org--exams"  # the hub's cache, as if the file had been fetched before
    file = fetched / "snapshots" / "abc" / "data" / "medqa.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    (fetched / "refs").mkdir()
    (fetched / "refs" / "main").write_text("abc")
    asked = command("--data=hf:org/exams/data/medqa.jsonl", f"--model={model}", "--n=2", f"--out={out}")
    hub = os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([*asked, "--max_tokens=9"], cwd=REPOSITORY, env=hub, capture_output=True, text=True)
    assert done.returncode == 0 and f"{out}: 2 questions of medqa" in done.stdout, done.stderr

    tasks = exams.load("medqa", file)[:2]
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert [(row["question"], row["letters"][row["right"]]) for row in rows] == [
        (task.messages[0]["content"], task.rule.answer) for task in tasks
    ]
    letters, replies = (yaml.load((out / f"{name}.yaml").read_text(), Yaml) for name in ("letters", "replies"))
    for task, kind, name in ((letters, "multiple_choice", "letters"), (replies, "generate_until", "replies")):
        assert task["task"] == f"m2jax_medqa_{name}" and task["output_type"] == kind
        assert task["dataset_kwargs"]["data_files"] == {task["test_split"]: str(out / "rows.jsonl")}
        assert jinja2.Template(task["doc_to_text"]).render(rows[0]) == rows[0]["question"]
        assert jinja2.Template(task["doc_to_target"]).render(rows[1]) == "1"
    assert jinja2.Template(letters["doc_to_choice"]).render(rows[0]) == "['A', 'B', 'C']"
    assert replies["process_results"] == "function grade.process_results"
    assert replies["generation_kwargs"] == {"until": [], "max_gen_toks": 9, "temperature": 0}
    assert load_tokenizer(out / "tokenizer").encode("Yes, A.") == load_tokenizer(model).encode("Yes, A.")

    spec = importlib.util.spec_from_file_location("grade", out / "grade.py")
    grade = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(grade)
    given = [grade.process_results(rows[1], [reply]) for reply in REPLIES]
    (own,) = exams.by_generation("medqa", [tasks[1]] * len(REPLIES), REPLIES)
    assert given == [{"acc": value} for value in own.each] and own.each[:3] == (1.0, 1.0, 0.0)


def test_what_is_no_multiple_choice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gsm8k.jsonl").write_text(json.dumps({"question": "1 + 1?", "answer": "#### 2"}) + "\n")
    asked = command("--task=gsm8k", f"--data={tmp_path}/gsm8k.jsonl", f"--out={tmp_path}/out")
    done = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 1 and "error: --task=gsm8k is no multiple choice" in done.stderr
    assert not (tmp_path / "out").exists()
