"""Quantities: the reply's final answer is a number, in its unit.

    {"kind": "quantity", "value": 250, "unit": "mg"}              met by "The dose is 250 mg.", "0.25 g", "\\boxed{250}"
    {"kind": "quantity", "value": [1.5, 2], "unit": "mmol/L"}     met by "1.8 mmol/L", "1.6 to 1.9 mmol/L"
    {"kind": "quantity", "value": 0.83, "tolerance": 0.05}        met by "The ratio is 0.8."

What is read: `final.final` where it holds a number, else the last line that holds such a quantity. The first of them
there and all that stand beside it must be right, so that "250 mg or 500 mg" is not; "0.25 g (250 mg)" is. What explains
the first is passed over: behind "in", "of", "for", "every" and the like ("in 2 doses of 125 mg"), and a bracket with a
working ("(5 mg/kg x 50 kg)"). A reply's range is right where both its ends are.

- `tolerance` is relative, 1% by default, and widens the ends of a range of `value` too; a `value` of 0 is met by 0.
- Units convert within a dimension (mg and g; mg/dL and g/L; weeks and days; °C and °F), not between (mg/dL and mmol/L:
  that depends on the substance; percent and fractions).
- A number in a unit of another dimension, or in none, is not a quantity of the rule's; numbers in words are not read.
  Only where a single number ends the statement (a box, "Answer: 250", "The gap is 12.", "12 - 4 = 8") is it taken to be
  in the rule's unit.
- A rule without a unit takes numbers that stand in no unit that is known here ("8 points").

Numbers: 1,250 or 1 250 (thousands), 2,5 (a decimal comma), 1.5e3, 1.5 x 10^3, 10^9, LaTeX of these; -, to, and
between make ranges where one unit follows both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from m2jax.rules.final import answered, final

_WORDS = (
    r"answers?|results?|solution|dos(?:e|age)|value|rate|level|concentration|total|amount|volume|duration|age|clearance"
)
_DIMENSIONS = {  # unit: factor to the first of its dimension; names as they are written, matched without case
    "mass": "g 1|gram 1|gm 1|mg 1e-3|milligram 1e-3|mcg 1e-6|ug 1e-6|µg 1e-6|μg 1e-6|microgram 1e-6|ng 1e-9"
    "|nanogram 1e-9|pg 1e-12|picogram 1e-12|kg 1e3|kilogram 1e3|kilo 1e3|lb 453.59237|lbs 453.59237"
    "|pound 453.59237|oz 28.349523",
    "volume": "l 1|liter 1|litre 1|dl 0.1|deciliter 0.1|decilitre 0.1|ml 1e-3|milliliter 1e-3|millilitre 1e-3|cc 1e-3"
    "|cm3 1e-3|cm³ 1e-3|µl 1e-6|μl 1e-6|ul 1e-6|mcl 1e-6|microliter 1e-6|microlitre 1e-6|fl 1e-15|femtoliter 1e-15",
    "amount": "mol 1|mole 1|mmol 1e-3|millimole 1e-3|µmol 1e-6|μmol 1e-6|umol 1e-6|micromole 1e-6|nmol 1e-9|pmol 1e-12",
    "equivalents": "eq 1|meq 1e-3|milliequivalent 1e-3",
    "osmoles": "osm 1|mosm 1e-3",
    "activity": "iu 1|u 1|unit 1|international unit 1|miu 1e-3|mu 1e-3|µiu 1e-6|μiu 1e-6",
    "time": "day 1|d 1|hour 0.041666666666666664|hr 0.041666666666666664|h 0.041666666666666664"
    "|minute 6.944444444444444e-4|min 6.944444444444444e-4|second 1.1574074074074073e-5|sec 1.1574074074074073e-5"
    "|s 1.1574074074074073e-5|ms 1.1574074074074074e-8|week 7|wk 7|month 30.4375|mo 30.4375|year 365.25|yr 365.25"
    "|y 365.25",
    "length": "m 1|meter 1|metre 1|cm 1e-2|centimeter 1e-2|centimetre 1e-2|mm 1e-3|millimeter 1e-3|millimetre 1e-3"
    "|µm 1e-6|μm 1e-6|um 1e-6|inch 0.0254|inches 0.0254|foot 0.3048|feet 0.3048|ft 0.3048|km 1e3",
    "area": "m2 1|m² 1|m^2 1|cm2 1e-4|cm² 1e-4|cm^2 1e-4",
    "pressure": "mmhg 1|mm hg 1|torr 1|kpa 7.500616827|cmh2o 0.735559|cm h2o 0.735559|pa 0.007500616827|atm 760",
    "percent": "% 1|percent 1|per cent 1",
    "energy": "kcal 1|kilocalorie 1|kj 0.2390057361|calorie 1e-3",
    "body mass index": "kg/m2 1|kg/m² 1|kg/m^2 1",
    "count": "beat 1|breath 1|cell 1|tablet 1|drop 1|gtt 1|gtts 1",
    "filtration": "ml/min/1.73 m2 1|ml/min/1.73 m² 1|ml/min/1.73 m^2 1"
    "|ml/min/1.73m2 1|ml/min/1.73m² 1|ml/min/1.73m^2 1",
    "temperature": "°c 1|℃ 1|degrees c 1|degrees celsius 1|celsius 1|c 1"
    "|°f 1|℉ 1|degrees f 1|degrees fahrenheit 1|fahrenheit 1|f 1",
}
_UNITS = {
    entry.rpartition(" ")[0]: (dimension, float(entry.rpartition(" ")[2]))
    for dimension, entries in _DIMENSIONS.items()
    for entry in entries.split("|")
}
_SPECIAL = {"bpm": "beats/min", "beats per minute": "beats/min", "gy": None}
_ONLY_CAPITAL = frozenset("c f".split())  # °C without its sign; "f" is a letter
_PLURAL = re.compile(r"(?<=[a-z]{3})s$")

_DIGITS = r"\d{1,3}(?:[,\u00a0\u202f\u2009 ]\d{3})+(?!\d)(?:\.\d+)?|\d+,\d+(?![\d,])|\d*\.\d+|\d+"
_POWER = r"\s*[x×·*]\s*10\s*(?:\^\s*\{?\s*([+\-−]?\d{1,3})\}?|([⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3}))"
_NUMBER = rf"[+\-−]?(?:(?:{_DIGITS})(?:[eE][+\-]?\d+(?!\w)|{_POWER})?|10\^\{{?[+\-]?\d{{1,3}}\}}?)"
_WORKING = re.compile(  # a bracket that works something out or rounds it, and gives no choice
    r"\((?![^()]*\b(?:or|and)\b)[^()]*(?:\d\s*[x×*÷/+]\s*\d|[a-zµμ%]\s*[x×*÷]|\b(?:of|in|per|over|for|every|each|times|about"
    r"|approximately|roughly|divided by)\b)[^()]*\)",
    re.IGNORECASE,
)
_EXPLAINS = re.compile(  # between a quantity and one that explains it
    r"\b(?:of|in|for|every|each|per|over|at|after|from|since|because|with|when|as|to give|times|divided by)\b|[x×*÷]",
    re.IGNORECASE,
)
_BESIDE = re.compile(r"\b(?:or|and|but|no|not)\b|[.;=]\s", re.IGNORECASE)  # after it, what explains has ended
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻−", "0123456789+--")


@dataclass(frozen=True)
class Quantity:
    """value: a number, or [low, high], in `unit` ("" for none). tolerance: relative."""

    value: float | Sequence[float]
    unit: str = ""
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        ends = self.value if isinstance(self.value, list | tuple) else [self.value, self.value]
        if len(ends) != 2 or not all(map(_finite, ends)) or ends[0] > ends[1]:
            raise ValueError(f"value is {self.value!r}; give a number, or a range [low, high]")
        if not _finite(self.tolerance) or not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance is {self.tolerance!r}; give a share of the value, from 0 to less than 1")
        if not isinstance(self.unit, str) or (self.unit and _unit(_plain(self.unit)) is None):
            raise ValueError(f"unit is {self.unit!r}; give one such as 'mg', 'mmol/L', 'mL/h' or '°C', or '' for none")


def met(rule: Quantity, reply: str) -> bool:
    """Whether the final answer is the quantity."""
    values = said(rule, reply)
    return bool(values) and all(close(rule, value) for value in values)


def said(rule: Quantity, reply: str) -> list[float]:
    """What the final answer gives, in the rule's unit; of a range both ends."""
    text = answered(reply)
    statement = final(text, _WORDS)
    lines = reversed(text.splitlines())
    if statement is not None and re.search(r"\d", statement):
        lines = [statement]
    for line in lines:
        if values := list(_values(rule, _result(_plain(line)))):
            return values
    return []


def _result(text: str) -> str:
    """Of a line that computes, what stands behind its last sign of equality; without "out of 30"."""
    last = re.split(r"[=≈]", text)[-1]
    return re.sub(r"\bout of \d+", "", last if re.search(r"\d", last) else text)


def _values(rule: Quantity, text: str) -> Iterator[float]:
    """The quantities of the rule's dimension in a text, in the rule's unit."""
    wanted = _unit(_plain(rule.unit)) if rule.unit else None
    if wanted and (alone := re.fullmatch(rf"(?:\W*|\D*\b(?:is|was|are)\s+)({_NUMBER})\W*", text, re.IGNORECASE)):
        if "%" not in text and "°" not in text:
            yield _number(alone[1])
            return
    text, end = _WORKING.sub(" ", text), None
    for start, stop, numbers, unit in _quantities(text):
        if wanted is None and unit is None:
            values = numbers
        elif wanted and unit and unit[0] == wanted[0]:
            values = [_from_base(_to_base(number, unit), wanted) for number in numbers]
        else:
            continue
        if end is None or not _EXPLAINS.search(_BESIDE.split(text[end:start])[-1]):
            yield from values
            end = stop


_Unit = tuple[tuple[tuple[str, int], ...], float, float]  # dimensions with their powers; base = number x factor + shift


def _quantities(text: str) -> Iterator[tuple[int, int, list[float], _Unit | None]]:
    """(where it begins, where its last number ends, numbers, unit) of each number or range of a text. A number's
    tolerance ("± 2") is no number.
    """
    join = r"\s*(?:-|–|—|\bto\b|\band\b)\s*"
    pattern = rf"(?<![\w.,^])({_NUMBER})(?:\s*(?:±|\+/-)\s*{_NUMBER})?(?![\d^])"
    rest = list(re.finditer(pattern, text))
    pending: list[float] = []
    start = 0
    for found, following in zip(rest, [*rest[1:], None], strict=False):
        after = text[found.end() :]
        unit = _leading_unit(after)
        start = start if pending else found.start()
        pending.append(_number(found[1]))
        joined = following is not None and re.fullmatch(join, text[found.end() : following.start()])
        if unit is None and (joined or (following and after.lstrip()[:1] in "-–—" and following[1][:1] in "-−")):
            continue
        if len(pending) == 2 and pending[1] < 0 <= pending[0] and -pending[1] >= pending[0]:
            pending[1] = -pending[1]  # "5 -10": a dash, not a sign
        yield start, found.end(), pending, unit
        pending = []


def _leading_unit(text: str) -> _Unit | None:
    """The longest unit that a text begins with."""
    head = text[:60].lstrip(" -\u00a0\u202f\u2009*_)")
    ends = [m.start() for m in re.finditer(r"(?<=[\w%°℃℉²³])(?![\w^²³])|$", head)]
    for end in sorted({e for e in ends if e <= 40}, reverse=True):
        if end and (unit := _unit(head[:end])):
            return unit
    return None


@cache
def _unit(name: str) -> _Unit | None:
    """The unit of this name; compound ones from their parts, as "mcg/kg/min" or "mg per day"."""
    name = re.sub(r"\s+", " ", name.strip())
    name = _SPECIAL.get(name.lower(), name) or ""
    if simple := _simple(name):
        return simple
    parts = [part.strip() for part in re.split(r"/|\bper\b|\ban?\b(?= (?:day|hour|minute|week)\b)", name)]
    if len(parts) < 2 or (parts[0] and not _simple(parts[0])) or not all(map(_simple, parts[1:])):
        return None
    powers: dict[str, int] = {}
    factor = 1.0
    for sign, part in [(1, parts[0])] * bool(parts[0]) + [(-1, part) for part in parts[1:]]:
        ((dimension, _),), size, shift = _simple(part)
        if shift:
            return None
        powers[dimension] = powers.get(dimension, 0) + sign
        factor *= size**sign
    powers.pop("count", None)  # beats per minute, breaths per minute and 1/min are alike
    return tuple(sorted(powers.items())), factor, 0.0


def _simple(name: str) -> _Unit | None:
    lower = name.lower()
    if lower in _ONLY_CAPITAL and not name.isupper():
        return None
    lower = lower if lower in _UNITS else _PLURAL.sub("", lower)
    if lower not in _UNITS:
        return None
    dimension, factor = _UNITS[lower]
    if dimension == "temperature":
        fahrenheit = lower in ("°f", "℉", "f") or "f" in lower.split()[-1][:1]
        return ((dimension, 1),), 5 / 9 if fahrenheit else 1.0, -160 / 9 if fahrenheit else 0.0
    return ((dimension, 1),), factor, 0.0


def _to_base(number: float, unit: _Unit) -> float:
    return number * unit[1] + unit[2]


def _from_base(base: float, unit: _Unit) -> float:
    return (base - unit[2]) / unit[1]


def close(rule: Quantity, value: float) -> bool:
    """Whether a number is the rule's value, within its tolerance."""
    low, high = rule.value if isinstance(rule.value, list | tuple) else (rule.value, rule.value)
    slack = 1e-9  # of conversions
    return low - abs(low) * (rule.tolerance + slack) <= value <= high + abs(high) * (rule.tolerance + slack)


def _plain(text: str) -> str:
    """A text without the LaTeX and Markdown that can stand in a quantity."""
    text = re.sub(r"\\(?:text|mathrm|textbf|mathbf|boxed)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\^\s*\{?\\circ\}?|\\degree\b|º", "°", text).replace("{,}", ",").replace("−", "-")
    text = re.sub(r"\\(?:times|cdot)\b", " x ", text).replace(r"\mu", "µ").replace(r"\pm", "±").replace(r"\%", "%")
    text = re.sub(r"\\[,;:! ]|~|\\approx\b|\\sim\b|\*\*|\$|`|\\[()\[\]]", " ", text)
    return re.sub(r"° +(?=[CF]\b)|°(?=[CF]\b)", "°", text)


def _number(text: str) -> float:
    text = text.replace("−", "-")
    power = re.search(_POWER, text)
    if power:
        exponent = int((power[1] or power[2]).translate(_SUPERSCRIPT))
        return _number(text[: power.start()]) * 10.0 ** min(exponent, 300)
    if bare := re.fullmatch(r"([+\-]?)10\^\{?([+\-]?\d+)\}?", text):
        return float(f"{bare[1]}1e{min(int(bare[2]), 300)}")
    if re.fullmatch(r"[+\-]?\d+,\d+", text) and not re.fullmatch(r"[+\-]?[1-9]\d{0,2},\d{3}", text):
        text = text.replace(",", ".")
    return float(re.sub(r"[,\u00a0\u202f\u2009 ]", "", text))


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
