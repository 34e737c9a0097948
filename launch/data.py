"""Prepares JSONL data for training (README: Data tools):

    python launch/data.py dedupe --file=chats.jsonl --out=kept.jsonl [--threshold=0.8]
    python launch/data.py decontaminate --file=chats.jsonl --out=kept.jsonl --against=medqa.jsonl,healthbench.jsonl
    python launch/data.py quality --file=chats.jsonl --out=kept.jsonl
    python launch/data.py stratify --file=chats.jsonl --out=kept.jsonl --n=10000 [--clusters=32] [--seed=0]

OUT gets the rows that stay, as they were; OUT.dropped.jsonl the id of each other one, and why.
"""

import sys
from collections import Counter
from pathlib import Path

from absl import app, flags

from m2jax.data.chats import load_chats
from m2jax.data.tools.decontaminate import decontaminate
from m2jax.data.tools.dedupe import dedupe
from m2jax.data.tools.quality import quality
from m2jax.data.tools.rows import Row, load
from m2jax.data.tools.stratify import stratify
from m2jax.lines import write_jsonl

_FILE = flags.DEFINE_string("file", None, "JSONL file to read.", required=True)
_OUT = flags.DEFINE_string("out", None, "JSONL file to write.", required=True)
_AGAINST = flags.DEFINE_list("against", [], "decontaminate: the evaluation sets, JSONL.")
_THRESHOLD = flags.DEFINE_float("threshold", 0.8, "dedupe: Jaccard similarity from which on rows are alike.")
_WORDS = flags.DEFINE_integer("words", 13, "decontaminate: length of the runs of words that count.")
_N = flags.DEFINE_integer("n", 0, "stratify: how many rows stay.")
_CLUSTERS = flags.DEFINE_integer("clusters", 32, "stratify: how many clusters.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "stratify: seed.")


def _decontaminate(rows: list[Row]) -> list[str]:
    if not _AGAINST.value:
        raise ValueError("--against is empty; name the evaluation sets")
    return decontaminate(rows, {Path(name).name: load(name) for name in _AGAINST.value}, _WORDS.value)


TOOLS = {
    "dedupe": lambda rows: dedupe(rows, _THRESHOLD.value),
    "decontaminate": _decontaminate,
    "quality": lambda rows: quality(load_chats(_FILE.value)),
    "stratify": lambda rows: stratify(rows, _N.value, _CLUSTERS.value, _SEED.value),
}


def main(argv: list[str]) -> None:
    if len(argv) != 2 or argv[1] not in TOOLS:
        sys.exit(f"error: the command is {' '.join(argv[1:])!r}; it is one of {', '.join(TOOLS)}")
    try:
        rows = load(_FILE.value)
        reasons = TOOLS[argv[1]](rows)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    marked = [*zip(rows, reasons, strict=True)]
    write_jsonl(Path(_OUT.value), [row.raw for row, reason in marked if not reason])
    write_jsonl(
        Path(_OUT.value + ".dropped.jsonl"), [{"id": row.id, "reason": reason} for row, reason in marked if reason]
    )
    for reason, n in Counter(reason.split(":")[0].split(" like ")[0] for reason in reasons if reason).most_common(20):
        print(f"{n} {'like an earlier one' if reason.startswith('like ') else reason}")
    print(f"{_OUT.value}: {sum(not reason for reason in reasons)} of {len(rows)} rows")


if __name__ == "__main__":
    app.run(main)
