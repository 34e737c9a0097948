"""Chats made from the clinic by seed, without limit, and some of files in the package: what a supervised run learns
from where it is given no file.

Train and held-out chats are of different conditions (`clinic.sample`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from m2jax.clinic.sample import sample_item
from m2jax.data import grading, roles
from m2jax.data.chats import Chat
from m2jax.data.consultations import consultations
from m2jax.data.practice import worked
from m2jax.text.chat import Message

LETTERS = "ABCDE"


def items(split: str, n: int, seed: int) -> list[Chat]:
    """n multiple-choice questions, answered by the letter and the option: "B. asthma"."""
    chats = []
    for i in range(seed, seed + n):
        item = sample_item(i, split)
        options = [f"{letter}. {option}" for letter, option in zip(LETTERS, item.options, strict=False)]
        question = "\n".join([item.stem, *options, "Answer with the letter and the option."])
        messages = (Message("user", question), Message("assistant", options[item.answer], trained=True))
        chats.append(Chat(item.id, messages, item.kind, split))
    return chats


def sums(split: str, n: int, seed: int) -> list[Chat]:
    """n sums of the ward, worked out: "12 x 5 = 60. The answer is 60 mg." """
    chats = []
    for i in range(seed, seed + n):
        question, answer = worked(i, split)
        messages = (Message("user", question), Message("assistant", answer, trained=True))
        chats.append(Chat(f"sum-{split}-{i}", messages, "quantity", split))
    return chats


MADE: dict[str, Callable[[str, int, int], list[Chat]]] = {
    "items": items,
    "sums": sums,
    "consultations": consultations,
    "grader": grading.grader,  # of n replies
    "writer": grading.writer,
    "affective": roles.affective,
    "factual": roles.factual,  # of n situations
    "gate": roles.gate,  # at most n: there are 8,000
}


def make_chats(mixture: str, train: int, heldout: int, seed: int) -> list[Chat]:
    """Chats of the training split and of the held-out one: `train` and `heldout` chats, or those of as many replies or
    situations. mixture: a name of `MADE`, or several with their shares, as "items:1,consultations:2". ValueError for an
    unknown name, a share or a number below 1, or too few for every name.
    """
    shares = _shares(mixture)
    if min(train, heldout) < len(shares):
        raise ValueError(
            f"config.data.train {train} and config.data.heldout {heldout} must be at least {len(shares)}, one chat of "
            f"each of {', '.join(shares)}"
        )
    return [
        chat
        for split, n in (("train", train), ("heldout", heldout))
        for name, part in _parts(shares, n).items()
        for chat in MADE[name](split, part, seed)
    ]


def _shares(mixture: str) -> dict[str, int]:
    shares: dict[str, int] = {}
    for part in mixture.split(","):
        name, _, share = part.strip().partition(":")
        if name not in MADE or name in shares:
            raise ValueError(
                f"config.data.made is {mixture!r}; name one or several, each once, of {', '.join(MADE)}, as "
                "'items:1,consultations:2', or give config.data.path"
            )
        if not (share or "1").isdigit() or int(share or 1) < 1:
            raise ValueError(f"config.data.made gives {name} the share {share!r}; give a whole number of at least 1")
        shares[name] = int(share or 1)
    return shares


def _parts(shares: dict[str, int], n: int) -> dict[str, int]:
    """n in these proportions, at least 1 of each: what rounding leaves goes to the first ones."""
    whole = sum(shares.values())
    parts = {name: max(1, n * share // whole) for name, share in shares.items()}
    for name in itertools.cycle(shares):
        if sum(parts.values()) >= n:
            break
        parts[name] += 1
    while sum(parts.values()) > n:
        parts[max(parts, key=parts.__getitem__)] -= 1
    return parts
