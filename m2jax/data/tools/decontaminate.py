"""Rows that hold a run of words of an evaluation set, which would make its score say little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from m2jax.data.tools.rows import Row, grams, words

GRAM = 13  # words, as in GPT-3's report (arXiv 2005.14165, appendix C)
SHORTEST = 8  # words of an evaluation text that is shorter than a run: it is looked for as a whole


def decontaminate(rows: Sequence[Row], against: Mapping[str, Sequence[Row]], n: int = GRAM) -> list[str]:
    """Of each row "", or the evaluation set, the row of it and the words that both have. against: sets by name; runs of
    n words of any of their texts count, shorter texts as a whole from `SHORTEST` words on.
    """
    if n < SHORTEST:
        raise ValueError(f"runs of {n} words say little, texts share them by chance; give {SHORTEST} or more")
    found: dict[tuple[str, ...], str] = {}
    for name, theirs in against.items():
        for row in theirs:
            for text in row.texts:
                if len(words(text)) >= SHORTEST:
                    for gram in grams(text, n):
                        found.setdefault(gram, f"{name}: {row.id}")
    lengths = sorted({len(gram) for gram in found})

    def reason(row: Row) -> str:
        for text in row.texts:
            mine = words(text)
            for length in lengths:
                for i in range(len(mine) - length + 1):
                    if where := found.get(tuple(mine[i : i + length])):
                        return f"{where}: {' '.join(mine[i : i + length])}"
        return ""

    return [reason(row) for row in rows]
