"""A witness of what a simulated patient said: leaks, contradictions and inventions, by rules of its own.

It shares nothing with the patient's units, which are what is measured (`patient.claims` and `patient.disclosed` judge
before a reply is sent; this judges what was sent). It knows the whole record, what the doctor asked for
(`clinic.doctor.Move.asks`), what the doctor said, and from the clinic the words that are medicine's.

A sentence is held against the fact it shares most with. It tells the fact where it holds half of the fact's words,
weighed by how rare they are in the clinic's texts, or one that no other fact of any record has.

- leak: it tells a fact that was neither volunteered nor asked for so far, and no fact that was; or beside one that was
  half of such a fact, in words that none that was has;
- contradiction: it tells a fact with the opposite sign, or with another number;
- invention: it holds a medical word, or a number with a unit, that is in no fact of the record and that the doctor did
  not say.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections import Counter
from collections.abc import Iterable
from importlib import resources

from m2jax.clinic.condition import conditions
from m2jax.clinic.sample import sample_record
from m2jax.records.record import Fact, Record

HALF = 0.5  # the weight of a fact's words in a sentence that counts as telling it
CORPUS = 600  # records that say which words are rare
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+|,?\s+but\s+|,\s+and\s+(?=(?:i|my|it|no)\b)", re.IGNORECASE)
_NO = re.compile(
    r"\b(?:no|not|never|none|nobody|nothing|without|neither|nor|denies|unchanged|cannot|\w+n[’']t)\b", re.IGNORECASE
)
_ANSWER = re.compile(r"^\W*(?:yes|no|well|oh)\s*[,.:;–-]\s*(?=\w)", re.IGNORECASE)
_UNIT = re.compile(
    r"\b(\d+(?:[.,]\d+)?)[\s-]*(mg|ml|kg|cm|units?|cigarettes?|packs?|°c|degrees?|%"
    r"|minutes?|hours?|days?|nights?|weeks?|months?|years?|times?)",
    re.IGNORECASE,
)
_WORD_NUMBERS = dict(
    zip("one two three four five six seven eight nine ten eleven twelve".split(), map(str, range(1, 13)), strict=True)
)
_EMPTY = frozenset(
    """a an the i me my mine we you your he she it its they them his her is are was were be been being am do does did
    have has had having of in on at to for from with by about as and or but so if when then than that this these those
    there here what which who how why no not never none any some all very really quite just only also too again still
    now yes well can could would should will may might must get got go goes going come comes came feel feels felt think
    know say said tell see like since after before during over under up down out off into more most much many few lot
    bit little day week month year hour minute time ago last first long short good bad better worse okay fine sure thing
    doctor please thank sorry don t s m re ve ll d""".split()
)


@dataclasses.dataclass(frozen=True)
class Testimony:
    """What a reply gave away (ids of facts), got wrong (ids), and made up (the words)."""

    leaks: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    inventions: tuple[str, ...] = ()

    @property
    def keeps(self) -> bool:
        return not self.leaks

    @property
    def true(self) -> bool:
        return not self.contradictions and not self.inventions


def witness(record: Record, asked: Iterable[str], doctor: Iterable[str], reply: str) -> Testimony:
    """asked: ids of the facts asked for up to now. doctor: the doctor's messages up to now."""
    may = set(asked) | {f.id for f in record.facts if f.disclosure == "volunteers"}
    heard = frozenset().union(*(_stems(message) for message in doctor)) if doctor else frozenset()
    facts = {f.id: _stems(f.text) for f in record.facts}
    known = frozenset().union(*facts.values()) | {
        _stem(word) for f in record.facts for c in f.cues for word in c.split()
    }
    figures_known = frozenset().union(*(_figures(text) for text in (*(f.text for f in record.facts), *doctor)))
    free = frozenset().union(*(facts[name] for name in may if name in facts))
    leaks, wrong, made = [], [], []
    for sentence in _statements(reply):
        words = _stems(sentence)
        told = sorted(((_share(facts[f.id], words), f) for f in record.facts), key=lambda pair: -pair[0])
        told = [f for share, f in told if share >= HALF]
        kept = [f for f in told if f.id not in may]
        if len(kept) < len(told):
            kept = [f for f in kept if _share(facts[f.id], words - free) >= HALF]
        if kept:
            leaks.append(kept[0].id)
        best = next((f for f in told if f.id in may), told[0] if told else None)
        strange = [w for w in sorted(words) if w in medical() and w not in known and w not in heard]
        figures = _figures(sentence) - figures_known
        if best and not strange and not any(_agree(f.text, sentence) and not figures for f in told):
            wrong.append(best.id)
        elif figures or (strange and not _NO.search(sentence)):
            made += [*strange, *sorted(figures)]
    return Testimony(tuple(leaks), tuple(wrong), tuple(made))


def tells(record: Record, reply: str) -> frozenset[str]:
    """Ids of the facts that a reply tells, rightly or wrongly, whoever may hear them."""
    said = [_stems(sentence) for sentence in _statements(reply)]
    return frozenset(f.id for f in record.facts if any(_share(_stems(f.text), words) >= HALF for words in said))


def rarest(text: str, n: int) -> list[str]:
    """Up to n words of a text that mean something, by how rare they are in the clinic, in the text's order."""
    words = list(dict.fromkeys(w for w in re.findall(r"[a-z]+", text.lower()) if w not in _EMPTY and len(w) > 2))
    kept = sorted(words, key=lambda w: -_weight(_stem(w)))[:n]
    return [w for w in words if w in kept]


def _statements(reply: str) -> list[str]:
    return [s for s in _SENTENCE.split(reply) if s.strip() and not s.strip().endswith("?")]


def _share(fact: frozenset[str], words: frozenset[str]) -> float:
    """The weight of the fact's words that a sentence holds, over that of all."""
    whole = sum(map(_weight, fact))
    return sum(_weight(w) for w in fact & words) / whole if whole else 0.0


def _sign(text: str) -> bool:
    """Whether it says that something is there; the "No," that begins an answer says nothing by itself."""
    return _NO.search(_ANSWER.sub("", text)) is None


def _agree(fact: str, sentence: str) -> bool:
    """The same sign as a part of the fact that it shares words with, and no other side where the fact names one."""
    words = _stems(sentence)
    parts = [part for part in re.split(r"[;,]", fact) if _stems(part) & words] or [fact]
    sides = [set(re.findall(r"\b(?:left|right)\b", text.lower())) for text in (fact, sentence)]
    return any(_sign(part) == _sign(sentence) for part in parts) and (len(sides[0]) != 1 or not sides[1] - sides[0])


def _figures(text: str) -> frozenset[str]:
    """Numbers with a unit, as in "2 hour"."""
    return frozenset(f"{number} {unit.rstrip('s')}" for number, unit in _UNIT.findall(_in_digits(text)))


def _in_digits(text: str) -> str:
    return re.sub(r"[a-z]+", lambda m: _WORD_NUMBERS.get(m[0], m[0]), text.lower())


def _stems(text: str) -> frozenset[str]:
    words = re.findall(r"[a-z]+", text.lower().replace("’", "'"))
    return frozenset(_stem(w) for w in words if w not in _EMPTY and len(w) > 2)


def _stem(word: str) -> str:
    for ending in ("ing", "edly", "ed", "ies", "es", "s", "ly", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _weight(word: str) -> float:
    """By how many of the clinic's facts hold a word (inverse document frequency)."""
    n, counts = _counts()
    return math.log(1 + n / (1 + counts[word]))


@functools.cache
def _counts() -> tuple[int, Counter[str]]:
    texts = {f.text for seed in range(CORPUS) for f in sample_record(seed, "train").facts if f.kind != "demographic"}
    return len(texts), Counter(word for text in texts for word in _stems(text))


@functools.cache
def medical() -> frozenset[str]:
    """Stems of medicine's words: in the clinic's findings, drugs and names, but hardly in its advice to patients."""
    own: Counter[str] = Counter()
    plain: Counter[str] = Counter()
    for c in conditions():
        for finding in (c.complaint, *c.symptoms):
            own.update({s for text in (*finding.yes, finding.no) for s in _stems(text)})
        own.update(_stems(" ".join((c.name, *c.names))))
        plain.update({s for a in c.management for s in _stems(a.text)} | _stems(c.safety_net.text))
    persona = resources.files("m2jax.patient").joinpath("persona.toml").read_text("utf-8")
    plain.update(dict.fromkeys(_stems(" ".join(re.findall(r'"(.*?)"', persona))), 100))
    facts: Iterable[Fact] = (f for seed in range(CORPUS) for f in sample_record(seed, "train").of("past", "drug"))
    own.update({s for f in facts for s in _stems(f.text)})
    return frozenset(word for word, n in own.items() if n > 3 * plain[word])
