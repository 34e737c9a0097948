"""What the loaders share: JSON with its place in the file, and facts from free text.

Facts are sentences, and clauses where one begins anew ("..., but she ..."; `text`). Their kind comes from the section
they stand in, or from what they say; who may hear them from both (`kinds`): the complaint is volunteered; findings,
results and the diagnosis are hidden; sex, drugs, mental health, violence and the law are private; all else is asked
for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from m2jax.lines import lines
from m2jax.records.kinds import disclosure_of
from m2jax.records.record import Fact, Record
from m2jax.records.text import says_something

DEEPEST = 100  # levels of nested JSON; no form comes near
UNSTATED = "not stated"  # the diagnosis of a record whose source gives none


@dataclass(frozen=True)
class Outside:
    """A record before de-identification. known: identifiers in its structured fields, class -> values
    (`deidentify.Known`). place: "file:line", for errors.
    """

    record: Record
    known: Mapping[str, list[str]]
    place: str


# ---- Files --------------------------------------------------------------


def read_objects(path: str | Path) -> Iterator[tuple[str, dict]]:
    """The JSON objects of a file as ("file:line", object): one a line, or one document that is an object or a list
    of them; of a folder, those of its .json, .jsonl and .ndjson files by name, or its rows if TensorFlow Datasets
    prepared it. ValueError is `file:line: what is wrong`.
    """
    path = Path(path)
    if (path / "dataset_info.json").is_file():
        for place, row in lines(path):
            yield f"{path}:{place}", {key: value for key, value in json.loads(row).items() if key != "split"}
        return
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".jsonl", ".ndjson"))
        if not files:
            raise ValueError(f"{path}:1: the folder has no .json, .jsonl or .ndjson file; give one that has")
        for file in files:
            yield from read_objects(file)
        return
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}:{line}: {error}; save the file as UTF-8") from error
    if not text.strip():
        raise ValueError(f"{path}:1: the file is empty; write JSON objects")
    by_line = path.suffix in (".jsonl", ".ndjson") or _is_json(next(line for line in text.split("\n") if line.strip()))
    for line, item in _lines(path, text) if by_line and not text.lstrip().startswith("[") else _document(path, text):
        if not isinstance(item, dict):
            raise ValueError(f"{path}:{line}: {str(item)[:80]!r} is no JSON object; write one record as {{...}}")
        yield f"{path}:{line}", item


def _is_json(line: str) -> bool:
    try:
        _decoded(line)
    except ValueError:
        return False
    return True


def _decoded(text: str) -> object:
    """The value of a JSON text. ValueError: it is none, or so nested that what reads it would recurse too far."""
    deep = f"nested more than {DEEPEST} levels deep; write the record flatter"
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(deep) from error
    level = [value]
    for _ in range(DEEPEST + 1):
        if not (level := [item for item in level if isinstance(item, (dict, list))]):
            return value
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    raise ValueError(deep)


def _lines(path: Path, text: str) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, _decoded(line)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from error


def _document(path: Path, text: str) -> Iterator[tuple[int, object]]:
    """An object, or the items of a list with the lines they begin on."""
    try:
        document = _decoded(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: {error.msg} (column {error.colno})") from error
    except ValueError as error:
        raise ValueError(f"{path}:1: {error}") from error
    if not isinstance(document, list):
        yield 1, document
        return
    if not document:
        raise ValueError(f"{path}:1: the list is empty; write JSON objects")
    at = text.index("[") + 1
    for item in document:
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
        yield text.count("\n", 0, at) + 1, item
        at = json.JSONDecoder().raw_decode(text, at)[1]


# ---- Sections -----------------------------------------------------------


def leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The texts and numbers of nested objects and lists that say something, each with the keys that lead to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, str(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    elif isinstance(value, bool):
        yield path, "yes" if value else "no"
    elif says_something(value):
        yield path, str(value).strip()


_DULL_KEYS = re.compile(
    r"(?i)(?:other )?(?:findings?|results?|general|details?|notes?|description|interpretation|others?|summary)"
)


def label(keys: Iterable[str]) -> str:
    """The words of keys: ("Imaging", "Chest_X-ray", "Findings") -> "Imaging, Chest X-ray"."""
    words = (re.sub(r"\s+", " ", key.replace("_", " ")).strip() for key in keys)
    return ", ".join(word for word in words if word and not _DULL_KEYS.fullmatch(word))


# ---- The record ---------------------------------------------------------


def build(
    id: str, age: float | None, sex: str, diagnosis: str, found: Iterable[tuple[str, str]], source: str
) -> Record:
    """A record of (kind, statement) pairs: each statement once, and what states the diagnosis hidden as "diagnosis"
    (but for the family's illnesses). If no complaint is left, the first symptom is one.
    """
    states = _states(diagnosis)
    seen: set[str] = set()
    pairs: list[tuple[str, str]] = []
    for kind, text in found:
        key = re.sub(r"\W+", " ", text).strip().lower()
        if key and key not in seen:
            seen.add(key)
            pairs.append(("diagnosis" if kind != "family" and states and states.search(text) else kind, text))
    if not any(kind == "complaint" for kind, _ in pairs):
        first = next((i for i, (kind, _) in enumerate(pairs) if kind == "symptom"), None)
        if first is None:
            pairs.insert(0, ("complaint", "Comes because of a problem with health."))
        else:
            pairs[first] = ("complaint", pairs[first][1])
    count: dict[str, int] = {}
    facts = []
    for kind, text in pairs:
        count[kind] = count.get(kind, 0) + 1
        facts.append(Fact(f"{kind}.{count[kind]}", kind, text, disclosure_of(kind, text)))
    return Record(id, age, sex, diagnosis, tuple(facts), source)


def _states(diagnosis: str) -> re.Pattern[str] | None:
    if diagnosis == UNSTATED:
        return None
    names = [re.sub(r"\([^)]*\)", " ", diagnosis), *re.findall(r"\(([^)]*)\)", diagnosis)]
    words = [re.findall(r"\w+", name) for name in names]
    forms = [r"\W+".join(map(re.escape, name)) for name in words if len("".join(name)) > 2]
    return re.compile(rf"(?i)\b(?:{'|'.join(forms)})\b") if forms else None
