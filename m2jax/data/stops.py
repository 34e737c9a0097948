"""What the Termination Gate is fitted to, and the fit: doctor's messages, each with whether the consultation is over
after the last of them.

    {"messages": ["Where does it hurt?", "It's gout. Naproxen twice a day."], "stop": true}

`gate_messages.jsonl` has those that were written and labelled one by one, most of them by a large language model told
what ends a consultation; to them come messages of the scripted doctors, and the plainest forms, so that what is said in
training is told apart for certain.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.sparse

from m2jax.clinic import doctor
from m2jax.clinic.condition import conditions
from m2jax.clinic.sample import sample_record
from m2jax.data.consultations import consultations
from m2jax.patient.gate import BUCKETS, STRENGTH, buckets

DECAY = 0.3  # weight decay: half of it times the sum of squared weights beside the sum of losses
SCRIPTED = 20  # consultations of each scripted doctor
PLAIN, FEW = 1200, 100  # pairs of plain messages; for a model, to which they tell little
FOLDS = 5
HELD_OUT, BLOCK = 20, 20
COMMITS = (
    "You have {}.", "This is {}.", "It's {}.", "I think this is {}.", "You most likely have {}.", "So it's {}, then.",
    "My diagnosis is {}.", "What you have is called {}.", "This sounds like {}.", "Your symptoms point to {}.",
    "You are suffering from {}.", "Assessment: {}.", "It is {}, I am sure.", "Most likely it is {}.",
)  # fmt: skip
DOUBTS = (
    "It could be {}.", "This may be {}.", "I want to rule out {}.", "I wonder about {}.", "One possibility is {}.",
    "I am not sure yet whether it is {}.", "You told me that you have had {}.", "Your mother has {}.", "{} is common.",
    "If it is {}, we will treat it.", "Have you ever had {}?", "You have known {}.",
)  # fmt: skip
PLANS = (
    "I'll give you something for it.", "You need treatment.", "We will treat it.", "Let a specialist see you.",
    "I will prescribe you a medicine.", "Here is a prescription.", "I'll write something up for that.",
)  # fmt: skip
IFS = ("If it gets worse, come back.", "Call an ambulance if you get chest pain.", "Go to hospital if you faint.")
CLOSES = ("", "", "", " Any questions?", " Does that make sense?", " Is that okay with you?", " What do you think?")
ASKS = (
    "Does it hurt?", "How long have you had it?", "When did it start?", "Tell me more about it.", "Any fever?",
    "Do you take any medicines?", "Have you noticed anything else?", "Where is it worst?",
)  # fmt: skip


class Row(NamedTuple):
    messages: tuple[str, ...]
    stop: bool


def labelled() -> list[Row]:
    """The messages written one by one."""
    text = resources.files("m2jax.data").joinpath("gate_messages.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.split("\n") if line]
    return [Row(tuple(row["messages"]), row["stop"]) for row in rows]


def split_rows(split: str) -> list[Row]:
    """What a model learns from, and those held out: of the messages written one by one every `HELD_OUT`-th block of
    `BLOCK`, since those that are nearly the same stand together.
    """
    held = split == "heldout"
    rows = [row for i, row in enumerate(labelled()) if (i // BLOCK % HELD_OUT == HELD_OUT - 1) is held]
    return rows if held else [*rows, *scripted(SCRIPTED, split), *plain(FEW)]


def made() -> list[Row]:
    """What comes to the messages written one by one."""
    return [*scripted(SCRIPTED, "train"), *plain()]


def scripted(n: int, split: str) -> list[Row]:
    """Messages of n consultations of each scripted doctor: that of the evaluations (`clinic.doctor`) and that of SFT
    (`data.consultations`). The last ends the consultation, no other.
    """
    held = [[m.text for m in doctor.moves(sample_record(seed, split), seed, 5)] for seed in range(n)]
    for chat in consultations(split, n, 0):
        held.append([m.content for m in chat.messages if m.role == "assistant"])
    return [Row(tuple(said[: i + 1]), i == len(said) - 1) for said in held for i in range(len(said))]


def plain(n: int = PLAIN) -> list[Row]:
    """n messages that commit themselves to a condition of the training split and say what follows, and n that ask,
    doubt, or advise without.
    """
    rng, rows = np.random.default_rng(0), []
    known = [c for c in conditions() if c.split == "train"]
    draw = lambda options: options[rng.integers(len(options))]  # noqa: E731
    for i in range(n):
        c = draw(known)
        commits, doubts = draw(COMMITS).format(c.name), draw(DOUBTS).format(c.name)
        plan = draw((draw(c.management).text, draw(PLANS)))
        goes_on = (
            f"{commits} {draw(ASKS)}",
            f"{doubts} {draw(ASKS)}",
            f"{doubts} {draw(IFS)}",
            doubts,
            f"{plan} {draw(ASKS)}",
        )[i % 5]
        rows += [Row((f"{commits} {plan}{draw(CLOSES)}",), True), Row((goes_on,), False)]
    return rows


def fit(rows: Sequence[Row]) -> np.ndarray:
    """The gate's weights: float16 [BUCKETS + 1], as `gate.WEIGHTS` holds them."""
    return _fit(_matrix(rows), np.asarray([row.stop for row in rows]))


def _fit(X: scipy.sparse.csr_matrix, stop_N: np.ndarray) -> np.ndarray:
    sign_N = np.where(stop_N, 1.0, -1.0)

    def loss(w_B: np.ndarray) -> tuple[float, np.ndarray]:
        margin_N = sign_N * (X @ w_B[:-1] + w_B[-1])
        slope_N = -sign_N / (1 + np.exp(margin_N))
        gradient_B = np.append(X.T @ slope_N + DECAY * w_B[:-1], slope_N.sum())
        return float(np.logaddexp(0, -margin_N).sum() + DECAY / 2 * (w_B[:-1] ** 2).sum()), gradient_B

    found = scipy.optimize.minimize(loss, np.zeros(BUCKETS + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return found.x.astype(np.float16)


def crossed(rows: Sequence[Row], beside: Sequence[Row]) -> np.ndarray:
    """bool [N]: of each row, whether a gate was right that was fitted to the others and to those `beside`; in `FOLDS`
    parts.
    """
    X, stop = _matrix([*rows, *beside]), np.asarray([row.stop for row in (*rows, *beside)])
    order, right_N = np.random.default_rng(0).permutation(len(rows)), np.zeros(len(rows), bool)
    for part in range(FOLDS):
        left_out = order[part::FOLDS]
        others = np.setdiff1d(np.arange(len(stop)), left_out)
        weights_B = _fit(X[others], stop[others]).astype(np.float64)
        right_N[left_out] = (X[left_out] @ weights_B[:-1] + weights_B[-1] > 0) == stop[left_out]
    return right_N


def _matrix(rows: Sequence[Row]) -> scipy.sparse.csr_matrix:
    """float64 [N, BUCKETS]: each row's features, of the same length for all."""
    found = [buckets(row.messages) for row in rows]
    values = np.concatenate([np.full(len(one), STRENGTH / np.sqrt(len(one))) for one in found])
    starts = np.cumsum([0, *(len(one) for one in found)])
    return scipy.sparse.csr_matrix((values, np.concatenate(found), starts), shape=(len(rows), BUCKETS))
