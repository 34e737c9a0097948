"""Chats made from the clinic by seed, without limit: what a supervised run learns from where it is given no file.

Train and held-out chats are of different conditions (`clinic.sample`).
"""

from __future__ import annotations

from collections.abc import Callable

from m2jax.clinic.sample import sample_item
from m2jax.data import grading, roles
from m2jax.data.chats import Chat
from m2jax.data.consultations import consultations
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


MADE: dict[str, Callable[[str, int, int], list[Chat]]] = {
    "items": items,
    "consultations": consultations,
    "grader": grading.grader,  # of n replies
    "writer": grading.writer,
    "affective": roles.affective,
    "factual": roles.factual,  # of n situations
}


def make_chats(name: str, train: int, heldout: int, seed: int) -> list[Chat]:
    """Chats of the training split and of the held-out one, of what `MADE` calls `name`: `train` and `heldout` chats, or
    those of as many replies or situations. ValueError for an unknown name or a number below 1.
    """
    if name not in MADE:
        raise ValueError(f"config.data.made is {name!r}; it must be one of {', '.join(MADE)}, or give config.data.path")
    if min(train, heldout) < 1:
        raise ValueError(f"config.data.train {train} and config.data.heldout {heldout} must be at least 1")
    return [chat for split, n in (("train", train), ("heldout", heldout)) for chat in MADE[name](split, n, seed)]
