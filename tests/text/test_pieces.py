"""Tokens as pieces of text: nothing is lost, and what is one character is whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from m2jax.text.pieces import pieces
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from tests.text.fixtures import tiny_tokenizers as tiny


@pytest.fixture(scope="module", params=["bpe", "sentencepiece"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder: Path = tmp_path_factory.mktemp(request.param)
    if request.param == "bpe":
        return load_tokenizer(tiny.write_folder(folder, tiny.train_bpe()))
    (folder / "tokenizer.model").write_bytes(tiny.train_sentencepiece())
    return load_tokenizer(folder)


@given(tiny.nasty_text)
def test_joined_they_are_the_text(tokenizer: Tokenizer, text: str):
    ids = [*tokenizer.encode(text), tokenizer.eos_ids[0]]
    found = pieces(tokenizer, ids)
    assert len(found) == len(ids) and "".join(found) == tokenizer.decode(ids, skip_controls=False)


def test_a_character_of_several_tokens_comes_whole(tokenizer: Tokenizer):
    ids = tokenizer.encode("37 °C, 咳嗽")
    found = pieces(tokenizer, ids)
    assert len(ids) > len("37 °C, 咳嗽") - 2 and not any("\ufffd" in piece for piece in found)
    assert {"咳", "嗽"} <= set("".join(found)) and pieces(tokenizer, []) == []
