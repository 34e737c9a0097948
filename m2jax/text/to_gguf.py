"""A tokenizer as the metadata of a GGUF file: `from_gguf` backwards.

A GGUF file's own metadata are taken as they are. A byte-level BPE (tokenizer.json) is written anew; how it cuts text
before merging has only a name there, so the name is found by trying: the one under which a text full of difficult
places falls into the same pieces.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from m2jax.gguf_file import read_gguf
from m2jax.text.from_gguf import vocabulary_of
from m2jax.text.tokenizer import Tokenizer, load_tokenizer, tokenizer_of
from m2jax.text.vocabulary import CONTROL, NORMAL, UNUSED, USER_DEFINED

CUTS = ("llama-bpe", "qwen2", "smollm", "gpt-2", "default")  # names of tokenizer.ggml.pre that cut in different ways
PROBE = (
    "It's 3 o'clock: the patient's BP was 120/80 mmHg, 38.5 °C, SHE'LL take 1500 mg   \t of ibuprofène — "
    'twice…\r\n\n  患者は発熱 12345678 日間!!! (x_1=["ä"]) \n \n  naïve<b>we\'ve</b> $5.00+7 ²½ Ⅳ  '
)


def gguf_metadata(path: Path, rows: int) -> dict[str, Any]:
    """The entries "tokenizer.*" for the tokenizer of a GGUF file or a folder. rows: of the embedding, some of which may
    have no token. ValueError where a GGUF file cannot say what the tokenizer does.
    """
    if path.is_file():
        metadata = {key: value for key, value in read_gguf(path)[0].items() if key.startswith("tokenizer.")}
        charsmap = "tokenizer.ggml.precompiled_charsmap"
        return metadata | ({charsmap: bytes(v % 256 for v in metadata[charsmap])} if charsmap in metadata else {})
    tokenizer = load_tokenizer(path)
    if '"ByteLevel"' not in json.dumps(tokenizer.backend.source["pre_tokenizer"]):
        raise ValueError(f"{path} has no byte-level BPE, the only tokenizer that is written to a GGUF file")
    metadata = _byte_level(tokenizer, rows, path)
    for cut in CUTS:
        written = metadata | {"tokenizer.ggml.pre": cut}
        if _pieces(tokenizer_of(vocabulary_of(written, path), path)) == _pieces(tokenizer):
            return written
    raise ValueError(f"{path} cuts text in none of the ways that a GGUF file can name here: {', '.join(CUTS)}")


def _pieces(tokenizer: Tokenizer) -> list[str]:
    return [piece for piece, _ in tokenizer.backend.plain.pre_tokenizer.pre_tokenize_str(PROBE)]


def _byte_level(tokenizer: Tokenizer, rows: int, path: Path) -> dict[str, Any]:
    source = tokenizer.backend.source
    added = {token["content"]: token["id"] for token in source.get("added_tokens") or []}
    ids = source["model"]["vocab"] | added
    if max(ids.values()) >= rows:
        raise ValueError(f"{path} has the token id {max(ids.values())}, but the model's embedding {rows} rows")
    texts = {i: text for text, i in ids.items()}
    tokens = [texts.get(i, f"[PAD{i}]") for i in range(rows)]

    def kind(i: int) -> int:
        if i not in texts:
            return UNUSED
        return CONTROL if texts[i] in tokenizer.controls else USER_DEFINED if texts[i] in added else NORMAL

    bos = texts.get(tokenizer.bos_id)
    named = {"bos": tokenizer.bos_id, "padding": tokenizer.pad_id}
    named |= dict(zip(("eos", "eot", "eom"), tokenizer.eos_ids, strict=False))
    ggml = {
        "model": "gpt2",
        "tokens": tokens,
        "token_type": [kind(i) for i in range(rows)],
        "merges": [m if isinstance(m, str) else " ".join(m) for m in source["model"]["merges"]],
        "add_bos_token": bos is not None and json.dumps(bos) in json.dumps(source.get("post_processor")),
        **{f"{name}_token_id": i for name, i in named.items() if i is not None},
    }
    template = {} if tokenizer.chat_template is None else {"tokenizer.chat_template": tokenizer.chat_template}
    return {f"tokenizer.ggml.{name}": value for name, value in ggml.items()} | template
