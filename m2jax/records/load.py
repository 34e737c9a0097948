"""One door for records from outside, de-identified by default; the forms are told apart by their keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from m2jax.records import agentclinic, fhir, mediq
from m2jax.records.deidentify import Report, deidentify, merged, refuse
from m2jax.records.outside import Outside, read_objects
from m2jax.records.record import Record, parse_record

IDENTIFIERS = (
    "scrub",  # replace them
    "refuse",  # an error names the class and the place of the first
    "keep",  # for data that is known to have none, or that may not be changed
)


def load(path: str | Path, kind: str | None = None, identifiers: str = "scrub") -> tuple[list[Record], Report]:
    """The records of a file or a folder, and what the de-identifier did.

    kind: of `KINDS`; None finds it out. identifiers: of `IDENTIFIERS`. An id used by two records gets a number.
    ValueError is `file:line: what is wrong`; in the mode "refuse" it names class, record and fact, never the value.
    """
    if identifiers not in IDENTIFIERS:
        raise ValueError(f"identifiers is {identifiers!r}; write one of {', '.join(IDENTIFIERS)}")
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; write one of {', '.join(KINDS)}")
    records, reports, used = [], [], set()
    for item in KINDS[kind or detect(path)](path):
        record = item.record
        if identifiers == "refuse":
            try:
                refuse(record, item.known)
            except ValueError as error:
                raise ValueError(f"{item.place}: {error}") from error
        if identifiers != "keep":
            record, report = deidentify(record, item.known)
            reports.append(report)
        own, number = record.id, len(records)
        while record.id in used:  # the file may have the next one, too
            record, number = dataclasses.replace(record, id=f"{own}-{number}"), number + 1
        used.add(record.id)
        records.append(record)
    return records, merged(reports)


def detect(path: str | Path) -> str:
    """The kind of a file or a folder by its first object. ValueError names its keys."""
    place, first = next(read_objects(path))
    if "OSCE_Examination" in first or "Patient_Actor" in first:
        return "agentclinic"
    if first.get("resourceType") == "Bundle" or "entry" in first or "resources" in first:
        return "fhir"
    if "facts" in first and "diagnosis" in first:
        return "jsonl"
    if "context" in first or "answer" in first:
        return "mediq"
    raise ValueError(
        f"{place}: an object with the keys {sorted(first)[:8]} is of no kind known; the kinds are {', '.join(KINDS)}"
    )


def _read_jsonl(path: str | Path) -> list[Outside]:
    out = []
    for place, raw in read_objects(path):
        try:
            out.append(Outside(parse_record(raw), {}, place))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
    return out


KINDS: dict[str, Callable[[str | Path], list[Outside]]] = {
    "agentclinic": agentclinic.read,
    "mediq": mediq.read,
    "fhir": fhir.read,
    "jsonl": _read_jsonl,
}
