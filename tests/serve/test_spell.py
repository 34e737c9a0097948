"""Text that may be shown: the same in whatever rounds its tokens come, never a piece of a stop string or character."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2jax.serve import spell
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from tests.text.fixtures import tiny_tokenizers
from tests.train import tiny_run

SAID = "naïve 心臓 🫀 for three days. Take 500 mg"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(tiny_run.write_model(tmp_path_factory.mktemp("model")))


def test_a_character_whose_bytes_span_tokens_is_shown_whole_or_not_at_all(tokenizer: Tokenizer):
    tokens = tokenizer.encode(SAID)
    assert len(tokens) > len(SAID) / 2  # the vocabulary has none of these characters
    shown = [spell.cut(tokenizer, tokens[:n], (), False).text for n in range(len(tokens) + 1)]
    assert all(SAID.startswith(text) for text in shown) and shown[-1] == SAID
    invalid = tokenizer.encode("a")[:1] + tokenizer.encode("心")[:2]
    assert (
        spell.cut(tokenizer, invalid, (), True).text == "a\ufffd"
        and spell.cut(tokenizer, invalid, (), False).text == "a"
    )


def test_a_text_that_follows_a_prompt_keeps_its_first_space(tmp_path: Path):
    (tmp_path / "tokenizer.model").write_bytes(tiny_tokenizers.train_sentencepiece())
    tokenizer = load_tokenizer(tmp_path / "tokenizer.model")
    tokens = tokenizer.encode("three days")
    assert tokenizer.decode(tokens) == "three days" and spell.cut(tokenizer, tokens, (), True).text == " three days"
    assert spell.cut(tokenizer, tokens, (" thr",), False).text == ""


def test_a_stop_string_that_spans_tokens_is_never_shown(tokenizer: Tokenizer):
    tokens = tokenizer.encode(SAID)
    for stop in ("臓 🫀 for", "days. T", "0 m", "g"):
        ends = [n for n in range(len(tokens) + 1) if stop in tokenizer.decode(tokens[:n])]
        cut = spell.cut(tokenizer, tokens, (stop, "never"), True)
        assert cut == spell.Cut(SAID[: SAID.index(stop)], ends[0], True)
        growing = [spell.cut(tokenizer, tokens[:n], (stop,), False).text for n in range(len(tokens) + 1)]
        assert all(cut.text.startswith(text) for text in growing)


def test_the_stop_string_that_is_complete_first_counts(tokenizer: Tokenizer):
    tokens = tokenizer.encode("abcdef")
    assert len(tokens) > 4
    assert spell.cut(tokenizer, tokens, ("bcdef", "cd"), True).text == "ab"


@given(st.data())
def test_rounds_do_not_enter_into_a_text(tokenizer: Tokenizer, data: st.DataObject):
    tokens = data.draw(st.lists(st.integers(0, 431), max_size=24))
    stops = data.draw(st.lists(st.text(alphabet="abes \n", min_size=1, max_size=3), max_size=2))
    final = spell.cut(tokenizer, tokens, stops, True)
    shown = ""
    for n in range(len(tokens)):
        cut = spell.cut(tokenizer, tokens[:n], stops, False)
        assert cut.text.startswith(shown)
        shown = cut.text
        if cut.stopped:
            assert cut == final  # what comes after it changes nothing
    assert final.text.startswith(shown) and not any(stop in final.text for stop in stops)


def test_tokens_begin_where_their_text_does(tokenizer: Tokenizer):
    tokens = tokenizer.encode(SAID)
    pieces = spell.pieces_of(tokenizer, tiny_run.VOCAB)
    assert b"".join(pieces[t] for t in tokens).decode() == SAID
    starts = spell.offsets(pieces, frozenset(), tokens)
    for i, start in enumerate(starts):
        whole = tokenizer.decode(tokens[:i]).rstrip(spell.UNKNOWN)
        assert SAID[:start] == whole
