"""Replies to many cases, a few cases at a time; what came of each is kept in a file, so that a stopped job goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from m2jax import distributed
from m2jax.data.tasks import Task
from m2jax.lines import to_jsonl, write_jsonl
from m2jax.metrics import read_jsonl
from m2jax.rollout.single_turn import Rollout
from m2jax.verifier.rubric import Case

Row = dict[str, Any]


def kept(
    cases: Sequence[Case | Task],
    at_once: int,
    file: Path,
    who: Mapping[str, Any],
    roll: Callable[[Sequence[Case | Task], int], list[list[Rollout]]],
    row_of: Callable[[Case | Task, list[Rollout]], Row],
    tell: Callable[[str], None],
) -> list[Row]:
    """`row_of` each case (with its "id") and its replies, in order. roll(some cases, the number of the first) samples
    them, `at_once` cases a time; what `file` (JSONL) has of them is not sampled again, unless a case has changed since.
    ValueError where the file was begun with other values than `who`. Of several processes the first writes.
    """
    marks = {case.id: fingerprint(case) for case in cases}
    known = begun(file, json.loads(json.dumps(dict(who))))  # tuples as JSON has them
    for start in range(0, len(cases), at_once):
        part = cases[start : start + at_once]
        if all(known.get(case.id, {}).get("of") == marks[case.id] for case in part):
            continue
        found = [
            row_of(case, group) | {"of": marks[case.id]} for case, group in zip(part, roll(part, start), strict=True)
        ]
        known |= {row["id"]: row for row in found}
        if distributed.is_first():
            with file.open("ab") as out:
                out.write(to_jsonl(found))
            tell(f"{start + len(part)}/{len(cases)} cases tried")
    return [known[case.id] for case in cases]


def fingerprint(thing: Any) -> str:
    """Tells a thing from another that has taken its place, by its `repr`: of plain values and dataclasses of such."""
    return hashlib.sha256(repr(thing).encode("utf-8", "replace")).hexdigest()[:16]


def begun(file: Path, who: Row) -> dict[str, Row]:
    """The rows of a file by id, after it was made whole: a line that a crash cut off is gone. Its first line is
    `who` (as JSON has it); ValueError where it was begun with other values.
    """
    first, *rows = distributed.from_first(read_jsonl(file) if file.is_file() else []) or [who]
    if first != who:
        changed = sorted(key for key in {*first, *who} if first.get(key) != who.get(key))
        raise ValueError(f"{file} was begun with other values of {', '.join(changed)}; remove it, or write elsewhere")
    if distributed.is_first():
        write_jsonl(file, [who, *rows])
    return {row["id"]: row for row in rows}
