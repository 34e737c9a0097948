"""The JSON objects of a user's data, whatever holds them: a JSONL file, or a folder that TensorFlow Datasets prepared;
and the writing of JSONL files.

Of a TFDS folder (`NAME/VERSION`, with dataset_info.json) the feature "json" is the object, where there is one; else the
features are its keys. A row without a "split" of its own gets that of its TFDS split: "train", or "heldout" for all
others. Files of array_record are read without TensorFlow (pip install m2jax[tfds]).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


def lines(path: str | Path) -> Iterator[tuple[str, bytes]]:
    """(where it is in `path`, the JSON of an object): of a file its lines, blank ones too, each under its number.
    ValueError where a folder is none of TFDS.
    """
    if not Path(path).is_dir():
        for number, line in enumerate(Path(path).read_bytes().split(b"\n"), start=1):
            yield str(number), line
        return
    if not (Path(path) / "dataset_info.json").is_file():
        raise ValueError(
            f"{path} is a folder without dataset_info.json; name a JSONL file, or a TFDS folder, NAME/VERSION"
        )
    try:
        import tensorflow_datasets as tfds
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{path} is of TensorFlow Datasets, which is not installed: pip install m2jax[tfds]"
        ) from error
    builder = tfds.builder_from_directory(str(path))
    for split in builder.info.splits:
        for i, features in enumerate(builder.as_data_source(split=split)):
            yield f"{split}[{i}]", _object(features, builder.info.features, split)


def to_jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The lines of a JSONL file, UTF-8; what UTF-8 cannot say (half of a cut emoji) is a question mark."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "replace")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """A JSONL file, whole or not at all: what stood there stays until all is written."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(to_jsonl(rows))
    os.replace(partial, path)


def _object(features: dict[str, Any], spec: Any, split: str) -> bytes:
    plain = _plain(features, spec)
    row = json.loads(plain["json"]) if isinstance(plain.get("json"), str) else plain
    if isinstance(row, dict):
        row.setdefault("split", "train" if split == "train" else "heldout")
    return json.dumps(row).encode()


def _plain(value: Any, spec: Any) -> Any:
    """A feature as JSON has it. TFDS gives a sequence of objects as an object of sequences."""
    from tensorflow_datasets.core import features

    if isinstance(spec, features.FeaturesDict):
        return {key: _plain(item, spec[key]) for key, item in value.items()}
    if isinstance(spec, features.Sequence) and isinstance(value, dict):
        value = [_at(value, i) for i in range(_length(value))]
    if isinstance(spec, features.Sequence):
        return [_plain(item, spec.feature) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return value.tolist() if hasattr(value, "tolist") else value


def _at(columns: Any, i: int) -> Any:
    """Row i of an object of sequences, however deep."""
    return {key: _at(item, i) for key, item in columns.items()} if isinstance(columns, dict) else columns[i]


def _length(columns: Any) -> int:
    return _length(next(iter(columns.values()))) if isinstance(columns, dict) else len(columns)
