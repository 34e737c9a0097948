"""A vocabulary from a tokenizer.json, and what the Hugging Face files beside a vocabulary declare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from m2jax.text.vocabulary import Declared, Vocabulary


def read_json_vocabulary(path: Path) -> Vocabulary:
    """Of a tokenizer.json with a BPE model; ValueError names another kind of model."""
    source = read_json(path)
    if source.get("model", {}).get("type", "BPE") != "BPE" or "model" not in source:
        kind = source.get("model", {}).get("type")
        raise ValueError(f"{path}: model type {kind!r} is not supported, only BPE; give the sentencepiece .model")
    return Vocabulary(source, declared_beside(path))


def declared_beside(path: Path) -> Declared:
    """What tokenizer_config, special_tokens_map, generation_config, added_tokens and chat_template.jinja say.

    They lie in the folder of `path`, and each may be missing. A token there is a string or {"content": string}.
    """
    folder = path.parent
    config = read_json(folder / "special_tokens_map.json") | read_json(folder / "tokenizer_config.json")
    generation = read_json(folder / "generation_config.json")
    bos, eos, pad, unk = (_text(config.get(f"{name}_token")) for name in ("bos", "eos", "pad", "unk"))
    more_eos = generation.get("eos_token_id")
    more_eos = more_eos if isinstance(more_eos, list) else [more_eos]
    extra = config.get("additional_special_tokens") or config.get("extra_special_tokens") or []
    extra = extra.values() if isinstance(extra, dict) else extra
    added = {int(i): (t["content"], t.get("special", False)) for i, t in config.get("added_tokens_decoder", {}).items()}
    for token, i in read_json(folder / "added_tokens.json").items():
        added.setdefault(i, (token, False))
    return Declared(
        bos=bos if bos is not None else generation.get("bos_token_id"),
        eos=tuple(token for token in (eos, *more_eos) if token is not None),
        pad=pad if pad is not None else generation.get("pad_token_id"),
        special=frozenset(_text(token) for token in (bos, eos, unk, *extra) if token is not None),
        added=tuple((i, *added[i]) for i in sorted(added)),
        template=_template(folder, config),
    )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, {} where there is no file; ValueError where it is not JSON."""
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def _text(token: Any) -> str | None:
    return token["content"] if isinstance(token, dict) else token


def _template(folder: Path, config: dict[str, Any]) -> str | None:
    """The chat template: the file's, else the configuration's; of several named ones, "default"."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        return {entry["name"]: entry["template"] for entry in template}.get("default")
    return template
