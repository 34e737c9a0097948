"""Tokenizers behind one interface, whatever the file: GGUF, `tokenizer.json`, sentencepiece `.model`.

Conventions:
- `encode` reads plain text. A control token (whatever a file marks special, GGUF type 3, or an added token
  that looks like a control) is not in the vocabulary that text is encoded with, so no text can produce one;
  its spelling becomes ordinary pieces. Controls are placed by id, and only `m2jax.text.chat` does that.
- Added tokens that are not controls (`<think>`, runs of spaces) are ordinary text and keep their single id.
- Token ids are Python ints; offsets are character positions in the given text, end exclusive.
- A character that the vocabulary has no bytes for (and a lone surrogate) is encoded as U+FFFD.
"""

from __future__ import annotations

import base64
import json
import mmap
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import tokenizers
from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2

Offsets = list[tuple[int, int]]


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary and what its files declare about it. Made by `load_tokenizer`.

    vocab_size: number of ids, controls included.
    bos_id: first token of a sequence, or None.
    eos_ids: every token that ends a turn; the first is the declared eos.
    pad_id: the declared padding token, else the first of eos_ids, else 0.
    controls: control token text -> id.
    chat_template: the model's own Jinja template, or None.
    """

    vocab_size: int
    bos_id: int | None
    eos_ids: tuple[int, ...]
    pad_id: int
    controls: dict[str, int] = field(repr=False)
    chat_template: str | None = field(repr=False)
    backend: _Backend = field(repr=False, compare=False)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; never a control, and no bos or eos is added."""
        return self.encode_with_offsets(text)[0]

    def encode_with_offsets(self, text: str, at_start: bool = True) -> tuple[list[int], Offsets]:
        """As `encode`, with the (start, end) characters each id stands for.

        `at_start` is False for a stretch that follows other tokens: a vocabulary that marks only the first
        word of a sequence then leaves the mark out. Each byte of a character has the character's span.
        """
        return self.backend.encode(text, at_start) if text else ([], [])

    def decode(self, ids: Iterable[int], skip_controls: bool = True) -> str:
        """Text of any ids: bytes that are no UTF-8 and ids outside the vocabulary become U+FFFD.

        Controls are left out, or written as their text if `skip_controls` is False.
        """
        names = {} if skip_controls else {i: text for text, i in self.controls.items()}
        hidden = set(self.controls.values()) if skip_controls else set()
        kept = [int(i) for i in ids if int(i) not in hidden]
        parts = []
        for known, run in groupby(kept, self.backend.knows):
            tokens = list(run)
            parts += [self.backend.decode(tokens)] if known else [names.get(i, "\ufffd") for i in tokens]
        return "".join(parts)

    def save(self, folder: str | Path) -> None:
        """Write the files that `load_tokenizer` and `transformers.AutoTokenizer` open with the same ids.

        These are tokenizer.json or tokenizer.model, tokenizer_config.json, and the token ids in
        generation_config.json (its other keys, if it is there already, are kept).
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text_of = {i: text for text, i in self.controls.items()}
        config = {"clean_up_tokenization_spaces": False, **self.backend.save(folder)}
        named = {"bos": self.bos_id, "eos": next(iter(self.eos_ids), None), "pad": self.pad_id}
        config |= {f"{name}_token": text_of[i] for name, i in named.items() if i in text_of}
        if self.chat_template is not None:
            config["chat_template"] = self.chat_template
        generation = _read_json(folder / "generation_config.json")
        generation |= {
            "bos_token_id": self.bos_id,
            "eos_token_id": list(self.eos_ids),
            "pad_token_id": self.pad_id,
        }
        for name, content in (("tokenizer_config", config), ("generation_config", generation)):
            text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
            (folder / f"{name}.json").write_text(text, encoding="utf-8")


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Open a `.gguf`, a model folder, a `tokenizer.json` or a sentencepiece `.model`.

    Files beside a tokenizer.json or .model (tokenizer_config, special_tokens_map, generation_config,
    chat_template.jinja) are read too. Raises ValueError for a file that is not understood.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in ("tokenizer.json", "tokenizer.model") if (path / name).is_file()]
        if not found:
            raise ValueError(f"{path} has no tokenizer.json and no tokenizer.model: name a model folder that has one")
        path = found[0]
    if not path.is_file():
        raise ValueError(f"there is no tokenizer file {path}")
    readers = {".gguf": _from_gguf, ".json": _from_json, ".model": _from_sentencepiece}
    if path.suffix not in readers:
        raise ValueError(f"{path} is no tokenizer: expected a folder, *.gguf, tokenizer.json or *.model")
    return readers[path.suffix](path)


# What an added token that nobody marked special has to look like to count as a control.
_CONTROL_LIKE = re.compile(
    r"<[|｜].*[|｜]>|</?s>|<(pad|mask|unk|bos|eos|eot|cls|sep)>|<(start|end)_of_\w+>|<unused\d+>|\[/?[A-Z_]+\]",
    re.S,
)


@dataclass(frozen=True)
class _Declared:
    """What metadata or the files beside a vocabulary say; a token is named by its text or its id."""

    bos: str | int | None = None
    eos: tuple[str | int, ...] = ()
    pad: str | int | None = None
    special: frozenset[str] = frozenset()
    added: tuple[tuple[int, str, bool], ...] = ()  # id, text, is special
    template: str | None = None

    def controls(self, vocab: dict[str, int], added: Iterable[tuple[str, bool]]) -> dict[str, int]:
        """Which tokens of `vocab` are controls; `added` gives (text, is special) of its added tokens."""
        texts = {text for text, special in added if special or _CONTROL_LIKE.fullmatch(text)}
        texts |= self.special | {text for _, text, special in self.added if special}
        ids = {_id(token, vocab) for token in (self.bos, *self.eos) if token is not None}
        return {text: i for text, i in vocab.items() if text in texts or i in ids}

    def tokenizer(self, vocab: dict[str, int], size: int, controls: dict[str, int], backend: _Backend) -> Tokenizer:
        eos = tuple(dict.fromkeys(_id(token, vocab) for token in self.eos))
        bos, pad = (None if token is None else _id(token, vocab) for token in (self.bos, self.pad))
        pad = pad if pad is not None else next(iter(eos), 0)
        return Tokenizer(size, bos, eos, pad, controls, self.template, backend)


def _id(token: str | int, vocab: dict[str, int]) -> int:
    if isinstance(token, str) and token not in vocab:
        raise ValueError(f"the configuration names the token {token!r}, which the vocabulary does not have")
    return vocab[token] if isinstance(token, str) else token


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def _declared_beside(path: Path) -> _Declared:
    """Read the Hugging Face files beside `path`; a token there is a string or {"content": string}."""
    folder = path.parent
    config = _read_json(folder / "special_tokens_map.json") | _read_json(folder / "tokenizer_config.json")
    generation = _read_json(folder / "generation_config.json")

    def text(token: Any) -> str | None:
        return token["content"] if isinstance(token, dict) else token

    bos, eos, pad, unk = (text(config.get(f"{name}_token")) for name in ("bos", "eos", "pad", "unk"))
    more_eos = generation.get("eos_token_id")
    more_eos = more_eos if isinstance(more_eos, list) else [more_eos]
    extra = config.get("additional_special_tokens") or config.get("extra_special_tokens") or []
    extra = extra.values() if isinstance(extra, dict) else extra
    added = {int(i): (t["content"], t.get("special", False)) for i, t in config.get("added_tokens_decoder", {}).items()}
    for token, i in _read_json(folder / "added_tokens.json").items():
        added.setdefault(i, (token, False))
    template = config.get("chat_template")
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    if (folder / "chat_template.jinja").is_file():
        template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    return _Declared(
        bos=bos if bos is not None else generation.get("bos_token_id"),
        eos=tuple(token for token in (eos, *more_eos) if token is not None),
        pad=pad if pad is not None else generation.get("pad_token_id"),
        special=frozenset(text(token) for token in (bos, eos, unk, *extra) if token is not None),
        added=tuple((i, *added[i]) for i in sorted(added)),
        template=template,
    )


# --- Byte-level and byte-fallback BPE, through `tokenizers` ----------------------------------------------


@dataclass(frozen=True)
class _Backend:
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
        text = json.dumps(self.source, ensure_ascii=False)
        (folder / "tokenizer.json").write_text(text, encoding="utf-8")
        return {"tokenizer_class": "PreTrainedTokenizerFast"}


def _from_json(path: Path) -> Tokenizer:
    source = _read_json(path)
    if source.get("model", {}).get("type", "BPE") != "BPE" or "model" not in source:
        kind = source.get("model", {}).get("type")
        raise ValueError(f"{path}: model type {kind!r} is not supported, only BPE; give the sentencepiece .model")
    return _bpe(source, _declared_beside(path), path)


def _bpe(source: dict[str, Any], declared: _Declared, path: Path, unused: frozenset[int] = frozenset()) -> Tokenizer:
    """A tokenizer from the content of a tokenizer.json; ids in `unused` exist but stand for no text."""
    model, added = source["model"], source.get("added_tokens") or []
    vocab = model["vocab"] | {token["content"]: token["id"] for token in added}
    unk = frozenset([model["unk_token"]] if model.get("unk_token") else [])
    declared = replace(declared, special=declared.special | unk)
    controls = declared.controls(vocab, ((token["content"], token["special"]) for token in added))
    kept = {text: i for text, i in vocab.items() if text not in controls and i not in unused}
    merges = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    gone = vocab.keys() - kept.keys()
    merges = [(a, b) for a, b in merges if not (a in gone or b in gone or a + b in gone)]
    plain = source | {
        "model": model | {"vocab": kept, "merges": merges, "unk_token": None, "dropout": None},
        "added_tokens": [token for token in added if token["content"] in kept],
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
    backend = _Backend(source, start, inner, frozenset(kept.values()), _missing_bytes(plain, kept, path))
    return declared.tokenizer(vocab, max(vocab.values()) + 1, controls, backend)


def _byte_characters() -> list[str]:
    """GPT-2's printable stand-in for each byte: itself if printable in Latin-1, else the next of U+0100.."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def _missing_bytes(source: dict[str, Any], vocab: dict[str, int], path: Path) -> re.Pattern[str]:
    """The characters that the byte pieces of the vocabulary cannot spell, and lone surrogates."""
    names = _byte_characters() if '"ByteLevel"' in json.dumps(source["pre_tokenizer"]) else None
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


# --- Sentencepiece: the same BPE, its merges ranked by piece scores --------------------------------------

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 1, 2, 3, 4, 5  # piece types, the same numbers in GGUF


def _from_sentencepiece(path: Path) -> Tokenizer:
    proto = sentencepiece_model_pb2.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path} is not a sentencepiece model: {error}") from error
    if proto.trainer_spec.model_type != proto.trainer_spec.BPE:
        raise ValueError(f"{path} is not a sentencepiece model of type BPE, the only type supported")
    declared = _declared_beside(path)
    pieces = [(piece.piece, piece.score, piece.type) for piece in proto.pieces]
    for i, text, special in declared.added:
        if i > len(pieces) or (i < len(pieces) and pieces[i][0] != text):
            raise ValueError(f"{path}: the added token {text!r} has id {i}, which does not follow or match the pieces")
        pieces[i : i + 1] = [(text, 0.0, _CONTROL if special else _USER_DEFINED)]
    spec = proto.normalizer_spec
    ids = [i if 0 <= i < len(pieces) else None for i in (proto.trainer_spec.bos_id, proto.trainer_spec.eos_id)]
    declared = replace(
        declared,
        bos=ids[0] if declared.bos is None else declared.bos,
        eos=declared.eos or tuple(i for i in ids[1:] if i is not None),
    )
    source = _sentencepiece_source(
        pieces, spec.add_dummy_prefix, spec.remove_extra_whitespaces, spec.precompiled_charsmap
    )
    return _bpe(source, declared, path)


def _sentencepiece_source(
    pieces: list[tuple[str, float, int]], add_prefix: bool, collapse_spaces: bool, charsmap: bytes
) -> dict[str, Any]:
    """The tokenizer.json of (text, score, type) pieces: the merge whose result scores highest goes first."""
    vocab = {text: i for i, (text, _, _) in enumerate(pieces)}
    normal = {text: (-score, i) for i, (text, score, kind) in enumerate(pieces) if kind == _NORMAL}
    merges = [
        (rank, text[:cut], text[cut:])
        for text, rank in normal.items()
        for cut in range(1, len(text))
        if text[:cut] in normal and text[cut:] in normal
    ]
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    steps: list[dict[str, Any]] = []
    if charsmap:
        steps.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()})
    if collapse_spaces:
        steps.append({"type": "Strip", "strip_left": True, "strip_right": True})
        steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    steps += [{"type": "Prepend", "prepend": "▁"}] * add_prefix + [space]
    undo = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    undo += [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] * add_prefix
    unknown = [text for text, _, kind in pieces if kind == _UNKNOWN]
    model = {"unk_token": unknown[0] if unknown else None, "fuse_unk": True, "byte_fallback": True}
    return _source(
        model | {"vocab": vocab, "merges": [(a, b) for _, a, b in sorted(merges)]},
        [(i, text, kind) for i, (text, _, kind) in enumerate(pieces)],
        normalizer={"type": "Sequence", "normalizers": steps},
        decoder={"type": "Sequence", "decoders": undo},
    )


def _source(model: dict[str, Any], pieces: list[tuple[int, str, int]], **steps: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer.json whose added tokens are the controls and the user-defined pieces."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    kinds = (_UNKNOWN, _CONTROL, _USER_DEFINED)
    added = [
        {"id": i, "content": t, "special": kind != _USER_DEFINED, **flags} for i, t, kind in pieces if kind in kinds
    ]
    empty = {"version": "1.0", "normalizer": None, "pre_tokenizer": None, "post_processor": None}
    return empty | {"added_tokens": added, **steps, "model": {"type": "BPE", **model}}


# --- GGUF metadata ---------------------------------------------------------------------------------------

_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_CASELESS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# How tokenizer.ggml.pre cuts text before merging: the patterns of llama.cpp, src/llama-vocab.cpp, in turn.
_PRE = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _WORDS, r"\p{N}+", "[0-9][0-9][0-9]"),
    "llama-bpe": (_CASELESS % "{1,3}",),
    "qwen2": (_CASELESS % "",),
    **dict.fromkeys(("gpt-2", "phi-2"), (_WORDS,)),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell"), (r"\p{N}", _WORDS)),
}
_PRE |= {"llama3": _PRE["llama-bpe"], "llama-v3": _PRE["llama-bpe"], "deepseek-r1-qwen": _PRE["qwen2"]}


def _from_gguf(path: Path) -> Tokenizer:
    metadata = _gguf_metadata(path)
    ggml = {key.removeprefix("tokenizer.ggml."): value for key, value in metadata.items()}
    kind = ggml.get("model")
    if kind not in ("gpt2", "llama"):
        raise ValueError(f"{path}: tokenizer.ggml.model is {kind!r}; only gpt2 and llama are supported")
    for name in ("tokens", "merges" if kind == "gpt2" else "scores"):
        if name not in ggml:
            raise ValueError(f"{path} has no tokenizer.ggml.{name}: give the model's tokenizer.json instead")
    tokens = ggml["tokens"]
    types = ggml.get("token_type") or [_NORMAL] * len(tokens)
    for name in ("bos", "eos", "eot", "eom", "padding"):
        if not 0 <= ggml.get(f"{name}_token_id", 0) < len(tokens):
            raise ValueError(f"{path}: {name}_token_id {ggml[f'{name}_token_id']} is outside the vocabulary")
    if kind == "llama":
        pieces = list(zip(tokens, ggml["scores"], types, strict=True))
        charsmap = bytes(value % 256 for value in ggml.get("precompiled_charsmap", []))
        source = _sentencepiece_source(
            pieces, ggml.get("add_space_prefix", True), ggml.get("remove_extra_whitespaces", False), charsmap
        )
    else:
        source = _gguf_bpe_source(tokens, types, ggml["merges"], ggml.get("pre", "default"), path)
    bos = ggml.get("bos_token_id")
    if bos is not None and ggml.get("add_bos_token", kind == "llama"):
        source["post_processor"] = _prepend_bos(tokens[bos], bos)
    eos = (ggml.get(f"{name}_token_id") for name in ("eos", "eot", "eom"))
    declared = _Declared(
        bos=bos,
        eos=tuple(i for i in eos if i is not None),
        pad=ggml.get("padding_token_id"),
        template=metadata.get("tokenizer.chat_template"),
    )
    return _bpe(source, declared, path, frozenset(i for i, kind in enumerate(types) if kind == _UNUSED))


def _gguf_bpe_source(tokens: list[str], types: list[int], merges: list[str], pre: str, path: Path) -> dict[str, Any]:
    if pre not in _PRE:
        raise ValueError(f"{path}: unknown pre-tokenizer {pre!r}; known: {', '.join(sorted(_PRE))}. "
                         "Give the model's tokenizer.json instead")  # fmt: skip
    cuts = [{"type": "Split", "pattern": {"Regex": cut}, "behavior": "Isolated", "invert": False} for cut in _PRE[pre]]
    to_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    model = {"unk_token": None, "fuse_unk": False, "byte_fallback": False}
    model |= {
        "ignore_merges": _PRE[pre] == _PRE["llama-bpe"],
        "merges": [tuple(m.split(" ", 1)) for m in merges],
    }
    return _source(
        model | {"vocab": {text: i for i, text in enumerate(tokens)}},
        list(zip(range(len(tokens)), tokens, types, strict=True)),
        # Qwen2's own tokenizer.json normalises to NFC; GGUF has no field for it.
        normalizer={"type": "NFC"} if _PRE[pre] == _PRE["qwen2"] else None,
        pre_tokenizer={"type": "Sequence", "pretokenizers": [*cuts, to_bytes]},
        decoder=to_bytes,
    )


def _prepend_bos(text: str, token: int) -> dict[str, Any]:
    """A post-processor that puts bos first, for those who open the saved file and ask for special tokens."""
    bos = {"SpecialToken": {"id": text, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    special = {text: {"id": text, "ids": [token], "tokens": [text]}}
    return {"type": "TemplateProcessing", "single": [bos, first], "pair": [bos, first, bos, second],
            "special_tokens": special}  # fmt: skip


_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def _gguf_metadata(path: Path) -> dict[str, Any]:
    """The key-value head of a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

    Read here because gguf.GGUFReader takes seconds over a vocabulary: it makes arrays of every string.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        position = 4  # after the magic

        def numbers(code: str, count: int = 1) -> tuple[Any, ...]:
            nonlocal position
            values = struct.unpack_from(f"<{count}{code}", data, position)
            position += struct.calcsize(f"<{count}{code}")
            return values

        def string() -> str:
            nonlocal position
            (length,) = numbers("Q")
            if position + length > len(data):
                raise struct.error("string runs past the end")
            position += length
            return data[position - length : position].decode("utf-8")

        def value(kind: int) -> Any:
            if kind == 8:
                return string()
            if kind == 9:
                item, count = numbers("I")[0], numbers("Q")[0]
                return list(numbers(_SCALARS[item], count)) if item in _SCALARS else [value(item) for _ in range(count)]
            return numbers(_SCALARS[kind])[0]

        try:
            (version,), (_, count) = numbers("I"), numbers("Q", 2)
            if data[:4] != b"GGUF" or version not in (2, 3):
                raise ValueError(f"{path} is not a GGUF file of version 2 or 3")
            return {string(): value(numbers("I")[0]) for _ in range(count)}
        except (struct.error, KeyError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: the GGUF metadata is cut short or damaged ({error})") from error
