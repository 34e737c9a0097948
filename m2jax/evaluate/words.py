"""A classifier of words, cross-fitted: what a text's words alone tell of its label. The baseline of baselines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

FOLDS = 5
RIDGE = 1.0  # of the logistic regression
STEPS = 300


def balanced_guesses(texts: Sequence[str], labels: Sequence[str]) -> list[float]:
    """Of each text a value whose mean is the balanced accuracy (the mean of both labels' recalls, chance 0.5) of a
    logistic regression on words, fitted on the other folds. ValueError unless there are two labels, twice each.
    """
    names, truth = np.unique(labels, return_inverse=True)
    sizes = np.bincount(truth)
    if len(names) != 2 or sizes.min() < 2:
        raise ValueError(f"labels are {Counter(labels)}; give two labels, each at least twice")
    folds = np.random.default_rng(0).permutation(len(truth)) % FOLDS
    guess = cross_fitted(features(texts), truth == 1, folds)
    return [float(g == t) * len(truth) / (2 * sizes[t]) for g, t in zip(guess, truth, strict=True)]


def features(texts: Sequence[str]) -> np.ndarray:
    """Which of the words that stand in at least two of the texts stand in each: float64 [n, words], unit rows."""
    words = [set(re.findall(r"[a-z']+", text.lower())) for text in texts]
    counts = Counter(word for found in words for word in found)
    vocabulary = sorted(word for word, n in counts.items() if n > 1)
    x = np.array([[word in found for word in vocabulary] for found in words], np.float64).reshape(len(texts), -1)
    return x / np.maximum(1.0, np.sqrt(x.sum(1, keepdims=True)))


def cross_fitted(features: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """[n] bool: logistic regression, fitted on the other folds. features: float64 [n, F]; folds: int [n]."""
    said = np.zeros(len(truth), bool)
    for fold in np.unique(folds):
        rest = folds != fold
        weights, bias = fit(features[rest], truth[rest])
        said[~rest] = features[~rest] @ weights + bias > 0
    return said


def fit(features: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    """Logistic regression with a ridge, both classes weighing the same, by gradient descent: weights, bias."""
    share = truth.mean()
    balance = np.where(truth, 0.5 / max(share, 1e-9), 0.5 / max(1 - share, 1e-9)) / len(truth)
    x = np.concatenate([features, np.ones((len(truth), 1))], axis=1)
    step = 1 / (0.25 * np.linalg.norm(x * np.sqrt(balance)[:, None], 2) ** 2 + RIDGE / len(truth))  # 1 / smoothness
    w = np.zeros(x.shape[1])
    ridge = np.append(np.full(features.shape[1], RIDGE / len(truth)), 0.0)
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        w -= step * (x.T @ (balance * (p - truth)) + ridge * w)
    return w[:-1], float(w[-1])
