"""Rephrasing and notes: which rewritten texts are dropped and why, where notes stand, and the command for both."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from m2jax.data import documents
from m2jax.data.corpus import make_documents
from m2jax.data.documents import Document, Part, load_documents, parse_document
from m2jax.data.tools.faithful import sentences, unfaithful
from m2jax.data.tools.notes import GAP, KINDS, annotate, spots, unsound
from m2jax.data.tools.rephrase import clean, passages, rephrase
from m2jax.outside.endpoint import Said
from tests.conftest import REPOSITORY
from tests.outside.fake_server import last, serving

SOURCE = (
    "Gout is arthritis from urate crystals. It often begins at night in the big toe, which is red, hot and very "
    "tender. There is usually no fever. Naproxen 500 mg twice daily for 5 days may help; aspirin should be avoided. "
    "Allopurinol is started some weeks after the attack, never during it. Of 1,000 men about 25 have it."
)
GOOD = (
    "Gout is arthritis that comes from urate crystals. It often begins at night, in the big toe. The toe is red, hot "
    "and very tender; usually there is no fever. Naproxen 500 mg twice daily for five days may help, while aspirin "
    "should be avoided. Allopurinol is started some weeks after the attack, and never during it. "
    "About 25 of 1000 men have it."
)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        SOURCE,
        GOOD.replace("Gout is", "What it is: gout is"),
        GOOD.replace("big toe", "largest toe").replace("very tender", "extremely tender"),
        "Overview:\n" + GOOD,
        GOOD.replace("500 mg", "500 milligrams"),
    ],
)
def test_what_only_says_it_better_stays(text: str):
    assert unfaithful(SOURCE, text) == ""


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("500 mg", "250 mg", "new number: 250"),
        ("five days", "5 weeks", "new number: 5 week"),
        ("500 mg", "500 g", "new number: 500 g"),
        ("About 25", "About 35", "new number: 35"),
        ("About 25 of 1000", "About 25% of 1000", "new number: 25 %"),
        ("Naproxen", "Indomethacin or naproxen", "new drug"),
        ("Naproxen", "Colchicine", "new drug: colchicine"),
        ("aspirin should", "ibuprofen should", "new drug: ibuprofen"),
        ("may help,", "may help, or take zolfamid for pain,", "new drug: zolfamid"),
        ("in the big toe", "in the big toe or the knee", "new claim: knee"),
        ("Gout is arthritis", "Gout is a hereditary arthritis", "new claim: hereditary"),
        ("red, hot", "red, hot, itchy", "new claim: itchy"),
        ("in the big toe", "in the left big toe", "new claim: left"),
        ("have it.", "have it. Purine-rich meals and beer provoke attacks.", "new claim: Purine-rich"),
        ("have it.", "have it. It is contagious.", "new claim"),
        ("there is no fever", "there is a fever", "negation changed: fever"),
        ("aspirin should be avoided", "aspirin does not need to be avoided", "negation changed"),
        ("may help", "will always help", "stronger: always"),
        ("have it.", "have it. <think>", "control token"),
        ("have it.", "have it. And so it", "cut off"),
    ],
)
def test_what_adds_or_turns_something_is_dropped_with_its_reason(old: str, new: str, reason: str):
    assert old in GOOD and unfaithful(SOURCE, GOOD.replace(old, new)).startswith(reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "empty"), ("Gout is arthritis.", "too short"), (f"{GOOD} {GOOD}", "too long"),
     ("Gout is arthritis. " * 12, "too little kept")],
)  # fmt: skip
def test_what_is_too_short_or_too_long_is_dropped(text: str, reason: str):
    assert unfaithful(SOURCE, text) == reason


def test_the_clinics_texts_stand_for_themselves_in_any_order_and_not_for_each_other():
    texts = [d.parts[0].text for d in make_documents(24, 1, 0) if d.kind == "knowledge"]
    for i, text in enumerate(texts):
        lines = [line.rstrip(";:.") + "." for line in sentences(text)]
        random.Random(i).shuffle(lines)
        assert unfaithful(text, text) == "" and unfaithful(text, " ".join(lines)) == ""
    other = [unfaithful(a, b) for a, b in zip(texts, texts[1:], strict=False)]
    assert all(other[i] for i in range(len(other)) if texts[i][:20] != texts[i + 1][:20])


# ---- The tools


def play(dialogue, *answers: str):
    """(what the dialogue returns, its prompts)."""
    asked, given = [], iter(answers)
    request = next(dialogue)
    while True:
        asked.append(request.messages[0]["content"])
        try:
            request = dialogue.send(Said(next(given)))
        except StopIteration as end:
            return end.value, asked


def knowledge(text: str, name: str = "k") -> Document:
    return Document(name, "knowledge", (Part(text),))


def test_a_passage_is_asked_for_again_and_then_left_out():
    row, asked = play(
        rephrase(knowledge(SOURCE), None, "start"), GOOD.replace("500", "250"), f"Rewritten text:\n{GOOD}"
    )
    assert parse_document(row["document"]) == knowledge(GOOD) and len(asked) == 2 and SOURCE in asked[0]
    row, asked = play(rephrase(knowledge(SOURCE), None, "start"), "", GOOD.replace("Naproxen", "Colchicine"))
    assert row == {"document": None, "reason": "new drug: colchicine"}


@pytest.mark.parametrize(
    ("text", "kept"),
    [("<think>hm</think>\nIt is.", "It is."), ('"It is."', "It is."), ("**Thought:** It is.", "It is."),
     ("```\nIt is.\n```", "It is."), ('"It" is "so"', '"It" is "so"')],
)  # fmt: skip
def test_what_a_model_puts_around_its_text_goes(text: str, kept: str):
    assert clean(text) == kept


def test_long_documents_are_cut_at_paragraphs_and_sentences():
    long = Document("a", "knowledge", (Part("\n\n".join([SOURCE] * 3)),), "heldout")
    made = passages([long, knowledge("Short."), Document("g", "general", (Part("Prose."),))], words=100)
    assert [d.id for d in made] == ["a/1", "a/2", "a/3", "k"] and {d.split for d in made[:3]} == {"heldout"}
    assert {d.parts[0].text for d in made[:3]} == {SOURCE}
    short = passages([knowledge(SOURCE)], words=20)
    assert " ".join(d.parts[0].text for d in short) == SOURCE and len(short) > 2


def test_notes_stand_at_dense_spots_apart_from_each_other():
    lines = sentences(SOURCE)
    chosen = spots(lines, 3)
    assert len(chosen) == 3 and all(b - a >= GAP for a, b in zip(chosen, chosen[1:], strict=False))
    filler = [*["It is so. That is it."] * 3, "Naproxen 500 mg relieves gouty arthritis.", "Well."]
    assert spots(filler, 1) == [3] and spots(["It is."], 4) == []


def test_a_text_with_notes_is_a_document_of_reasoning_that_is_learned_at_the_notes():
    note = "The crystals form where it is cold, which would explain the toe."
    bad = "I would give 40 mg of prednisolone in its place, since it works as well."
    row, asked = play(annotate(knowledge(SOURCE), 3, None, "start"), note, bad, f"Thought: {note}")
    made = parse_document(row["document"])
    assert (made.kind, made.id, row["dropped"]) == ("reasoning", "k/notes", {"new dose": 1})
    assert [part.note for part in made.parts] in ([False, True] * 2, [False, True, False, True, False])
    assert " ".join(p.text for p in made.parts if not p.note) == SOURCE
    assert {p.text for p in made.parts if p.note} == {note}
    assert KINDS["association"] in asked[0] and KINDS["deduction"] in asked[-1]
    assert all(SOURCE[:40] in prompt and GOOD not in prompt for prompt in asked)
    assert documents.to_json(made) == row["document"]


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        ("", "empty"),
        ("So it is.", "too short"),
        ("This fits well with what stands before it and", "cut off"),
        ("It often begins at night in the big toe, which is red.", "copies the text"),
        ("This is why one gives 40 mg of it, and not less.", "new dose: 40 mg"),
        ("This is why 500 mg of it are a high dose already.", ""),
        ("A patient of 60 with a red toe is a typical case.", ""),
        ("word " * 95 + ".", "too long"),
    ],
)
def test_which_notes_are_sound(note: str, reason: str):
    assert unsound(note, SOURCE) == reason


# ---- The command


def command(tool: str, url: str, tmp_path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "launch/corpus.py", tool, f"--file={tmp_path}/docs.jsonl", f"--out={tmp_path}/{tool}.jsonl"]
    argv += [f"--endpoint={url}", "--model=m", "--slots=1", *more]
    where = {"M2JAX_CACHE": str(tmp_path / "cache"), "NO_PROXY": "127.0.0.1", "JAX_PLATFORMS": "cpu"}
    return subprocess.run(argv, cwd=REPOSITORY, env=os.environ | where, capture_output=True, text=True, check=False)


def test_the_command_reports_what_it_left_out_and_goes_on_after_the_endpoint_died(tmp_path: Path):
    docs = [knowledge(SOURCE, "a"), knowledge(SOURCE, "b"), Document("g", "general", (Part("Prose."),))]
    rows = [json.dumps(documents.to_json(d)) + "\n" for d in docs]
    (tmp_path / "docs.jsonl").write_text("".join(rows))
    alive, asked = [], []

    def behave(n: int, body: dict) -> dict | str:
        asked.append(last(body))
        if len(asked) == 3 and not alive:
            return {"status": 402, "body": b"no credit"}
        return GOOD if len(asked) == 1 else GOOD.replace("500", "250")

    with serving(behave) as server:
        died = command("rephrase", server.url, tmp_path)
        assert died.returncode == 1 and "no credit" in died.stderr and "Traceback" not in died.stderr
        alive.append(True)
        done = command("rephrase", server.url, tmp_path)
        assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert "1 documents left out: new number" in done.stdout and "1 of 2 made, 1 of other kinds" in done.stdout
    assert [d.kind for d in load_documents(tmp_path / "rephrase.jsonl")] == ["knowledge", "general"]
    (gone,) = [json.loads(line) for line in (tmp_path / "rephrase.jsonl.dropped.jsonl").read_text().splitlines()]
    assert gone["id"] in "ab" and gone["reason"] == "new number: 250"
