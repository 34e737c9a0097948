"""A vocabulary from a sentencepiece .model of type BPE, written as the tokenizer.json that gives the same ids."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2

from m2jax.text.from_json import declared_beside
from m2jax.text.vocabulary import CONTROL, NORMAL, UNKNOWN, USER_DEFINED, Vocabulary, tokenizer_json

Piece = tuple[str, float, int]  # text, score, type


def read_sentencepiece_vocabulary(path: Path) -> Vocabulary:
    """Of a .model and the files beside it. ValueError for a file that is none, or none of type BPE."""
    proto = sentencepiece_model_pb2.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path} is not a sentencepiece model: {error}") from error
    if proto.trainer_spec.model_type != proto.trainer_spec.BPE:
        raise ValueError(f"{path} is not a sentencepiece model of type BPE, the only type supported")
    declared = declared_beside(path)
    pieces = [(piece.piece, piece.score, piece.type) for piece in proto.pieces]
    for i, text, special in declared.added:
        if i > len(pieces) or (i < len(pieces) and pieces[i][0] != text):
            raise ValueError(f"{path}: the added token {text!r} has id {i}, which does not follow or match the pieces")
        pieces[i : i + 1] = [(text, 0.0, CONTROL if special else USER_DEFINED)]
    spec = proto.normalizer_spec
    ids = [i if 0 <= i < len(pieces) else None for i in (proto.trainer_spec.bos_id, proto.trainer_spec.eos_id)]
    declared = replace(
        declared,
        bos=ids[0] if declared.bos is None else declared.bos,
        eos=declared.eos or tuple(i for i in ids[1:] if i is not None),
    )
    source = sentencepiece_json(pieces, spec.add_dummy_prefix, spec.remove_extra_whitespaces, spec.precompiled_charsmap)
    return Vocabulary(source, declared)


def sentencepiece_json(
    pieces: Sequence[Piece], add_prefix: bool, collapse_spaces: bool, charsmap: bytes
) -> dict[str, Any]:
    """The tokenizer.json of `pieces`, in the order of their ids: the merge whose result scores highest goes first.

    add_prefix: put a space before the text; collapse_spaces: strip the text and shorten runs of spaces;
    charsmap: sentencepiece's compiled normalisation table, empty for none.
    """
    vocab = {text: i for i, (text, _, _) in enumerate(pieces)}
    normal = {text: (-score, i) for i, (text, score, kind) in enumerate(pieces) if kind == NORMAL}
    merges = [
        (rank, text[:cut], text[cut:])
        for text, rank in normal.items()
        for cut in range(1, len(text))
        if text[:cut] in normal and text[cut:] in normal
    ]
    steps: list[dict[str, Any]] = []
    if charsmap:
        steps.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()})
    if collapse_spaces:
        steps.append({"type": "Strip", "strip_left": True, "strip_right": True})
        steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    steps += [{"type": "Prepend", "prepend": "▁"}] * add_prefix
    steps.append({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})
    undo = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    undo += [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] * add_prefix
    unknown = [text for text, _, kind in pieces if kind == UNKNOWN]
    model = {"unk_token": unknown[0] if unknown else None, "fuse_unk": True, "byte_fallback": True}
    return tokenizer_json(
        model | {"vocab": vocab, "merges": [(a, b) for _, a, b in sorted(merges)]},
        ((i, text, kind) for i, (text, _, kind) in enumerate(pieces)),
        normalizer={"type": "Sequence", "normalizers": steps},
        decoder={"type": "Sequence", "decoders": undo},
    )
