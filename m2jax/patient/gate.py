"""Termination Gate: whether the consultation is over after the doctor's message.

It is over where the doctor has given a diagnosis with a plan, sends the patient to emergency care, says farewell, or
the limit of rounds is reached (the paper's "predefined triggers", arXiv 2509.02208, section 1). Diagnosis and plan may
come in different messages. A possibility ("it could be", "I want to rule out"), a condition ("if it is") and a question
are no diagnosis; and as long as a message asks for more history it goes on.

A logistic regression decides, over what `features` finds: words, pairs of words, their beginnings and endings, the form
of sentences, and which tables (`gate_words`) have words of them. Its weights are fitted to labelled messages by
`launch/gate.py` (`data/stops.py`): the same decision in every process, in about 2 ms. Where a model reads the messages
too (`question`), the odds of both are multiplied; it is asked where the regression is not `is_sure`, one message in
three.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
import zlib
from collections.abc import Iterable, Sequence
from importlib import resources

import numpy as np

from m2jax.patient.gate_words import marks
from m2jax.patient.prompt import LONGEST, conversation, fill
from m2jax.patient.script import Line

REASONS = ("diagnosis", "emergency", "farewell", "limit")
BUCKETS = 1 << 16  # that features are hashed to
WEIGHTS = "gate.npy"  # float16 [BUCKETS + 1], the last one for every message
STRENGTH = 10.0  # length of a message's vector of features
SHOWN = LONGEST  # characters
SURE = 0.01  # of the regression, below which (and as near to 1) no model is asked
MOST, NEAR = 8, 100  # diseases of a sentence that are looked at; characters before and after one

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+(?:[.,]\d+)?|[?!.,:;#*-]")
_SENTENCE = re.compile(r"(?<=[.!?;])(?<!\bdr\.)\s+|\n+", re.IGNORECASE)
_STEM = 6  # letters from which on a word's beginning and ending count by themselves: "-itis", "-cillin", "prescri-"


@dataclasses.dataclass(frozen=True)
class Gate:
    """stop: whether the patient ends the consultation here. reason: one of `REASONS`, or "" while it goes on;
    "fault" where `simulate.consult` refused the doctor's message. p, read: the probability that it is over, by the
    regression and by the model (None: none was asked).
    """

    stop: bool
    reason: str = ""
    p: float | None = dataclasses.field(default=None, compare=False)
    read: float | None = dataclasses.field(default=None, compare=False)


def gate(doctor_messages: Sequence[str], limit: int, read: float | None = None) -> Gate:
    """The gate's decision after the last of the doctor's messages. limit: rounds, at least 1; ValueError otherwise.
    read: the probability that a model gives, in [0, 1]; None: none was asked.
    """
    if limit < 1 or not doctor_messages:
        raise ValueError(f"limit is {limit} and there are {len(doctor_messages)} messages; both must be at least 1")
    p = probability(doctor_messages)
    if p + (0.5 if read is None else read) > 1:  # as odds: p / (1 - p) * read / (1 - read) > 1
        return Gate(True, _reason(doctor_messages[-1]), p, read)
    return Gate(True, "limit", p, read) if len(doctor_messages) >= limit else Gate(False, "", p, read)


def probability(doctor_messages: Sequence[str]) -> float:
    """That the consultation is over after the last of the doctor's messages, in [0, 1]."""
    found, weights_B = buckets(doctor_messages), _weights()
    z = STRENGTH / np.sqrt(len(found)) * weights_B[found].sum() + weights_B[-1]
    return float(1 / (1 + np.exp(-z)))


def is_sure(doctor_messages: Sequence[str]) -> bool:
    """Whether the regression needs no second opinion."""
    return not SURE < probability(doctor_messages) < 1 - SURE


def question(doctor_messages: Sequence[str]) -> str:
    """What a model is asked, which answers Yes or No: whether the consultation is over after the last message. It is
    shown the last `SHOWN` characters that the doctor wrote.
    """
    lines, room = [], SHOWN
    for text in reversed(doctor_messages):
        lines.append(Line("doctor", text[-room:]))
        room -= len(text)
        if room <= 0:
            break
    return fill("gate", messages=conversation(lines[::-1]))


def buckets(doctor_messages: Sequence[str]) -> list[int]:
    """The rows of the weights that the features of the messages are hashed to, each once, in order."""
    return sorted({zlib.crc32(feature.encode("utf-8", "replace")) % BUCKETS for feature in features(doctor_messages)})


def features(doctor_messages: Sequence[str]) -> Iterable[str]:
    """What is found in the last message, and in what the earlier ones stated."""
    *earlier, last = [message.replace("’", "'") for message in doctor_messages]
    sentences = _sentences(last)
    asks = [sentence.endswith("?") for sentence in sentences]
    yield f"asks {min(3, sum(asks))} {asks[-1] if asks else ''}"
    yield f"sentences {min(6, len(sentences))}"
    yield f"length {min(8, len(last.split()) // 8)}"
    yield f"earlier {min(2, len(earlier))} {any(marks()['D'].search(message) for message in earlier)}"
    yield from _of_words(_words(last))
    yield from _of_words(_words(" ".join(s for message in earlier for s in _sentences(message) if s[-1] != "?")))
    yield from _of_sentences(sentences)
    words = _words(sentences[-1]) if sentences else []
    yield from (f"last {word}" for word in words)
    yield from (f"last {a} {b}" for a, b in zip(["<", *words], words, strict=False))


def _of_words(words: Sequence[str]) -> Iterable[str]:
    framed = ["<", *words, ">"] if words else []
    yield from words
    yield from (f"{a} {b}" for a, b in zip(framed, framed[1:], strict=False))
    for word in words:
        if len(word) >= _STEM:
            yield from (f"{word[:4]}-", f"-{word[-4:]}", f"-{word[-5:]}")


def _of_sentences(sentences: Sequence[str]) -> Iterable[str]:
    """How each begins, which tables have words of it, and what stands around a disease."""
    marked = []
    for sentence in sentences:
        how, first = "?" if sentence.endswith("?") else ".", _words(sentence)[:2]
        yield from (f"begins {how} {' '.join(first[:n])}" for n in (1, 2))
        marked.append(how + "".join(letter for letter, table in marks().items() if table.search(sentence)))
        yield f"marks {marked[-1]}"
        yield from (f"mark {how}{letter}" for letter in marked[-1][1:])
        for found in itertools.islice(marks()["D"].finditer(sentence), MOST):
            before = _words(sentence[max(0, found.start() - NEAR) : found.start()])
            after = _words(sentence[found.end() : found.end() + NEAR])
            yield from (f"disease after {how} {' '.join(before[-n:])}" for n in (1, 2, 3))
            yield from (f"disease somewhere after {word}" for word in before)
            yield from (f"disease before {word}" for word in after[:1])
    yield f"all marks {' '.join(marked[-3:])}"
    yield f"any marks {''.join(sorted({letter for one in marked if one[0] == '.' for letter in one[1:]}))}"


def _reason(message: str) -> str:
    """Of one that ends the consultation."""
    found = [{letter for letter, table in marks().items() if table.search(s)} for s in _sentences(message)]
    if any({"P", "N"} <= one for one in found):
        return "emergency"
    return "farewell" if any("F" in one for one in found) and not any("D" in one for one in found) else "diagnosis"


def _words(text: str) -> list[str]:
    """Small words, signs, and 0 for any number."""
    return ["0" if word[0].isdigit() else word for word in _WORD.findall(text.lower())]


def _sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in _SENTENCE.split(text) if sentence.strip()]


@functools.cache
def _weights() -> np.ndarray:
    with resources.files("m2jax.patient").joinpath(WEIGHTS).open("rb") as file:
        return np.load(file).astype(np.float64)
