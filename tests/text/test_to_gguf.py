"""A tokenizer written to a GGUF file and read again gives the same ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from tokenizers import Regex, pre_tokenizers

from m2jax.text.from_gguf import vocabulary_of
from m2jax.text.to_gguf import gguf_metadata
from m2jax.text.tokenizer import Tokenizer, load_tokenizer, tokenizer_of
from tests.text.fixtures import tiny_tokenizers as tiny

ROWS = 410  # eight more than there are tokens


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Tokenizer]:
    """A folder's tokenizer, and the one of its GGUF metadata."""
    folder = tiny.write_folder(tmp_path_factory.mktemp("bpe"), tiny.train_bpe())
    return load_tokenizer(folder), tokenizer_of(vocabulary_of(gguf_metadata(folder, ROWS), folder), folder)


@settings(max_examples=50, deadline=None)
@given(text=tiny.nasty_text)
def test_any_text_gets_the_same_ids(pair: tuple[Tokenizer, Tokenizer], text: str) -> None:
    assert pair[0].encode(text) == pair[1].encode(text)


def test_what_is_declared_comes_along(pair: tuple[Tokenizer, Tokenizer]) -> None:
    before, after = pair
    for field in ("bos_id", "eos_ids", "pad_id", "controls", "chat_template"):
        assert getattr(before, field) == getattr(after, field), field
    assert after.vocab_size == ROWS and after.decode([ROWS - 1]) == "\ufffd"


def test_the_way_text_is_cut_is_found_by_trying(tmp_path: Path) -> None:
    tokenizer = tiny.train_bpe()
    assert gguf_metadata(tiny.write_folder(tmp_path / "digits", tokenizer), ROWS)["tokenizer.ggml.pre"] == "smollm"
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert gguf_metadata(tiny.write_folder(tmp_path / "gpt", tokenizer), ROWS)["tokenizer.ggml.pre"] == "gpt-2"
    odd = pre_tokenizers.Split(Regex("[aeiou]"), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([odd, to_bytes])
    with pytest.raises(ValueError, match="odd cuts text in none of the ways"):
        gguf_metadata(tiny.write_folder(tmp_path / "odd", tokenizer), ROWS)


def test_a_gguf_file_gives_its_own(tmp_path: Path) -> None:
    file = tiny.write_sentencepiece_gguf(tmp_path / "a.gguf", tiny.train_sentencepiece(), precompiled_charsmap=[7, 200])
    metadata = gguf_metadata(file, 0)
    assert metadata["tokenizer.ggml.model"] == "llama" and metadata["tokenizer.chat_template"] == tiny.TEMPLATE
    assert metadata["tokenizer.ggml.precompiled_charsmap"] == bytes([7, 200])
    assert not [key for key in metadata if not key.startswith("tokenizer.")]


def test_what_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(tiny.train_sentencepiece())
    with pytest.raises(ValueError, match="no byte-level BPE"):
        gguf_metadata(tmp_path, 340)
    folder = tiny.write_folder(tmp_path / "bpe", tiny.train_bpe())
    with pytest.raises(ValueError, match=r"token id \d+, but the model's embedding 300 rows"):
        gguf_metadata(folder, 300)
