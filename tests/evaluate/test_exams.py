"""Exams: each format's rows, the two ways to answer, and comparisons worked out by hand."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from configs import eval_exam
from m2jax.data.tasks import parse_task
from m2jax.evaluate import exams
from m2jax.report import stages
from tests.train.tiny_run import write_model

REPOSITORY = Path(__file__).resolve().parents[2]
ROWS = {
    "medqa": {"question": "Which?", "options": {"A": "aspirin", "B": "rest"}, "answer": "rest", "answer_idx": "B"},
    "medmcqa": {"question": "Which?", "opa": "aspirin", "opb": "rest", "opc": "tea", "opd": "sleep", "cop": 1},
    "pubmedqa": {"question": "Does it?", "context": {"contexts": ["We tried it."]}, "final_decision": "no"},
    "mmlu": {"question": "Which?", "choices": ["aspirin", "rest", "tea"], "answer": 1},
    "cmexam": {"Question": "Which?", "Options": "A aspirin\nB rest\nC tea", "Answer": "B"},
}


@pytest.mark.parametrize("name", ROWS)
def test_the_right_option_of_each_format_is_paid(tmp_path: Path, name: str):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROWS[name]) + "\n" + json.dumps(ROWS[name] | {"cop": 0}) + "\n")
    tasks = exams.load(name, path)
    assert [t.rule.answer for t in tasks] == ["B", "A" if name == "medmcqa" else "B"] and len(
        {t.id for t in tasks}
    ) == 2
    tasks = [tasks[0], tasks[0]]
    said = tasks[0].messages[0]["content"]
    assert "\nA. " in said and "\nB. " in said and said.endswith(exams.ASK)
    values = [f.value for f in exams.by_generation(name, tasks, ["The answer is B.", "The answer is A."])]
    assert values == [0.5]


def test_pubmedqa_by_id_gsm8k_and_rows_without_a_single_answer(tmp_path: Path):
    by_id = {"123": {"QUESTION": "Does it?", "CONTEXTS": ["We tried.", "It did."], "final_decision": "maybe"}}
    (tmp_path / "p.json").write_text(json.dumps(by_id, indent=1))
    (task,) = exams.load("pubmedqa", tmp_path / "p.json")
    assert task.id == "pubmedqa-123" and task.rule.answer == "C" and "It did." in task.messages[0]["content"]
    (tmp_path / "g.jsonl").write_text(json.dumps({"question": "2000 + 34?", "answer": "Add.\n#### 2,034"}))
    tasks = exams.load("gsm8k", tmp_path / "g.jsonl")
    assert [f.value for f in exams.by_generation("gsm8k", tasks, ["The answer is 2034."])] == [1.0]
    (tmp_path / "c.json").write_text(json.dumps([ROWS["cmexam"], ROWS["cmexam"] | {"Answer": "AB"}]))
    assert len(exams.load("cmexam", tmp_path / "c.json")) == 1


def test_cmexams_options_may_be_a_list(tmp_path: Path):
    options = [{"key": key, "value": value} for key, value in zip("ABC", ("aspirin", "rest", "tea"), strict=True)]
    (tmp_path / "c.json").write_text(json.dumps([ROWS["cmexam"], ROWS["cmexam"] | {"Options": options}]))
    as_text, as_list = exams.load("cmexam", tmp_path / "c.json")
    assert as_list.rule.options == {"A": "aspirin", "B": "rest", "C": "tea"}
    assert (as_list.rule, as_list.messages) == (as_text.rule, as_text.messages)


def test_cmexam_as_csv_by_its_header(tmp_path: Path):
    path = tmp_path / "test.csv"
    rows = [
        ["Explanation", "Question", "Options", "Answer"],
        ["Because, of course.", 'Which "one"?', "A aspirin\nB rest, and tea\nC sleep", "B"],
        ["", "Which two?", "A aspirin\nB rest", "AB"],
        ["", "此病宜用", "A 麻黄\nB 桂枝", "A"],
    ]
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(rows)
    first, second = exams.load("cmexam", path)
    assert first.rule.options == {"A": "aspirin", "B": "rest, and tea", "C": "sleep"} and first.rule.answer == "B"
    assert first.messages[0]["content"].startswith('Which "one"?\n\nA. aspirin\nB. rest, and tea')
    assert second.rule.options["A"] == "麻黄" and (first.id, second.id) == (
        "cmexam-2",
        "cmexam-7",
    )  # the line it begins


@pytest.mark.parametrize("header", [None, "question,A,B,C,D,answer", ",Question,A,B,C,D,Answer,Subject"])
def test_mmlu_as_csv_with_or_without_a_header(tmp_path: Path, header: str | None):
    rows = ['"Which,\nand why?",aspirin,rest,tea,"sleep, or none",B', "Why?,1,2,3,4,D"]
    if header and header.startswith(","):
        rows = [f"{i},{row},anatomy" for i, row in enumerate(rows)]
    path = tmp_path / "anatomy_test.CSV"
    path.write_text("\r\n".join([*([header] if header else []), *rows, ""]))
    first, second = exams.load("mmlu", path)
    assert first.rule.options == {"A": "aspirin", "B": "rest", "C": "tea", "D": "sleep, or none"}
    assert first.messages[0]["content"].startswith("Which,\nand why?\n\nA. aspirin\n")
    assert (first.rule.answer, second.rule.answer, second.rule.options["D"]) == ("B", "D", "4")


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("mmlu", "Which?,a,b,c,d,B\nWhich?,a,b,c,B\n", "rows.csv: line 2 has 5 cells, not the 6 of question, A, B"),
        ("mmlu", '"Which\none?",a,b,c,d,B\nWhich?,a,b,c,d,E\n', "rows.csv: line 3 is no row of mmlu: .*answer is 'E'"),
        ("mmlu", 'Which?,a,b,c,d,B\nWhich?,"a,b,c,d,B\n', "rows.csv: line 2 begins a row that is no CSV"),
        (
            "cmexam",
            "Question,Answer\nWhich?,B\n",
            "rows.csv: line 1 is .*'Question', 'Answer'.* names Question, Options",
        ),
        ("cmexam", "Question,Options,Answer\nWhich?,A a\n", "rows.csv: line 2 has 2 cells"),
        ("cmexam", "Question,Options,Answer\nWhich?,A a,B\n", "rows.csv: line 2 is no row of cmexam: .*options is"),
        ("cmexam", "Question,Options,Answer\n\xff,A a,B\n", "rows.csv: line 2 is no UTF-8"),
        ("mmlu", "", "rows.csv has no row to ask"),
        ("medqa", "question,answer\n", "rows.csv is CSV, in which only cmexam and mmlu are published"),
    ],
)
def test_a_bad_line_of_csv_is_named(tmp_path: Path, name: str, text: str, what: str):
    path = tmp_path / "rows.csv"
    path.write_text(text, "latin-1")
    with pytest.raises(ValueError, match=what):
        exams.load(name, path)


def test_medmcqa_counts_from_0_or_from_1(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(ROWS["medmcqa"] | {"cop": cop}) + "\n" for cop in (1, 2, 4)))
    assert [t.rule.answer for t in exams.load("medmcqa", path)] == ["A", "B", "D"]


def test_ifeval_by_prompt_and_by_instruction():
    rule = {
        "kind": "instructions",
        "instruction_ids": ["punctuation:no_comma", "keywords:existence"],
        "kwargs": [{}, {"keywords": ["rest"]}],
    }
    task = parse_task({"id": "i", "question": "Write.", "rule": rule})
    found = {f.name: f.value for f in exams.by_generation("ifeval", [task, task], ["rest", "rest, please"])}
    assert found["ifeval prompts, strict"] == 0.5 and found["ifeval instructions, strict"] == 0.75


def test_a_prompt_of_ifeval_that_no_reply_can_follow_is_still_asked(tmp_path: Path):
    row = {
        "key": 1,
        "prompt": "First repeat this, then answer, without commas: why?",
        "instruction_id_list": ["punctuation:no_comma", "combination:repeat_prompt"],
        "kwargs": [{}, {"prompt_to_repeat": "First repeat this, then answer, without commas: why?"}],
    }
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    tasks = exams.load("ifeval", path)
    found = {f.name: f.value for f in exams.by_generation("ifeval", tasks, [row["prompt"] + " So."])}
    assert found["ifeval prompts, strict"] == 0 and found["ifeval instructions, strict"] == 0.5


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("medqa", '{"question": "x"}', "row 1 is no row of medqa"),
        ("medmcqa", json.dumps(ROWS["medmcqa"] | {"cop": "b"}), "the right option is 'b'"),
        ("medmcqa", json.dumps(ROWS["medmcqa"]), r"cop is \[1\], which does not tell"),
        ("mmlu", json.dumps(ROWS["mmlu"] | {"answer": 11}), "the right option is 11"),
        ("pubmedqa", json.dumps(ROWS["pubmedqa"] | {"final_decision": "?"}), "row 1 is no row of pubmedqa"),
        ("gsm8k", '{"question": "x", "answer": "3"}', "has no '####'"),
        ("usmle", "{}", "config.task is 'usmle'"),
        ("medqa", "{", "neither JSON nor JSONL"),
    ],
)
def test_what_is_no_row_is_named(tmp_path: Path, name: str, text: str, what: str):
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=what):
        exams.load(name, path)


def test_a_row_may_hold_any_of_unicodes_line_ends(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    row = ROWS["medqa"] | {"question": "A cough.\u2028\u0085\x0bWhich?"}
    path.write_text((json.dumps(row, ensure_ascii=False) + "\r\n") * 2, "utf-8")
    assert len(exams.load("medqa", path)) == 2


def test_an_exam_by_likelihood_and_generation_goes_on_where_it_stopped(tmp_path: Path):
    c = eval_exam.get_config("smoke")
    c.model, c.workdir, c.longest = str(write_model(tmp_path / "model")), str(tmp_path / "run"), 1024
    c.data = str(tmp_path / "rows.jsonl")
    Path(c.data).write_text("".join(json.dumps(ROWS["medqa"] | {"question": f"Which {i}?"}) + "\n" for i in range(3)))
    c.n = 3
    told: list[str] = []
    figures = [*exams.run(c, told.append)]
    assert [f.name for f in figures] == ["medqa by likelihood", "medqa by generation", "tokens of a reply"]
    rows = [json.loads(line) for line in (tmp_path / "run" / "letters.jsonl").read_text().splitlines()[1:]]
    assert figures[0].each == tuple(
        float(row["logps"]["B"] > row["logps"]["A"]) for row in sorted(rows, key=lambda r: int(r["id"]))
    )
    replies = tmp_path / "run" / "replies.jsonl"
    replies.write_text("\n".join(replies.read_text().splitlines()[:2]) + "\n")
    told.clear()
    assert [*exams.run(c, told.append)] == figures and "replies: 2 of 3 to do" in told
    c.longest = 16
    with pytest.raises(ValueError, match=r"begun with other values of longest"):
        [*exams.run(c, told.append)]


def test_a_comparison_pairs_records_and_tests_them(tmp_path: Path):
    # 6 won, 1 lost of 10: p = 2 * (C(7,0) + C(7,1)) / 2^7
    before, after = [0.0] * 7 + [1.0] * 3, [1.0] * 6 + [0.0] * 2 + [1.0] * 2
    assert stages.mcnemar(before, after) == pytest.approx(2 * 8 / 128)
    assert stages.mcnemar(before, before) == 1
    files = [tmp_path / "a.jsonl", tmp_path / "b" / "figures.jsonl"]
    for file, each in zip(files, (before, after), strict=True):
        file.parent.mkdir(exist_ok=True)
        mean = sum(each) / len(each)
        file.write_text(json.dumps({"name": "exam", "value": mean, "low": 0, "high": 1, "each": each}) + "\n")
    command = [sys.executable, str(REPOSITORY / "launch/compare.py")]
    done = subprocess.run([*command, str(files[0]), str(files[1].parent)], capture_output=True, text=True)
    assert done.returncode == 0 and "+0.500" in done.stdout and "p = 0.12" in done.stdout
    files[0].write_text("{}\n")
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True)
    assert done.returncode and f"{files[0]}:1: no figure" in done.stderr
