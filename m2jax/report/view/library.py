"""Run folders and what they hold, read again as they grow.

Of a dialogue the library keeps where it stands, and the row by which a list shows, sorts and filters it; the dialogue
itself stays on disk. Dialogues are numbered as they are found, so a run that goes on adds to the end; where a file that
was read has changed (a step was done again, another run), all are numbered anew and the run's generation goes up.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from m2jax.metrics import METRICS_FILE
from m2jax.report import Run, read_run
from m2jax.report.view.bodies import body_of, body_of_talk, preview_of

Row = dict[str, Any]
Stamp = tuple[int, int]  # when a file was written, and its size

STEPS = "dialogues"  # the folder of `rollout.dialogues`
COLUMNS = (  # of a dialogue in a list; what the page calls them
    "when", "kind", "id", "topic", "split", "sample", "step", "score", "reward", "advantage", "fault", "ended", "role",
    "lines", "preview",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Entry:
    """A dialogue: its file, where its line begins and how long that is, "when" it was held, its values of `COLUMNS`."""

    file: Path
    start: int
    size: int
    when: str
    row: tuple[Any, ...]


@dataclasses.dataclass
class Shelf:
    """A run folder, or the file of a talk. told: None for a talk. stamps: of the files of dialogues that were read;
    seen: of the others.
    """

    path: Path
    name: str
    told: Run | None = None
    entries: list[Entry] = dataclasses.field(default_factory=list)
    unread: list[str] = dataclasses.field(default_factory=list)
    stamps: dict[Path, Stamp] = dataclasses.field(default_factory=dict)
    seen: dict[str, Stamp] = dataclasses.field(default_factory=dict)
    generation: int = dataclasses.field(
        default_factory=lambda: time.time_ns() // 1_000_000
    )  # another server's is another


def open_shelves(paths: list[Path]) -> list[Shelf]:
    """ValueError where a path is neither the folder of a run nor a transcript of `launch/chat.py`."""
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path} does not exist; give the folder of a run, or a transcript of launch/chat.py")
        if path.is_dir() and not any((path / name).exists() for name in ("config.json", METRICS_FILE, STEPS)):
            raise ValueError(f"{path} holds no run: it has neither config.json nor {METRICS_FILE}")
    resolved = [path.resolve() for path in paths]
    names = [path.name for path in resolved]
    shelves = [
        Shelf(p, p.name if names.count(p.name) == 1 else str(given)) for p, given in zip(resolved, paths, strict=True)
    ]
    for shelf in shelves:
        refresh(shelf)
        if shelf.path.is_file() and not shelf.entries:
            raise ValueError(f"{shelf.path} is no transcript of launch/chat.py --transcript")
    return shelves


def refresh(shelf: Shelf) -> bool:
    """Reads what is new; whether anything was."""
    return _refresh_dialogues(shelf) | _refresh_figures(shelf)


def read_bodies(entries: list[Entry]) -> Iterator[Row]:
    """The dialogues, from disk. One whose file has gone meanwhile, or changed, is told of in its place."""
    for entry in entries:
        try:
            with entry.file.open("rb") as file:
                file.seek(entry.start)
                body = _parsed(file.read(entry.size), entry.when)
        except OSError:
            body = None
        lost = {"who": "system", "text": "This dialogue is no longer in the run's folder: load the page again."}
        yield body or body_of({"id": entry.row[2], "lines": [lost]}, entry.when)


def _refresh_dialogues(shelf: Shelf) -> bool:
    found = {file: stamp for file, _ in _sources(shelf.path) if (stamp := _stamp(file))}
    if found == shelf.stamps:
        return False
    if any(found.get(file) != stamp for file, stamp in shelf.stamps.items()):
        shelf.entries, shelf.unread, shelf.stamps = [], [], {}
        shelf.generation += 1
    for file, when in _sources(shelf.path):
        if file in found and file not in shelf.stamps:
            shelf.stamps[file] = found[file]
            _read(shelf, file, when)
    return True


def _refresh_figures(shelf: Shelf) -> bool:
    if not shelf.path.is_dir():
        return False
    names = ("config.json", METRICS_FILE, "eval_before.jsonl", "eval_after.jsonl", "summary.json")
    seen = {name: stamp for name in names if (stamp := _stamp(shelf.path / name))}
    if shelf.told is not None and seen == shelf.seen:
        return False
    shelf.told, shelf.seen = read_run(shelf.path), seen
    return True


def _sources(path: Path) -> list[tuple[Path, str]]:
    """The files that may hold dialogues, with when these were held."""
    if path.is_file():
        return [(path, "talk")]
    steps = sorted((path / STEPS).glob("*.jsonl"), key=lambda file: file.stem.rpartition("-")[::-1])
    during = [(file, "watch" if file.stem.startswith("watch") else "training") for file in steps]
    sides = {
        side: [(path / f"{name}_{side}.jsonl", side) for name in ("eval", "consultations")]
        for side in ("before", "after")
    }
    return [*sides["before"], *during, *sides["after"]]


def _read(shelf: Shelf, file: Path, when: str) -> None:
    """Adds the entries of a file; where it has other lines as well, `unread` says so (a file of losses has none)."""
    lost, start, before = 0, 0, len(shelf.entries)
    lines = [file.read_bytes()] if when == "talk" else file.read_bytes().splitlines(keepends=True)
    for line in lines:
        if body := _parsed(line, when):
            row = body | {"lines": sum(bool(one["text"]) for one in body["lines"]), "preview": preview_of(body)}
            shelf.entries.append(Entry(file, start, len(line), when, tuple(row[name] for name in COLUMNS)))
        else:
            lost += bool(line.strip())
        start += len(line)
    if lost and len(shelf.entries) > before:
        shelf.unread.append(f"{file.name}: {lost} lines hold no dialogue and are left out.")


def _parsed(line: bytes, when: str) -> Row | None:
    made: Callable[[object], Row | None] = body_of_talk if when == "talk" else lambda row: body_of(row, when)
    try:
        return made(json.loads(line))
    except (ValueError, RecursionError):
        return None


def _stamp(file: Path) -> Stamp | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
