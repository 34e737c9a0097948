"""`python -m m2jax.records FILE --out=records.jsonl`: records from outside, de-identified, as the project's JSONL."""

from __future__ import annotations

import argparse
import sys

from m2jax.records.load import IDENTIFIERS, KINDS, load
from m2jax.records.record import write_records


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m m2jax.records", description=__doc__)
    parser.add_argument("file", help="AgentClinic, MediQ or plain JSONL, or FHIR R4 bundles (a file or a folder)")
    parser.add_argument("--out", required=True, help="the JSONL file to write")
    parser.add_argument("--kind", choices=KINDS, help="default: found out")
    parser.add_argument("--identifiers", choices=IDENTIFIERS, default="scrub", help="default: %(default)s")
    given = parser.parse_args(arguments)
    try:
        records, report = load(given.file, given.kind, given.identifiers)
    except (ValueError, OSError) as error:
        raise SystemExit(f"m2jax.records: {error}") from None
    write_records(given.out, records)
    print(f"{len(records)} records in {given.out}")
    print("identifiers kept as they are" if given.identifiers == "keep" else report.text())


if __name__ == "__main__":
    main(sys.argv[1:])
