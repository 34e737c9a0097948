"""Byte-level and byte-fallback BPE of plain text, by the `tokenizers` library; no control token can come out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

Offsets = list[tuple[int, int]]


@dataclass(frozen=True)
class Bpe:
    """Made by `plain_bpe`."""

    source: dict[str, Any]  # the whole tokenizer.json, controls included: what save writes
    plain: tokenizers.Tokenizer
    inner: tokenizers.Tokenizer  # the same for a stretch that does not start the sequence
    ids: frozenset[int]
    missing: re.Pattern[str]

    def encode(self, text: str, at_start: bool) -> tuple[list[int], Offsets]:
        encoding = (self.plain if at_start else self.inner).encode(
            self.missing.sub("\ufffd", text), add_special_tokens=False
        )
        return encoding.ids, encoding.offsets

    def decode(self, ids: list[int]) -> str:
        return self.plain.decode(ids, skip_special_tokens=False)

    def knows(self, token: int) -> bool:
        return token in self.ids

    def save(self, folder: Path) -> dict[str, Any]:
        """Writes tokenizer.json and returns what tokenizer_config.json has to say of it."""
        text = json.dumps(self.source, ensure_ascii=False)
        (folder / "tokenizer.json").write_text(text, encoding="utf-8")
        return {"tokenizer_class": "PreTrainedTokenizerFast"}


def plain_bpe(source: dict[str, Any], vocab: dict[str, int], path: Path) -> Bpe:
    """The BPE of the tokenizer.json content `source`, cut to the tokens `vocab` (text -> id) that text may become.

    ValueError, which names `path`, where they do not spell every character that ordinary text has.
    """
    model, added = source["model"], source.get("added_tokens") or []
    gone = (model["vocab"].keys() | {token["content"] for token in added}) - vocab.keys()
    merges = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    merges = [(a, b) for a, b in merges if not (a in gone or b in gone or a + b in gone)]
    plain = source | {
        "model": model | {"vocab": vocab, "merges": merges, "unk_token": None, "dropout": None},
        "added_tokens": [token for token in added if token["content"] in vocab],
        "post_processor": None,  # it would add bos, and trim spaces off the offsets
        "truncation": None,
        "padding": None,
    }
    start = tokenizers.Tokenizer.from_str(json.dumps(plain))
    spaces = plain.get("pre_tokenizer") or {}
    inner = start
    if spaces.get("type") == "Metaspace" and spaces.get("prepend_scheme") == "first":
        plain["pre_tokenizer"] = spaces | {"prepend_scheme": "never"}
        inner = tokenizers.Tokenizer.from_str(json.dumps(plain))
    return Bpe(source, start, inner, frozenset(vocab.values()), _missing_bytes(plain, vocab, path))


def byte_characters() -> list[str]:
    """GPT-2's printable stand-in for each byte: itself if printable in Latin-1, else the next of U+0100.."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def _missing_bytes(source: dict[str, Any], vocab: dict[str, int], path: Path) -> re.Pattern[str]:
    """The characters that the byte pieces of the vocabulary cannot spell, and lone surrogates."""
    names = byte_characters() if '"ByteLevel"' in json.dumps(source["pre_tokenizer"]) else None
    if names is None and source["model"].get("byte_fallback"):
        names = [f"<0x{byte:02X}>" for byte in range(256)]
    missing = {byte for byte in range(256) if names is None or names[byte] not in vocab}
    needed = {*range(0x20, 0x7F), *range(0x80, 0xC0), 0xEF}
    if missing & needed:
        raise ValueError(
            f"{path}: the vocabulary has no piece for the bytes {sorted(missing & needed)[:4]}..., so text "
            "would be lost: use a byte-level or byte-fallback vocabulary"
        )
    ranges = ["\ud800-\udfff"]
    for byte in missing & {*range(0x80), *range(0xC2, 0xF5)}:
        bits = 0 if byte < 0x80 else 6 if byte < 0xE0 else 12 if byte < 0xF0 else 18
        first = byte if byte < 0x80 else (byte & (0x1F, 0x0F, 0x07)[bits // 6 - 1]) << bits
        ranges.append(f"{re.escape(chr(first))}-{re.escape(chr(min(first + (1 << bits) - 1, 0x10FFFF)))}")
    return re.compile(f"[{''.join(ranges)}]")
