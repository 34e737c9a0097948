"""HealthBench (arXiv 2505.08775): its rows, and scores as simple-evals computes them.

    score of an example   points of its met criteria / its positive points; may be negative
    overall               the mean over examples, clipped to [0, 1]
    theme                 the same, of the examples with a tag
    axis                  the same, of each example's criteria with a tag, where any of them has positive points
    adjusted for length   the same as overall, where 500 characters more of a reply cost `PENALTY` and as many fewer
                          than `CENTRE` earn it: how HealthBench Professional is scored (arXiv 2604.27470, section 4.1)

Examples without positive points have no score and are left out. The rows are those of the files that OpenAI publishes
(full, hard, consensus). In the meta-evaluation's each verdict of a grader is paired with each physician's label; the
figure is the macro F1 (mean of the F1 of "met" and of "not met"), by category and as the mean of these.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2jax.evaluate.agreement import f1, table
from m2jax.evaluate.figures import Figure, figure
from m2jax.evaluate.stats import pooled_ci
from m2jax.verifier.rubric import check_messages

RESAMPLES = 1000
CENTRE, PENALTY = 2000, 0.0147  # characters of a reply that cost nothing; score of 500 characters


@dataclasses.dataclass(frozen=True)
class Item:
    """One criterion. tags: such as "axis:accuracy"."""

    text: str
    points: float
    tags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Example:
    """A conversation that ends with the user, what its reply is graded on, and tags such as "theme:hedging"."""

    id: str
    messages: tuple[dict[str, str], ...]
    items: tuple[Item, ...]
    tags: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Label:
    """A row of the meta-evaluation: a reply, one criterion, and what each physician said of it."""

    messages: tuple[dict[str, str], ...]
    reply: str
    item: Item
    category: str
    labels: tuple[bool, ...]


# ---- Files


def load(path: str | Path) -> list[Example]:
    """The examples of a JSONL file, in its order. ValueError is `file:line: what is wrong`."""
    return _rows(path, _example)


def load_meta(path: str | Path) -> list[Label]:
    """The rows of the meta-evaluation's JSONL file. ValueError is `file:line: what is wrong`."""
    return _rows(path, _label)


def _rows(path: str | Path, parse: Callable[[Any], Any]) -> list[Any]:
    found = []
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                found.append(parse(json.loads(line)))
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}:{number}: not a row of HealthBench: {error!r}") from error
            except ValueError as error:  # no JSON, or a conversation that is none
                raise ValueError(f"{path}:{number}: {error}") from error
    if not found:
        raise ValueError(f"{path}: the file has no rows; give one of HealthBench's JSONL files")
    return found


def _example(row: Any) -> Example:
    items = tuple(
        Item(str(item["criterion"]), _number(item["points"]), tuple(item.get("tags") or ())) for item in row["rubrics"]
    )
    return Example(str(row["prompt_id"]), _messages(row["prompt"]), items, tuple(row.get("example_tags") or ()))


def _label(row: Any) -> Label:
    labels = row["binary_labels"]
    if not labels or not all(isinstance(label, bool) for label in labels):
        raise ValueError(f"binary_labels is {labels!r}; give true or false for each of at least one physician")
    item = Item(str(row["rubric"]), 1.0)
    return Label(_messages(row["prompt"]), str(row["completion"]), item, str(row["category"]), tuple(labels))


def _messages(raw: Any) -> tuple[dict[str, str], ...]:
    messages = tuple({"role": m["role"], "content": m["content"]} for m in raw)
    check_messages(messages)
    return messages


def _number(points: Any) -> float:
    if isinstance(points, bool) or not isinstance(points, int | float):
        raise ValueError(f"points is {points!r}; give a number")
    return float(points)


# ---- Scores


def score(items: Sequence[Item], met: Sequence[bool]) -> float | None:
    """Points of the met criteria over the positive points; None where there are no positive points."""
    possible = sum(item.points for item in items if item.points > 0)
    if not possible:
        return None
    return sum(item.points for item, yes in zip(items, met, strict=True) if yes) / possible


def adjusted(score: float, reply: str) -> float:
    """An example's score less what the length of its reply costs; not clipped."""
    return score - PENALTY * (len(reply) - CENTRE) / 500


def by_group(examples: Sequence[Example], met: Sequence[Sequence[bool]]) -> dict[str, dict[str, float]]:
    """Scores by example's id: those of examples under "overall", of each theme's and each axis' under its tag."""
    found: dict[str, dict[str, float]] = {"overall": {}}
    for example, verdicts in zip(examples, met, strict=True):
        whole = score(example.items, verdicts)
        if whole is None:
            continue
        for name in ("overall", *example.tags):
            found.setdefault(name, {})[example.id] = whole
        for tag in dict.fromkeys(tag for item in example.items for tag in item.tags):
            own = [i for i, item in enumerate(example.items) if tag in item.tags]
            part = score([example.items[i] for i in own], [verdicts[i] for i in own])
            if part is not None:
                found.setdefault(tag, {})[example.id] = part
    return found


def clipped(name: str, scores: Mapping[str, float], note: str = "") -> Figure:
    """The mean of scores by example's id, clipped to [0, 1], with its 95% interval and standard deviation over
    `RESAMPLES` resamples.
    """
    plain, values = figure(name, [*scores.values()], ids=[*scores]), np.asarray([*scores.values()])
    draws = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    means = np.clip(draws.mean(1), 0, 1)
    low, high = np.quantile(means, [0.025, 0.975])
    said = "; ".join(filter(None, [f"bootstrap sd {means.std():.4f}", note]))
    value = float(np.clip(values.mean(), 0, 1))
    return dataclasses.replace(plain, value=value, low=float(low), high=float(high), note=said)


def macro_f1(sums: np.ndarray) -> np.ndarray:
    """The mean of the F1 of yes and of no, of [..., 4] counts (`agreement.table`)."""
    return (f1(sums) + f1(sums[..., [3, 2, 1, 0]])) / 2


def meta_figures(rows: Sequence[Label], met: Sequence[bool]) -> list[Figure]:
    """The macro F1 of verdicts against physicians, by category and as the mean of the categories."""
    counts: dict[str, list[np.ndarray]] = {}
    for row, verdict in zip(rows, met, strict=True):
        counts.setdefault(row.category, []).append(table([[(verdict, label) for label in row.labels]])[0])
    figures = [
        Figure(f"physicians, {name}: macro F1", *pooled_ci(np.array(rows_of), macro_f1), len(rows_of))
        for name, rows_of in sorted(counts.items())
    ]
    mean, low, high = (float(np.mean([getattr(f, key) for f in figures])) for key in ("value", "low", "high"))
    return [
        *figures,
        Figure("physicians: macro F1", mean, low, high, len(rows), note="mean of the categories, and of their bounds"),
    ]
