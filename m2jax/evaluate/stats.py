"""Statistics of a held-out evaluation: bootstrap intervals, distinct n-grams, scores per rubric dimension.

The unit of resampling is the prompt. Several replies to one prompt are not independent looks at the policy,
so they are averaged first, and every prompt weighs the same. `Scores` is one entry a prompt: a number, or the
numbers of its samples. Percentile bootstrap: Efron and Tibshirani, An Introduction to the Bootstrap (1993),
chapter 13.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Scores = Sequence[float] | Sequence[Sequence[float]]
CHUNK = 1 << 22  # indices drawn at a time: 32 MiB


def bootstrap_ci(values: Scores, n: int = 10_000, level: float = 0.95, seed: int = 0) -> tuple[float, float, float]:
    """Mean over prompts and its percentile bootstrap interval: (mean, low, high), in the units of `values`.

    n resamples of the prompts, with replacement, drawn from `seed`. A single prompt gives an interval of no
    width, which says nothing about other prompts. Raises ValueError for no prompt, a prompt without samples,
    a value that is not finite, n < 1 or a level outside (0, 1).
    """
    if n < 1 or not 0 < level < 1:
        raise ValueError(f"n is {n} and level {level}: n must be at least 1, level between 0 and 1")
    means_P = _prompt_means(values)
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // len(means_P))
    counts = [min(rows, n - done) for done in range(0, n, rows)]
    draws = [means_P[rng.integers(len(means_P), size=(count, len(means_P)))].mean(axis=1) for count in counts]
    low, high = np.quantile(np.concatenate(draws), [(1 - level) / 2, (1 + level) / 2])
    return float(means_P.mean()), float(low), float(high)


def paired_gain(
    before: Scores, after: Scores, n: int = 10_000, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of after − before over the same prompts in the same order, with its interval: (gain, low, high).

    Pairing removes the spread between easy and hard prompts, which is common to both. The numbers of samples
    may differ. Raises ValueError as `bootstrap_ci` does, and where the two have different numbers of prompts.
    """
    if len(before) != len(after):
        raise ValueError(
            f"before has {len(before)} prompts and after {len(after)}: give the same prompts, in one order"
        )
    return bootstrap_ci(_prompt_means(after) - _prompt_means(before), n, level, seed)


def pooled_ci(
    counts_PK: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], n: int = 2_000, seed: int = 0
) -> tuple[float, float, float]:
    """A statistic of counts that are summed over prompts, with its 95% bootstrap interval: (value, low, high).

    counts_PK: K counts of each prompt. statistic: of [..., K] sums, one number each; resamples where it is not finite
    are left out. ValueError where there is no prompt.
    """
    counts_PK = np.asarray(counts_PK, np.float64)
    if counts_PK.ndim != 2 or not len(counts_PK):
        raise ValueError(f"counts have the shape {counts_PK.shape}; give one row for each of at least one prompt")
    P = len(counts_PK)
    weights_NP = np.random.default_rng(seed).multinomial(P, np.full(P, 1 / P), size=n)
    drawn_N = statistic(weights_NP @ counts_PK)
    low, high = (
        np.quantile(drawn_N[np.isfinite(drawn_N)], [0.025, 0.975]) if np.isfinite(drawn_N).any() else [np.nan] * 2
    )
    return float(statistic(counts_PK.sum(0))), float(low), float(high)


def distinct_ngrams(texts: Iterable[str], n: int = 3) -> float:
    """Share of the n-grams of all texts together that are distinct, 0 to 1 (Li et al. 2016,
    arXiv:1510.03055).

    The grams are of lower-case words and single signs, and do not run across texts. The share falls with the
    amount of text: compare only sets of like size. 0.0 where no text has n words. Raises ValueError for n < 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}: an n-gram has at least 1 word")
    total, seen = 0, set()
    for text in texts:
        words = re.findall(r"\w+|[^\w\s]", text.lower())
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        total += len(grams)
        seen.update(grams)
    return len(seen) / total if total else 0.0


def dimension_scores(replies: Iterable[Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    """Mean score of each rubric dimension over replies, 0 to 1; keys in alphabetical order.

    A reply is the list of its graded criteria, each with "dimension", "points" and "met". Within a reply a
    dimension scores (sum of points met − sum of negative points) / (sum of |points|), the min–max form of the
    whole rubric (arXiv 2602.06570) on that dimension's criteria. A reply counts for the dimensions its rubric
    has; criteria of 0 points count for none.
    """
    shares: dict[str, list[float]] = {}
    for criteria in replies:
        sums: dict[str, list[float]] = {}
        for criterion in criteria:
            points = criterion["points"]
            pair = sums.setdefault(criterion["dimension"], [0.0, 0.0])
            pair[0] += points * bool(criterion["met"]) - min(points, 0)
            pair[1] += abs(points)
        for name, (earned, span) in sums.items():
            if span:
                shares.setdefault(name, []).append(earned / span)
    return {name: sum(values) / len(values) for name, values in sorted(shares.items())}


def _prompt_means(values: Scores) -> np.ndarray:
    """[P] float64: the mean of each prompt's samples."""
    if len(values) == 0:
        raise ValueError("there is no prompt: give the scores of at least one")
    if any(np.size(samples) == 0 for samples in values):
        raise ValueError("a prompt has no samples: leave it out, or score it")
    means_P = np.array([np.mean(np.asarray(samples, np.float64)) for samples in values])
    if not np.isfinite(means_P).all():
        where = int(np.flatnonzero(~np.isfinite(means_P))[0])
        raise ValueError(f"the score of prompt {where} is {means_P[where]}: only finite scores can be averaged")
    return means_P
