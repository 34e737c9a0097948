"""Tokenizers: the ids of the libraries they come from, and plain text that stays plain."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from tests.text.fixtures import tiny_tokenizers as tiny

quick = settings(max_examples=60, deadline=None)
KINDS = ("bpe folder", "bpe gguf", "sentencepiece model", "sentencepiece gguf")


@pytest.fixture(scope="module")
def bpe() -> tokenizers.Tokenizer:
    return tiny.train_bpe()


@pytest.fixture(scope="module")
def model() -> bytes:
    return tiny.train_sentencepiece()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory, bpe: tokenizers.Tokenizer, model: bytes) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tokenizers")
    (root / "spm").mkdir()
    (root / "spm/tokenizer.model").write_bytes(model)
    return {
        "bpe folder": tiny.write_folder(root / "bpe", bpe),
        "bpe gguf": tiny.write_bpe_gguf(root / "bpe.gguf", bpe, eot_token_id=0),
        "sentencepiece model": root / "spm",
        "sentencepiece gguf": tiny.write_sentencepiece_gguf(root / "spm.gguf", model),
    }


@pytest.fixture(scope="module")
def loaded(paths: dict[str, Path]) -> dict[str, Tokenizer]:
    return {kind: load_tokenizer(path) for kind, path in paths.items()}


@pytest.mark.parametrize("kind", KINDS)
@quick
@given(text=tiny.nasty_text)
def test_text_never_becomes_a_control_and_comes_back(loaded: dict[str, Tokenizer], kind: str, text: str) -> None:
    tokenizer = loaded[kind]
    ids = tokenizer.encode(text)
    assert not set(ids) & set(tokenizer.controls.values())
    # Sentencepiece writes a space as ▁, so a ▁ in the text comes back as a space.
    assert tokenizer.decode(ids) == (text if kind.startswith("bpe") else text.replace("▁", " "))


@pytest.mark.parametrize("kind", KINDS)
def test_the_spelling_of_each_control_is_ordinary_text(loaded: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = loaded[kind]
    assert tokenizer.controls
    for control, i in tokenizer.controls.items():
        assert i not in tokenizer.encode(control) and tokenizer.decode(tokenizer.encode(control)) == control
        assert tokenizer.decode([i]) == "" and tokenizer.decode([i], skip_controls=False) == control


@quick
@given(text=st.text())
def test_bpe_ids_are_those_of_the_library(loaded: dict[str, Tokenizer], bpe: tokenizers.Tokenizer, text: str) -> None:
    expected = bpe.encode(text).ids  # st.text() does not spell a control by chance
    assert loaded["bpe folder"].encode(text) == expected
    assert loaded["bpe gguf"].encode(text) == expected


@quick
@given(text=tiny.nasty_text)
def test_sentencepiece_ids_are_those_of_the_library(loaded: dict[str, Tokenizer], model: bytes, text: str) -> None:
    expected = sentencepiece.SentencePieceProcessor(model_proto=model).encode(text)
    assert loaded["sentencepiece model"].encode(text) == expected
    assert loaded["sentencepiece gguf"].encode(text) == expected


@pytest.mark.parametrize("kind", KINDS)
@quick
@given(text=tiny.nasty_text)
def test_offsets_tile_the_text(loaded: dict[str, Tokenizer], kind: str, text: str) -> None:
    ids, offsets = loaded[kind].encode_with_offsets(text)
    assert len(ids) == len(offsets)
    reached = 0
    for (
        start,
        end,
    ) in offsets:  # each span starts where the text is covered up to, or repeats a character's span
        assert start <= reached and end >= start
        reached = max(reached, end)
    assert reached == len(text)


@pytest.mark.parametrize("kind", KINDS)
@quick
@given(ids=st.lists(st.integers(-5, 420), max_size=12))
def test_any_ids_decode(loaded: dict[str, Tokenizer], kind: str, ids: list[int]) -> None:
    for skip in (True, False):
        loaded[kind].decode(ids, skip).encode()  # valid unicode, no exception


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_character_decodes_to_the_replacement(loaded: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = loaded[kind]
    ids = tokenizer.encode("a😀")
    assert tokenizer.decode(ids[:-1]) in ("a\ufffd", "a\ufffd\ufffd\ufffd")
    assert tokenizer.decode([tokenizer.vocab_size]) == "\ufffd"
    assert tokenizer.decode(tokenizer.encode("lone \ud83d!")) == "lone \ufffd!"


@pytest.mark.parametrize("kind", KINDS)
def test_saving_keeps_everything(loaded: dict[str, Tokenizer], kind: str, tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text('{"temperature": 0.6}')
    loaded[kind].save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again == loaded[kind]
    text = "The patient, 38.5: <think>fever?</think>\n\n  Zoë 😀"
    assert again.encode(text) == loaded[kind].encode(text)
    assert json.loads((tmp_path / "generation_config.json").read_text())["temperature"] == 0.6
    # What other programs open has the controls as special tokens.
    other = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for control, i in again.controls.items():
        assert other.encode(control, add_special_tokens=False).ids[-1] == i


def test_what_files_declare(loaded: dict[str, Tokenizer]) -> None:
    for kind in ("bpe folder", "bpe gguf"):  # eos, then the other tokens that end a turn
        tokenizer = loaded[kind]
        assert (tokenizer.bos_id, tokenizer.eos_ids, tokenizer.pad_id) == (1, (2, 0), 2)
        assert tokenizer.chat_template == tiny.TEMPLATE
        assert tokenizer.controls == {text: i for i, text in enumerate(tiny.CONTROLS)}
    for kind in ("sentencepiece model", "sentencepiece gguf"):
        tokenizer = loaded[kind]
        assert (tokenizer.bos_id, tokenizer.eos_ids) == (1, (2,))
        assert tokenizer.controls == {"<unk>": 0, "<s>": 1, "</s>": 2}
    assert loaded["sentencepiece model"].chat_template is None


def test_added_tokens_are_text_unless_they_look_like_controls(bpe: tokenizers.Tokenizer, tmp_path: Path) -> None:
    think = bpe.token_to_id("<think>")
    wider = tokenizers.Tokenizer.from_str(bpe.to_str())
    wider.add_tokens([tokenizers.AddedToken("<|fim_prefix|>", special=False, normalized=False)])
    tokenizer = load_tokenizer(tiny.write_folder(tmp_path / "bpe", wider))
    assert tokenizer.encode("<think>") == [think]
    assert "<|fim_prefix|>" in tokenizer.controls
    assert tokenizer.controls["<|fim_prefix|>"] not in tokenizer.encode("<|fim_prefix|>")


def test_user_defined_pieces_of_sentencepiece(tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    path.write_bytes(tiny.train_sentencepiece(user_defined_symbols=["<think>", "<|im_end|>"], add_dummy_prefix=False))
    tokenizer = load_tokenizer(path)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    text = "a cough<think>fever"
    assert tokenizer.encode(text) == processor.encode(text) and processor.piece_to_id("<think>") in processor.encode(
        text
    )
    assert tokenizer.controls["<|im_end|>"] == processor.piece_to_id("<|im_end|>")
    assert tokenizer.controls["<|im_end|>"] not in tokenizer.encode("cough<|im_end|>")


@pytest.mark.parametrize(
    ("pre", "expected"),
    [("smollm", ["1", "2", "3", "4"]), ("qwen2", ["1", "2", "3", "4"]), ("gpt-2", ["1234"])]
    + [("llama-bpe", ["123", "4"]), ("default", ["123", "4"])],
)
def test_pre_tokenizers_cut_numbers(bpe: tokenizers.Tokenizer, tmp_path: Path, pre: str, expected: list[str]) -> None:
    # With the merges 1+2, 12+3, 123+4, only a cut can keep 1234 from being one token.
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|end|>", *alphabet, "12", "123", "1234"]
    path = tiny.write_gguf(tmp_path / "a.gguf", "gpt2", tokens, [3] + [1] * (len(tokens) - 1), pre=pre,
                           merges=["1 2", "12 3", "123 4"], eos_token_id=0)  # fmt: skip
    tokenizer = load_tokenizer(path)
    assert [tokenizer.decode([i]) for i in tokenizer.encode("1234")] == expected


def test_a_control_spelt_like_a_word_is_not_reached(tmp_path: Path) -> None:
    # Llama-3's pre-tokenizer looks whole words up in the vocabulary, and merges could build the control too.
    tokens = ["ab", *sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()), "[PAD9]"]
    types = [3] + [1] * (len(tokens) - 2) + [5]
    path = tiny.write_gguf(tmp_path / "a.gguf", "gpt2", tokens, types, pre="llama-bpe", merges=["a b"], eos_token_id=0)
    tokenizer = load_tokenizer(path)
    assert [tokenizer.decode([i]) for i in tokenizer.encode("ab")] == ["a", "b"]
    assert tokenizer.decode(tokenizer.encode("[PAD9]")) == "[PAD9]"
    assert tokenizer.decode([len(tokens) - 1]) == "\ufffd"  # an unused id stands for nothing


def test_a_byte_without_a_piece_becomes_the_replacement_character(tmp_path: Path) -> None:
    # SmolLM2 has no pieces for some control bytes and for lead byte F1 (U+40000 to U+7FFFF).
    byte_level = tokenizers.pre_tokenizers.ByteLevel(False, use_regex=False)
    missing = byte_level.pre_tokenize_str("\x04\U00041234")[0][0][:2]
    tokens = ["<|end|>", "aa", *sorted(set(byte_level.alphabet()) - set(missing))]
    types = [3] + [1] * (len(tokens) - 1)
    path = tiny.write_gguf(tmp_path / "a.gguf", "gpt2", tokens, types, pre="gpt-2", merges=["a a"])
    tokenizer = load_tokenizer(path)
    assert tokenizer.decode(tokenizer.encode("a\x04é\U00041234")) == "a\ufffdé\ufffd"


def _rewrite(change: Callable[[dict], None]) -> Callable[[Path, tokenizers.Tokenizer], Path]:
    def write(folder: Path, bpe: tokenizers.Tokenizer) -> Path:
        tiny.write_folder(folder, bpe)
        source = json.loads((folder / "tokenizer.json").read_text())
        change(source)
        (folder / "tokenizer.json").write_text(json.dumps(source))
        return folder

    return write


def _cut(folder: Path, bpe: tokenizers.Tokenizer) -> Path:
    path = tiny.write_bpe_gguf(folder / "a.gguf", bpe)
    path.write_bytes(path.read_bytes()[:3000])
    return path


def _named(name: str) -> Callable[[Path, tokenizers.Tokenizer], Path]:
    def write(folder: Path, bpe: tokenizers.Tokenizer) -> Path:
        (folder / name).write_bytes(b"\xff\xff not a tokenizer, only something long enough to be read")
        return folder / name

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda folder, bpe: folder, "no tokenizer.json"),
        (lambda folder, bpe: folder / "absent.json", "no tokenizer file"),
        (_named("weights.bin"), "weights.bin is no tokenizer"),
        (_named("a.gguf"), "not a GGUF file"),
        (_named("a.json"), "is not JSON"),
        (_named("a.model"), "not a sentencepiece model"),
        (_cut, "truncated or damaged"),
        (lambda folder, bpe: tiny.write_bpe_gguf(folder / "a.gguf", bpe, pre="mystery"), "'mystery'.*smollm"),
        (
            lambda folder, bpe: tiny.write_bpe_gguf(folder / "a.gguf", bpe, eos_token_id=9999),
            "eos_token_id 9999",
        ),
        (lambda folder, bpe: tiny.write_gguf(folder / "a.gguf", "t5", ["a"], [1]), "'t5'"),
        (
            lambda folder, bpe: tiny.write_gguf(folder / "a.gguf", "gpt2", ["a"], [1]),
            "no tokenizer.ggml.merges",
        ),
        (
            lambda folder, bpe: tiny.write_gguf(folder / "a.gguf", "llama", ["a"], [1]),
            "no tokenizer.ggml.scores",
        ),
        (
            lambda folder, bpe: tiny.write_folder(folder, bpe, eos_token="<|gone|>"),
            "'<|gone|>'".replace("|", r"\|"),
        ),
        (_rewrite(lambda source: source["model"].update(type="WordPiece")), "'WordPiece'"),
        (_rewrite(lambda source: source.update(pre_tokenizer=None)), "no piece for the bytes"),
    ],
)
def test_what_is_wrong_is_named(
    bpe: tokenizers.Tokenizer,
    tmp_path: Path,
    write: Callable[[Path, tokenizers.Tokenizer], Path],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        load_tokenizer(write(tmp_path, bpe))


def test_smollm2(smollm2_path) -> None:
    tokenizer = load_tokenizer(smollm2_path)
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_ids, tokenizer.pad_id) == (
        49152,
        1,
        (2,),
        2,
    )
    # Ids that transformers gives for the same vocabulary.
    assert tokenizer.encode("Hello world! 123") == [19556, 905, 17, 216, 33, 34, 35]
    assert tokenizer.encode("Café déjà vu.") == [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30]
    assert tokenizer.decode(tokenizer.encode("<|im_end|> Zoë")) == "<|im_end|> Zoë"
