"""Data tools: what each leaves out, on rows where that is known, and the command that runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from m2jax.clinic.sample import sample_case
from m2jax.data.chats import Chat
from m2jax.data.tools.decontaminate import decontaminate
from m2jax.data.tools.dedupe import dedupe
from m2jax.data.tools.quality import quality, repeated
from m2jax.data.tools.rows import Row, grams, load
from m2jax.data.tools.stratify import stratify
from m2jax.text.chat import Message
from tests.conftest import REPOSITORY

LONG = (
    "A woman of sixty two comes with chest pain that began an hour ago while she was carrying the shopping home and "
    "has not gone since; she is pale and sweating and feels sick."
)


def row(name: str, text: str) -> Row:
    return Row(name, {"id": name, "split": "train", "messages": [{"role": "user", "content": text}]})


def chat(*texts: str) -> Chat:
    return Chat("c", tuple(Message(("user", "assistant")[i % 2], t, i % 2 == 1) for i, t in enumerate(texts)))


def test_text_is_what_a_row_tells_not_what_it_is():
    found = Row(
        "a",
        {"id": "a", "topic": "t", "prompt": [{"role": "user", "content": "I cough."}], "options": {"A": "x"}, "n": 3},
    )
    assert found.texts == ["I cough.", "x"] and found.text == "I cough.\nx"
    assert grams("One, two three!", 2) == [("one", "two"), ("two", "three")]
    assert grams("one", 2) == [("one",)] and grams(" . ", 2) == []


def test_near_duplicates_go_and_the_first_stays():
    rows = [row("a", LONG), row("b", LONG.upper() + "!"), row("c", LONG.replace("sick", "ill")),
            row("d", "I have a cough."),
            row("e", LONG[: len(LONG) // 2]), row("f", "I have a cough.")]  # fmt: skip
    assert dedupe(rows) == ["", "like a", "like a", "", "", "like d"]
    assert dedupe(rows, 1.0)[2] == ""
    with pytest.raises(ValueError, match="threshold is 0"):
        dedupe(rows, 0)


def test_patients_of_different_seeds_are_no_duplicates():
    rows = [row(str(i), sample_case(i, "train").messages[0]["content"]) for i in range(200)]
    exact = len(rows) - len({r.text for r in rows})
    assert sum(map(bool, dedupe(rows, 0.9))) <= exact + 2


def test_what_an_evaluation_holds_goes():
    exam = [Row("q1", {"question": LONG, "answer": "infarction"}),
            Row("q2", {"question": "What is the best first test for a stroke?"}),
            Row("q3", {"question": "Is it flu?"})]  # fmt: skip
    quoted = "Please answer this. " + LONG.replace(";", " -").upper()
    rows = [row("a", quoted), row("b", "What is the best first test for a stroke? And why?"), row("c", "Is it flu?"),
            row("d", "A woman of sixty two comes with chest pain that began some hours before.")]  # fmt: skip
    reasons = decontaminate(rows, {"exam": exam})
    assert reasons[0].startswith("exam: q1: a woman of sixty two comes") and len(reasons[0].split()) == 2 + 13
    assert reasons[1].startswith("exam: q2: what is the best")  # 9 words, as a whole
    assert reasons[2:] == ["", ""]  # 3 words; 11 of 13
    assert decontaminate(rows, {"exam": exam}, 11)[3].startswith("exam: q1")
    with pytest.raises(ValueError, match="runs of 3 words"):
        decontaminate(rows, {}, 3)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("Why do I cough?", "You may have a cold. Drink enough."), ""),
        (("Which letter?", "B"), ""),
        (("Why?", "<think>It could be a cold, or the flu</think>It is a cold."), ""),
        (("Which are they?", "- fever\n- cough\n\n| a | b |"), ""),
        (("How do I write it?", "```python\nx = 1\n```"), ""),
        (("Why do I cough?", "You may have a cold. Drink enough and rest, and if you"), "cut off"),
        (("Write it.", "```python\nx = 1."), "cut off"),
        (("Why?", "<think>It could be a cold"), "cut off"),
        (("Why?", "<think>It could be a cold.</think>  "), "empty reply"),
        (("Why?", "You need rest now. " * 8), "repetition"),
        (("Tell me about the", "About what?"), "incomplete request"),
        (("What does the image above show?", "It shows a heart."), "ambiguous request"),
        (("What is in the document about my heart?", "A report."), ""),
        (("Hi <|im_end|>", "Hello."), "control token"),
    ],
)
def test_chats_that_teach_what_nobody_wants(texts: tuple[str, ...], said: str):
    assert quality([chat(*texts)]) == [said]


def test_what_is_repeated():
    assert repeated("one two three four five") == 0 and repeated("") == 0
    assert repeated("a b c d a b c d") == pytest.approx(1 / 5)


def test_a_sample_is_spread_over_clusters():
    """Three kinds of rows of 60, 6 and 6; of 12, drawn from three clusters in turn, each gives four."""
    kinds = {"knee": 60, "rash": 6, "dose": 6}
    texts = {"knee": "my left knee hurts when I climb stairs {}", "rash": "an itchy red rash on both arms {}",
             "dose": "how many tablets of paracetamol may one take {}"}  # fmt: skip
    rows = [row(f"{kind}-{i}", texts[kind].format("again " * (i % 3))) for kind, n in kinds.items() for i in range(n)]
    reasons = stratify(rows, 12, clusters=3)
    kept = Counter(r.id.split("-")[0] for r, reason in zip(rows, reasons, strict=True) if not reason)
    assert kept == {"knee": 4, "rash": 4, "dose": 4}
    assert reasons == stratify(rows, 12, clusters=3) != stratify(rows, 12, clusters=3, seed=1)
    assert not any(stratify(rows, len(rows))) and stratify(rows[:1], 1) == [""]
    with pytest.raises(ValueError, match="73 rows are to stay"):
        stratify(rows, 73)


def test_a_file_is_read_with_and_without_ids(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"question": "x"}\n\n{"id": 7, "question": "y"}\n')
    assert [r.id for r in load(tmp_path / "a.jsonl")] == ["row-1", "7"]
    (tmp_path / "a.jsonl").write_text('{"question": "x"}\n[1]\n')
    with pytest.raises(ValueError, match=r"a\.jsonl:2: the line is '\[1\]'"):
        load(tmp_path / "a.jsonl")


def command(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "launch/data.py", *argv], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )


def test_the_command_keeps_rows_as_they_were_and_says_why_others_go(tmp_path: Path):
    rows = [
        {"id": "a", "messages": [{"role": "user", "content": LONG}, {"role": "assistant", "content": "Call 999 now."}]},
        {"id": "b", "messages": [{"role": "user", "content": LONG}, {"role": "assistant", "content": "Call 999 now!"}]},
        {"id": "c", "messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]},
    ]  # fmt: skip
    lines = [json.dumps(r) + "\n" for r in rows]
    (tmp_path / "in.jsonl").write_text("".join(lines))
    (tmp_path / "exam.jsonl").write_text(json.dumps({"prompt": LONG}) + "\n")
    files = (f"--file={tmp_path}/in.jsonl", f"--out={tmp_path}/out.jsonl")
    for name, more, kept, told in (
        ("dedupe", [], [0, 2], "1 like an earlier one"),
        ("quality", [], [0, 1, 2], "3 of 3 rows"),
        ("decontaminate", [f"--against={tmp_path}/exam.jsonl"], [2], "2 exam.jsonl"),
        ("stratify", ["--n=1"], None, "2 not drawn"),
    ):
        done = command(name, *files, *more)
        assert done.returncode == 0 and told in done.stdout, done.stderr
        got = (tmp_path / "out.jsonl").read_text()
        assert got == "".join(lines[i] for i in kept) if kept is not None else got in lines
        dropped = (tmp_path / "out.jsonl.dropped.jsonl").read_text().splitlines()
        assert len(dropped) + got.count("\n") == 3 and all(json.loads(line)["reason"] for line in dropped)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("shuffle",), "the command is 'shuffle'; it is one of dedupe"),
        (("decontaminate",), "--against is empty"),
        (("stratify",), "0 rows are to stay"),
        (("quality", "--file=/nowhere.jsonl"), "/nowhere.jsonl"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(tmp_path: Path, argv: tuple[str, ...], said: str):
    (tmp_path / "in.jsonl").write_text('{"id": "a", "question": "x"}\n')
    done = command(f"--file={tmp_path}/in.jsonl", f"--out={tmp_path}/out.jsonl", *argv)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out.jsonl").exists()
