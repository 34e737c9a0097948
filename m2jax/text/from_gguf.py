"""A vocabulary from a GGUF file's metadata: `tokenizer.ggml.model` gpt2 (byte-level BPE) or llama (sentencepiece)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from m2jax.gguf_file import read_gguf
from m2jax.text.from_sentencepiece import sentencepiece_json
from m2jax.text.vocabulary import NORMAL, UNUSED, Declared, Vocabulary, tokenizer_json

_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_CASELESS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# How tokenizer.ggml.pre cuts text before merging: the patterns of llama.cpp, src/llama-vocab.cpp, in turn.
PRE = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _WORDS, r"\p{N}+", "[0-9][0-9][0-9]"),
    "llama-bpe": (_CASELESS % "{1,3}",),
    "qwen2": (_CASELESS % "",),
    **dict.fromkeys(("gpt-2", "phi-2"), (_WORDS,)),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell"), (r"\p{N}", _WORDS)),
}
PRE |= {"llama3": PRE["llama-bpe"], "llama-v3": PRE["llama-bpe"], "deepseek-r1-qwen": PRE["qwen2"]}


def read_gguf_vocabulary(path: Path) -> Vocabulary:
    """Of the file's metadata alone. ValueError names what is missing, out of range or not supported."""
    return vocabulary_of(read_gguf(path)[0], path)


def vocabulary_of(metadata: dict[str, Any], path: Path) -> Vocabulary:
    """Of GGUF metadata, which `path` is named with in a ValueError."""
    ggml = {key.removeprefix("tokenizer.ggml."): value for key, value in metadata.items()}
    kind = _check(ggml, path)
    tokens = ggml["tokens"]
    types = ggml.get("token_type") or [NORMAL] * len(tokens)
    if kind == "llama":
        pieces = list(zip(tokens, ggml["scores"], types, strict=True))
        charsmap = bytes(value % 256 for value in ggml.get("precompiled_charsmap", []))
        source = sentencepiece_json(
            pieces, ggml.get("add_space_prefix", True), ggml.get("remove_extra_whitespaces", False), charsmap
        )
    else:
        source = _byte_level_json(tokens, types, ggml["merges"], ggml.get("pre", "default"), path)
    bos = ggml.get("bos_token_id")
    if bos is not None and ggml.get("add_bos_token", kind == "llama"):
        source["post_processor"] = _prepend_bos(tokens[bos], bos)
    eos = (ggml.get(f"{name}_token_id") for name in ("eos", "eot", "eom"))
    declared = Declared(
        bos=bos,
        eos=tuple(i for i in eos if i is not None),
        pad=ggml.get("padding_token_id"),
        template=metadata.get("tokenizer.chat_template"),
    )
    return Vocabulary(source, declared, frozenset(i for i, kind in enumerate(types) if kind == UNUSED))


def _check(ggml: dict[str, Any], path: Path) -> str:
    """The kind of vocabulary, what it needs being there."""
    kind = ggml.get("model")
    if kind not in ("gpt2", "llama"):
        raise ValueError(f"{path}: tokenizer.ggml.model is {kind!r}; only gpt2 and llama are supported")
    for name in ("tokens", "merges" if kind == "gpt2" else "scores"):
        if name not in ggml:
            raise ValueError(f"{path} has no tokenizer.ggml.{name}: give the model's tokenizer.json instead")
    for name in ("bos", "eos", "eot", "eom", "padding"):
        if not 0 <= ggml.get(f"{name}_token_id", 0) < len(ggml["tokens"]):
            raise ValueError(f"{path}: {name}_token_id {ggml[f'{name}_token_id']} is outside the vocabulary")
    return kind


def _byte_level_json(tokens: list[str], types: list[int], merges: list[str], pre: str, path: Path) -> dict[str, Any]:
    if pre not in PRE:
        raise ValueError(
            f"{path}: unknown pre-tokenizer {pre!r}; known: {', '.join(sorted(PRE))}. "
            "Give the model's tokenizer.json instead"
        )
    cuts = [{"type": "Split", "pattern": {"Regex": cut}, "behavior": "Isolated", "invert": False} for cut in PRE[pre]]
    to_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    model = {
        "unk_token": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": PRE[pre] == PRE["llama-bpe"],
        "vocab": {text: i for i, text in enumerate(tokens)},
        "merges": [tuple(merge.split(" ", 1)) for merge in merges],
    }
    return tokenizer_json(
        model,
        zip(range(len(tokens)), tokens, types, strict=True),
        # Qwen2's own tokenizer.json normalises to NFC; GGUF has no field for it.
        normalizer={"type": "NFC"} if PRE[pre] == PRE["qwen2"] else None,
        pre_tokenizer={"type": "Sequence", "pretokenizers": [*cuts, to_bytes]},
        decoder=to_bytes,
    )


def _prepend_bos(text: str, token: int) -> dict[str, Any]:
    """A post-processor that puts bos first, for those who open the saved file and ask for special tokens."""
    bos = {"SpecialToken": {"id": text, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [bos, first],
        "pair": [bos, first, bos, second],
        "special_tokens": {text: {"id": text, "ids": [token], "tokens": [text]}},
    }
