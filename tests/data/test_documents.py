"""Documents: what counts in which kind, cutting, every bad line by its number, and those made by seed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from m2jax.data import corpus, documents
from m2jax.data.documents import KINDS, Document, Part, load_documents, parse_document, split_documents
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from tests.train import tiny_run


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(tiny_run.write_model(tmp_path_factory.mktemp("tiny") / "model"))


CASE = (Part("A man has a cough."), Part("Is it dry?", note=True), Part("It is dry."), Part("No fever.", note=True))


def line(name: str, kind: str = "knowledge", **more: object) -> str:
    return json.dumps({"id": name, "kind": kind, **(more or {"text": "A cough is common."})})


def test_of_reasoning_the_notes_alone_count(tokenizer: Tokenizer):
    tokens, counted = documents.lay_out(tokenizer, Document("r", "reasoning", CASE))
    said = tokenizer.decode(tokens.tolist(), skip_controls=True)
    assert said == "A man has a cough.\n<think>Is it dry?</think>\nIt is dry.\n<think>No fever.</think>"
    assert tokenizer.decode(tokens[counted].tolist()) == "<think>Is it dry?</think>\n<think>No fever.</think>"
    assert tokens[-1] == tokenizer.eos_ids[0] and not counted[-1]


@pytest.mark.parametrize("kind", ["knowledge", "general", "mathematics"])
def test_of_the_others_every_token_counts_and_the_first_is_context(tokenizer: Tokenizer, kind: str):
    document = Document("k", kind, (Part("A dry cough is common. It passes."),))
    (segment,) = documents.segments(tokenizer, [document], 64)
    assert segment.at.tolist() == list(range(len(segment.tokens) - 1))
    np.testing.assert_array_equal(segment.targets, segment.tokens[1:])
    assert tokenizer.decode(segment.tokens.tolist()) == document.parts[0].text


def test_what_is_too_long_is_cut_and_pieces_without_a_target_are_left_out(tokenizer: Tokenizer):
    case = Document("r", "reasoning", CASE)
    text = Document("k", "knowledge", (Part("one two three four five six seven"),))
    tokens, counted = documents.lay_out(tokenizer, case)
    made = documents.segments(tokenizer, [text, case], 8)
    assert max(len(s.tokens) for s in made) == 8 and all(len(s.at) for s in made)
    whole = np.concatenate([s.tokens for s in made if s.owners[0] == 0])
    np.testing.assert_array_equal(whole, documents.lay_out(tokenizer, text)[0][: len(whole)])
    own = [s for s in made if s.owners[0] == 1]
    within = np.arange(len(tokens)) % 8 > 0  # a piece's first token is predicted by nothing
    np.testing.assert_array_equal(np.concatenate([s.targets for s in own]), tokens[counted & within])
    assert all((s.targets == s.tokens[s.at + 1]).all() and (s.positions == np.arange(len(s.tokens))).all() for s in own)


def test_a_file_gives_its_documents(tmp_path: Path):
    file = tmp_path / "documents.jsonl"
    parts = [{"text": part.text} if not part.note else {"note": part.text} for part in CASE]
    file.write_text("\n".join([line("a"), "", line("b", "reasoning", split="heldout", parts=parts)]))
    a, b = load_documents(file)
    assert a == Document("a", "knowledge", (Part("A cough is common."),), "train")
    assert b == Document("b", "reasoning", CASE, "heldout")
    assert split_documents([a, b], "here") == ([a], [b])
    with pytest.raises(ValueError, match="here has no document with split 'heldout'"):
        split_documents([a], "here")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting"),
        ("[]", r"document is \[\]"),
        (line("a"), "id 'a' is also used on line 1"),
        (line("c", text="x", note="y"), r"unknown keys \['note'\]"),
        ('{"id": "c", "text": "x"}', r"lacks the keys \['kind'\]"),
        (line("c", "poetry"), "kind is 'poetry'; write one of knowledge, reasoning, general, mathematics"),
        (line("c", text="x", split="test"), "split is 'test'"),
        (line(" "), "id is ' '"),
        (line("c", text=" "), "text is ' '"),
        (line("c", text=3), "text is 3"),
        (line("c", split="train"), "either 'text' or 'parts'"),
        (line("c", text="x", parts=[{"text": "y"}]), "either 'text' or 'parts'"),
        (line("c", parts=[]), r"parts is \[\]"),
        (line("c", "reasoning", text="x"), "has no note"),
        (line("c", "general", parts=[{"text": "x"}, {"note": "y"}]), "a document of general has notes"),
        (line("c", "reasoning", parts=[{"note": "x"}, {"note": ""}]), r"parts\[1\] note is ''"),
        (line("c", "reasoning", parts=[{"note": "x", "text": "y"}]), r"parts\[0\] is .*give either 'text' or 'note'"),
        (line("c", "reasoning", parts=["x"]), r"parts\[0\] is 'x'"),
        (line("c", "reasoning", parts=[{"thought": "x"}]), r"parts\[0\] has unknown keys \['thought'\]"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, said: str):
    file = tmp_path / "documents.jsonl"
    file.write_text(f"{line('a')}\n\n{text}\n")
    with pytest.raises(ValueError, match=rf"documents.jsonl:3: .*{said}"):
        load_documents(file)


def test_made_documents_come_from_the_seed_and_have_both_splits_of_every_kind():
    made = corpus.make_documents(3, 2, seed=5)
    assert made == corpus.make_documents(3, 2, seed=5) != corpus.make_documents(3, 2, seed=6)
    assert len({document.id for document in made}) == len(made)
    for side, n in zip(split_documents(made, "made"), (3, 2), strict=True):
        for kind in KINDS:
            own = [document for document in side if document.kind == kind]
            assert len(own) == n * corpus.FOR_EACH[kind]
    for document in made:  # they are what a file could hold
        parts = [{"note" if part.note else "text": part.text} for part in document.parts]
        raw = {"id": document.id, "kind": document.kind, "split": document.split, "parts": parts}
        assert parse_document(raw) == document
        assert not any("{" in part.text or "}" in part.text for part in document.parts)
    with pytest.raises(ValueError, match="config.data.train 0"):
        corpus.make_documents(0, 1, 0)


def test_the_general_and_mathematical_documents_held_out_are_of_other_templates():
    prose = corpus._prose()
    assert not set(prose["train"]) & set(prose["heldout"])
    assert not set(corpus.PROBLEMS["train"]) & set(corpus.PROBLEMS["heldout"])


@pytest.mark.parametrize("maker", [maker for makers in corpus.PROBLEMS.values() for maker in makers])
def test_what_a_problem_adds_up_to_is_right(maker: Callable):
    """Every `a + b = c`, `a - b = c` and `a times b = c` in a problem holds."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        text = maker(lambda low, high: int(rng.integers(low, high + 1)))
        for a, sign, b, c in re.findall(
            r"(?<![\d/)+-] )(?<![\d/(-])(-?\d+) (\+|-|times) (-?\d+) = (-?\d+)(?![\d/x])", text
        ):
            value = {"+": int(a) + int(b), "-": int(a) - int(b), "times": int(a) * int(b)}[sign]
            assert value == int(c), text
