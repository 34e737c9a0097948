"""The grader beside physicians: K-QA's pairs of an answer and a statement, each labelled by three physicians (Manes et
al. 2024, arXiv 2401.14493; `NLI_medical_annotator.csv` of github.com/Itaymanes/K-QA).

The judge is asked whether the answer does what the criterion "States that ..." asks for; the truth is that the majority
says Entailment. Beside it, on the same pairs: lexical overlap, and logistic regression on bags of words, both
cross-fitted over questions, so that neither has seen the question that it is tried on. Both learn from the other pairs'
labels; so the judge is taken as it is, which has seen none, and with a threshold fitted as that of the overlap.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from m2jax.evaluate.agreement import Pairs, agreement, agreement_figures, f1, kappa
from m2jax.evaluate.figures import Figure
from m2jax.evaluate.serving import Runs
from m2jax.evaluate.words import cross_fitted
from m2jax.rollout.single_turn import results_of
from m2jax.sampler.requests import Dialogue
from m2jax.verifier.grader import Judge, read_out
from m2jax.verifier.phrases import content, small
from m2jax.verifier.rubric import Case, Criterion

FILE = "NLI_medical_annotator.csv"
LABELS = ("Entailment", "Neutral", "Contradiction")
FOLDS = 10


@dataclasses.dataclass(frozen=True)
class Pair:
    """A question, an answer to it, a statement, and whether the majority of physicians found it in the answer."""

    question: str
    answer: str
    claim: str
    entailed: bool


def load_pairs(folder: str | Path) -> list[Pair]:
    """The pairs of a K-QA folder. FileNotFoundError, and ValueError that names the line of a wrong label or column."""
    path = Path(folder) / FILE
    pairs = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            label = row.get("majority_label")
            if label not in LABELS or not all(row.get(name) for name in ("Question", "answer", "claim")):
                raise ValueError(
                    f"{path}: record {len(pairs) + 1}: majority_label is {label!r}; it is one of {', '.join(LABELS)}; "
                    "Question, answer and claim are texts"
                )
            pairs.append(Pair(row["Question"], row["answer"], row["claim"], label == "Entailment"))
    return pairs


def physician_figures(engine: Runs, judge: Judge, folder: str | Path, n: int = 0) -> list[Figure]:
    """F1 and kappa of the judge and of the two baselines on the first n pairs (0: all); with a fitted threshold the
    judge's are wanted above the better baseline's.
    """
    pairs = load_pairs(folder)[: n or None]
    truth = np.array([pair.entailed for pair in pairs])
    folds = by_question(pairs)
    said = {
        "lexical overlap": best_threshold(overlap(pairs), truth, folds),
        "bag of words": cross_fitted(bags(pairs), truth, folds),
        "judge": (sure := judged(engine, judge, pairs)) > 0.5,
        "judge with a fitted threshold": best_threshold(sure, truth, folds),
    }
    records = {name: by_record(pairs, verdicts) for name, verdicts in said.items()}
    figures = []
    for name in ("lexical overlap", "bag of words"):
        figures += agreement_figures(f"physicians, {name}", records[name], (("F1", f1, None), ("kappa", kappa, None)))
    best = [max(figure.value for figure in figures[side::2]) for side in (0, 1)]
    plain = (("F1", f1, None), ("kappa", kappa, None), ("agreement", agreement, None))
    measures = (("F1", f1, best[0]), ("kappa", kappa, best[1]), ("agreement", agreement, None))
    for name, what in (("judge", plain), ("judge with a fitted threshold", measures)):
        figures += agreement_figures(f"physicians, {name}", records[name], what)
    return figures


def judged(engine: Runs, judge: Judge, pairs: Sequence[Pair]) -> np.ndarray:
    """[pairs] float64: P(Yes) as the judge reads it off. The statements about one answer share its prefix."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, pair in enumerate(pairs):
        groups.setdefault((pair.question, pair.answer), []).append(i)

    def grade(question: str, answer: str, places: Sequence[int]) -> Dialogue:
        criteria = tuple(criterion(pairs[i].claim) for i in places)
        case = Case("k-qa", "k-qa", "heldout", ({"role": "user", "content": question},), criteria)
        return (yield from read_out(case, answer, criteria, judge))

    given = results_of(engine.run([grade(*key, places) for key, places in groups.items()]))
    sure = np.zeros(len(pairs))
    for places, found in zip(groups.values(), given, strict=True):
        sure[places] = [verdict.probability for verdict in found]
    return sure


def criterion(claim: str) -> Criterion:
    """A statement as a criterion of the reply."""
    return Criterion(f"States that {small(claim).rstrip('.')}.", 5, "accuracy")


def by_record(pairs: Sequence[Pair], verdicts: np.ndarray) -> list[Pairs]:
    """(verdict, truth) by question: the unit that is resampled."""
    records: dict[str, list[tuple[bool, bool]]] = {}
    for pair, verdict in zip(pairs, verdicts, strict=True):
        records.setdefault(pair.question, []).append((bool(verdict), pair.entailed))
    return list(records.values())


# ---- Baselines


def overlap(pairs: Sequence[Pair]) -> np.ndarray:
    """[pairs] float64: the share of the statement's content words that stand in the answer."""
    return np.array([len(content(p.claim) & content(p.answer)) / max(1, len(content(p.claim))) for p in pairs])


def best_threshold(scores: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """[pairs] bool: whether a score reaches the threshold that has the best F1 on the other folds."""
    said = np.zeros(len(truth), bool)
    for fold in np.unique(folds):
        rest = folds != fold
        options = np.unique(scores[rest])
        yes = scores[rest][:, None] >= options
        hits = (yes & truth[rest][:, None]).sum(0)
        found = 2 * hits / np.maximum(yes.sum(0) + truth[rest].sum(), 1)
        said[~rest] = scores[~rest] >= options[found.argmax()]
    return said


def bags(pairs: Sequence[Pair]) -> np.ndarray:
    """[pairs, features] float64: the overlap, and for each content word of the statements whether it stands in the
    statement, and whether in both statement and answer.
    """
    claims, answers = [content(p.claim) for p in pairs], [content(p.answer) for p in pairs]
    words = sorted(set().union(*claims))
    stands = np.array([[word in claim for word in words] for claim in claims], np.float64)
    both = np.array([[word in claim & answer for word in words] for claim, answer in zip(claims, answers, strict=True)])
    return np.concatenate([overlap(pairs)[:, None], stands, both.astype(np.float64)], axis=1)


def by_question(pairs: Sequence[Pair]) -> np.ndarray:
    """[pairs] int: a fold for each, the same for all of a question."""
    places = {question: i for i, question in enumerate(dict.fromkeys(pair.question for pair in pairs))}
    return np.array([places[pair.question] % FOLDS for pair in pairs])
