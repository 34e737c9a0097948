"""A sample spread over what a pool holds: from clusters of like rows, the same share of each as far as it goes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from m2jax.data.tools.rows import Row

DIMENSIONS = 64
DROPPED = "not drawn"


def stratify(rows: Sequence[Row], n: int, clusters: int = 32, seed: int = 0) -> list[str]:
    """Of each row "" or "not drawn": n stay, drawn from the clusters in turn. The same for the same seed."""
    if not 0 < n <= len(rows):
        raise ValueError(f"{n} rows are to stay; give from 1 to the {len(rows)} that there are")
    labels = cluster(rows, min(clusters, len(rows)), seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    members = [[int(i) for i in order if labels[i] == label] for label in rng.permutation(sorted(set(labels)))]
    turns = [group[turn] for turn in range(len(rows)) for group in members if turn < len(group)]
    kept = set(turns[:n])
    return ["" if i in kept else DROPPED for i in range(len(rows))]


def cluster(rows: Sequence[Row], clusters: int, seed: int = 0) -> list[int]:
    """A label of each row: k-means over its TF-IDF words, in at most 64 dimensions and of length 1."""
    features = TfidfVectorizer(sublinear_tf=True).fit_transform([row.text for row in rows])
    size = min(DIMENSIONS, features.shape[1] - 1, len(rows) - 1)
    if size > 1:
        features = normalize(TruncatedSVD(size, random_state=seed).fit_transform(features))
    return MiniBatchKMeans(clusters, random_state=seed, n_init=3).fit_predict(features).tolist()
