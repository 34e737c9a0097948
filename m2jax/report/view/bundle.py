"""What the page loads: scripts, each of which hands over one part of the data by a call.

    runs                 of each run its figures, settings and how many dialogues it has
    metrics-R            the curves of run R: key -> [steps, values]
    index-R-P            `library.COLUMNS` of a page of dialogues
    words-R-P            what a search looks through, of the same page
    bodies-R-C           a chunk of dialogues, whole

Scripts, because a page that is opened as a file may load nothing else. Text is JSON of ASCII without "<", so it stays
text wherever it stands.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from m2jax.evaluate.stats import dimension_scores
from m2jax.report import SIDES, number
from m2jax.report.html import flat
from m2jax.report.view.bodies import words_of
from m2jax.report.view.library import COLUMNS, Shelf, read_bodies

Row = dict[str, Any]

PAGE = 1000  # dialogues of an index page
CHUNK = 25  # dialogues of a chunk: some hundred kilobytes
COMPARED = ("before", "after", "gain", "low", "high")
MISSED = 60  # criteria of a run, those that cost most
ASSETS = ("index.html", "style.css", "dialogue.css", "core.js", "rows.js", "list.js", "dialogue.js", "marks.js",
          "units.js", "runs.js", "curves.js", "rubric.js", "app.js")  # fmt: skip
TITLE = b"<title>m2jax runs</title>"  # by it an index.html is known as this page's


def names(shelves: list[Shelf]) -> Iterator[str]:
    """The names of all parts."""
    yield "runs"
    for r, shelf in enumerate(shelves):
        yield f"metrics-{r}"
        pages, chunks = (math.ceil(len(shelf.entries) / size) for size in (PAGE, CHUNK))
        yield from (f"{kind}-{r}-{page}" for page in range(pages) for kind in ("index", "words"))
        yield from (f"bodies-{r}-{chunk}" for chunk in range(chunks))


def script(shelves: list[Shelf], name: str, live: bool) -> str:
    """The part of this name as a script; KeyError where there is none. live: the page asks what is new."""
    return f"M2.got({_json(name)}, {_json(_part(shelves, name, live))});\n"


def write(shelves: list[Shelf], out: Path) -> Path:
    """Writes the page with all its data into the folder `out`, which is to be new or a page before; returns the file to
    open. ValueError where the folder has something else.
    """
    first = out / ASSETS[0]
    ours = first.is_file() and TITLE in first.read_bytes()
    if out.exists() and not ours and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is no page of launch/view.py; give --out a new folder")
    out.mkdir(parents=True, exist_ok=True)
    for name in ASSETS:  # before the data, so that a page whose writing was broken off is known as one
        (out / name).write_bytes(asset(name))
    shutil.rmtree(out / "data", ignore_errors=True)
    (out / "data").mkdir()
    for name in names(shelves):
        (out / "data" / f"{name}.js").write_text(script(shelves, name, live=False), "ascii")
    return first


def asset(name: str) -> bytes:
    """A file of the page; KeyError where there is none."""
    if name not in ASSETS:
        raise KeyError(name)
    return resources.files(__package__).joinpath("page", name).read_bytes()


def versions(shelves: list[Shelf]) -> list[list[int]]:
    """Of each run what tells a page that it has grown: generation, dialogues, and when its figures were written."""
    return [
        [s.generation, len(s.entries), max((t for t, _ in s.seen.values()), default=0) // 1_000_000] for s in shelves
    ]


def _part(shelves: list[Shelf], name: str, live: bool) -> Any:
    kind, *numbers = name.split("-")
    if kind == "runs" and not numbers:
        runs = [_run(shelf, version) for shelf, version in zip(shelves, versions(shelves), strict=True)]
        return {"live": live, "page": PAGE, "chunk": CHUNK, "columns": COLUMNS, "runs": runs}
    places = [int(n) if n.isdigit() else -1 for n in numbers]
    if len(places) != (1 if kind == "metrics" else 2) or not 0 <= places[0] < len(shelves) or min(places) < 0:
        raise KeyError(name)
    shelf = shelves[places[0]]
    if kind == "metrics":
        return _metrics(shelf.told.metrics if shelf.told else [])
    size = CHUNK if kind == "bodies" else PAGE
    entries = shelf.entries[places[1] * size : (places[1] + 1) * size]
    made = {
        "index": lambda: [entry.row for entry in entries],
        "words": lambda: [words_of(body) for body in read_bodies(entries)],
        "bodies": lambda: list(read_bodies(entries)),
    }
    return made[kind]()


def _run(shelf: Shelf, version: list[int]) -> Row:
    """What the page says of a run as a whole."""
    run: Row = {"name": shelf.name, "version": version, "n": len(shelf.entries)}
    if shelf.told is None:
        return run | {"talk": True, "notes": shelf.unread}
    told, config = shelf.told, shelf.told.config
    run["updated"] = max((written for written, _ in shelf.seen.values()), default=0) / 1e9
    ended = number(told.summary.get("steps"))
    run["done"] = ended is not None and len(told.metrics) <= ended  # else the run goes on beyond an end that it had
    run["steps"] = len(told.metrics)
    run["planned"] = number(config.get("steps"))
    run["seconds"] = sum(number(row.get("seconds")) or 0.0 for row in told.metrics)
    run |= {name: str(told.summary.get(name) or config.get(name) or "") for name in ("model", "device")}
    run["summary"] = {name: told.summary[name] for name in ("before", "after", "gain")}
    run["consultations"] = _measures(told.summary.get("consultations"))
    run["notes"] = [*told.notes, *shelf.unread]
    run["config"] = dict(flat(config))
    sides = {name: [row["criteria"] for row in getattr(told, name)] for name, _ in SIDES}
    run["dimensions"] = {name: dimension_scores(side) for name, side in sides.items()}
    run["missed"] = _missed(sides)
    return run


def _measures(compared: object) -> Row:
    """Of held-out consultations the measures of which all numbers are there (`evaluate.consultations.compare`)."""
    found = compared if isinstance(compared, dict) else {}
    rows = {
        name: {key: number(row.get(key)) for key in COMPARED} for name, row in found.items() if isinstance(row, dict)
    }
    return {name: row for name, row in rows.items() if None not in row.values()}


def _missed(sides: dict[str, list[list[Row]]]) -> list[Row]:
    """The criteria that cost most on the newest side, each with how often it was met, and how often it came up."""
    counted: dict[tuple[str, float], Row] = {}
    for side, replies in sides.items():
        for criterion in (c for criteria in replies for c in criteria):
            key = criterion["text"], criterion["points"]
            row = counted.setdefault(key, {"before": [0, 0], "after": [0, 0], "dimension": criterion["dimension"]})
            row[side][0] += criterion["met"]
            row[side][1] += 1
    newest = "after" if sides["after"] else "before"

    def cost(item: tuple[tuple[str, float], Row]) -> float:
        (_, points), row = item
        met, n = row[newest]
        return points * (n - met) if points > 0 else -points * met

    worst = sorted(counted.items(), key=cost, reverse=True)[:MISSED]
    return [{"text": text, "points": points} | row for (text, points), row in worst if cost(((text, points), row)) > 0]


def _metrics(rows: list[Row]) -> dict[str, list[list[float]]]:
    curves: dict[str, list[list[float]]] = {}
    for i, row in enumerate(rows):
        step = number(row.get("step"))
        for key, value in row.items():
            if key != "step" and (value := number(value)) is not None:
                steps, values = curves.setdefault(key, [[], []])
                steps.append(float(i) if step is None else step)
                values.append(float(f"{value:.6g}"))
    return curves


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
