"""Sentences written against the de-identifier, and its figures on them:

    PYTHONPATH=. python tests/records/adversarial.py tests/records/sentences_second.txt

A sentence counts as found where nothing of what stands in braces is left, not even one word (of a date the year may
stay). A sentence without identifiers counts as a false alarm where anything has changed.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

from m2jax.records.deidentify import deidentify
from m2jax.records.record import Fact, Record

HERE = Path(__file__).parent
NOTHING = "-"


def sentences(file: Path) -> list[tuple[str, str]]:
    """(class, sentence with braces) of each line."""
    lines = (line.partition(" | ") for line in file.read_text("utf-8").splitlines() if not line.startswith("#"))
    return [(kind, text) for kind, _, text in lines]


def is_right(kind: str, marked: str) -> bool:
    """Whether all that stands in braces has gone; without braces, whether nothing has."""
    plain = re.sub(r"[{}]", "", marked)
    after = deidentify(Record("r", 54, "female", "cyst", (Fact("f", "complaint", plain, "asked"),), "test"))[0]
    said = after.facts[0].text
    if kind == NOTHING:
        return said == plain
    outside = set(re.findall(r"\w+", re.sub(r"\{[^}]*\}", " ", marked)))
    left = set(re.findall(r"\w+", re.sub(r"\[[A-Z]+\]", " ", said))) - outside
    gone = [word for part in re.findall(r"\{([^}]*)\}", marked) for word in re.findall(r"\w+", part)]
    return not any(word in left for word in gone if not re.fullmatch(r"(?:19|20)\d\d", word))


def figures(file: Path) -> dict[str, tuple[int, int]]:
    """(right, all) of each class."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for kind, marked in sentences(file):
        counts[kind][0] += is_right(kind, marked)
        counts[kind][1] += 1
    return {kind: (right, n) for kind, (right, n) in counts.items()}


if __name__ == "__main__":
    found = figures(Path(sys.argv[1]))
    for kind, (right, n) in found.items():
        print(f"{'no identifier, kept' if kind == NOTHING else kind}: {right}/{n}")
    right, n = map(sum, zip(*(v for k, v in found.items() if k != NOTHING), strict=True))
    kept, all_kept = found[NOTHING]
    print(f"recall {right / n:.3f} of {n}; false alarms {all_kept - kept} of {all_kept}")
    if "--list" in sys.argv:
        print(*(f"{k} | {t}" for k, t in sentences(Path(sys.argv[1])) if not is_right(k, t)), sep="\n")
