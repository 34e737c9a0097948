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

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from m2jax.text.bpe import Bpe, Offsets, plain_bpe
from m2jax.text.from_gguf import read_gguf_vocabulary
from m2jax.text.from_json import read_json, read_json_vocabulary
from m2jax.text.from_sentencepiece import read_sentencepiece_vocabulary
from m2jax.text.vocabulary import Vocabulary


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
    backend: Bpe = field(repr=False, compare=False)

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

        These are tokenizer.json, tokenizer_config.json, and the token ids in generation_config.json (its other
        keys, if it is there already, are kept).
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text_of = {i: text for text, i in self.controls.items()}
        config = {"clean_up_tokenization_spaces": False, **self.backend.save(folder)}
        named = {"bos": self.bos_id, "eos": next(iter(self.eos_ids), None), "pad": self.pad_id}
        config |= {f"{name}_token": text_of[i] for name, i in named.items() if i in text_of}
        if self.chat_template is not None:
            config["chat_template"] = self.chat_template
        generation = read_json(folder / "generation_config.json")
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
    if path.suffix not in _READERS:
        raise ValueError(f"{path} is no tokenizer: expected a folder, *.gguf, tokenizer.json or *.model")
    return tokenizer_of(_READERS[path.suffix](path), path)


_READERS = {
    ".gguf": read_gguf_vocabulary,
    ".json": read_json_vocabulary,
    ".model": read_sentencepiece_vocabulary,
}


def tokenizer_of(vocabulary: Vocabulary, path: Path) -> Tokenizer:
    """The tokenizer of what was read; a ValueError names `path`."""
    ids, controls, declared = vocabulary.ids, vocabulary.controls(), vocabulary.declared
    eos = tuple(dict.fromkeys(vocabulary.id(token) for token in declared.eos))
    pad = vocabulary.id(declared.pad)
    plain = {text: i for text, i in ids.items() if text not in controls and i not in vocabulary.unused}
    return Tokenizer(
        vocab_size=max(ids.values()) + 1,
        bos_id=vocabulary.id(declared.bos),
        eos_ids=eos,
        pad_id=next(iter(eos), 0) if pad is None else pad,
        controls=controls,
        chat_template=declared.template,
        backend=plain_bpe(vocabulary.source, plain, path),
    )
