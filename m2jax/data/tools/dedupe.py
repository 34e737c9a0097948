"""Near-duplicates by MinHash (Broder 1997) over runs of words, found with locality-sensitive hashing (datasketch)."""

from __future__ import annotations

from collections.abc import Sequence

from datasketch import MinHash, MinHashLSH

from m2jax.data.tools.rows import Row, grams

GRAM = 3  # words
HASHES = 128  # standard error of an estimate of 0.8: 0.035


def dedupe(rows: Sequence[Row], threshold: float = 0.8) -> list[str]:
    """Of each row "", or which earlier row that stays it is like: their runs of words have an estimated Jaccard
    similarity of at least `threshold`, in (0, 1]. Rows that are the same always are.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold is {threshold}; give a similarity above 0 and at most 1")
    index = MinHashLSH(threshold=min(threshold, 0.9), num_perm=HASHES)
    sketches: dict[str, MinHash] = {}
    reasons = []
    for place, row in enumerate(rows):
        sketch = MinHash(HASHES)
        sketch.update_batch([" ".join(gram).encode() for gram in set(grams(row.text, GRAM))])
        alike = [name for name in index.query(sketch) if sketch.jaccard(sketches[name]) >= threshold]
        if alike:
            reasons.append(f"like {rows[min(map(int, alike))].id}")
            continue
        index.insert(str(place), sketch)
        sketches[str(place)] = sketch
        reasons.append("")
    return reasons
