"""De-identification by HIPAA's Safe Harbor method, 45 CFR 164.514(b)(2): its 18 classes leave a record's text.

Two sources say what goes. Known values: what the structured fields of the same record hold (names of the patient, of
relatives and of staff, addresses, numbers, dates), found anywhere in the text in other case, order, spacing and date
form. Patterns and context (`identifiers.find`): what looks like an identifier or stands where one would.

An identifier is replaced by its class, "[NAME]"; of a date the year stays; an age over 89 becomes 90, and then the
year of birth goes as well. A state, a country, a year and a relative date are no identifiers and stay. Nothing here
reads the text as a person would: an unusual name without title, label, relation or surroundings can be missed, and a
name that is written small mostly is. Figures: tests/records/adversarial.py.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from m2jax.records.identifier_dates import ages_over_89
from m2jax.records.identifier_words import CLINICAL_NOUNS, EPONYMS, MONTHS
from m2jax.records.identifiers import CLASSES, Span, find
from m2jax.records.record import Record

Known = Mapping[str, Iterable[str]]  # class -> values from the structured fields of a record

Matchers = Sequence[tuple[str, re.Pattern[str]]]  # class, where a known value of it stands
OLDEST = 90  # years; every greater age is given as this one


@dataclass(frozen=True)
class Finding:
    """An identifier that was found: its class; the record's id after scrubbing; the fact's id or the field."""

    kind: str
    record: str
    place: str


@dataclass(frozen=True)
class Report:
    """What was found, never its value. dropped: how many known values of each class the loader left behind in the
    structured fields.
    """

    findings: tuple[Finding, ...] = ()
    dropped: tuple[tuple[str, int], ...] = ()

    def counts(self) -> dict[str, int]:
        """Findings per class, in the order of `CLASSES`, without the classes that have none."""
        counted = Counter(finding.kind for finding in self.findings)
        return {kind: counted[kind] for kind in CLASSES if counted[kind]}

    def text(self, done: str = "replaced in the text") -> str:
        """Some lines for a person: counts per class, and the places."""
        dropped = ", ".join(f"{kind} {n}" for kind, n in self.dropped) or "none"
        lines = [f"left behind in structured fields: {dropped}"]
        for kind, count in self.counts().items():
            places = dict.fromkeys(f"{f.record}/{f.place}" for f in self.findings if f.kind == kind)
            lines.append(f"{kind}: {count} {done}: {', '.join(places)}")
        return "\n".join(lines if self.findings else [*lines, "in the text: none found"])


def merged(reports: Iterable[Report]) -> Report:
    """One report of many records."""
    reports = list(reports)
    dropped: Counter[str] = Counter()
    for report in reports:
        dropped.update(dict(report.dropped))
    return Report(
        tuple(finding for report in reports for finding in report.findings),
        tuple((kind, dropped[kind]) for kind in CLASSES if dropped[kind]),
    )


def deidentify(record: Record, known: Known | None = None) -> tuple[Record, Report]:
    """The record without identifiers, and what was done. ValueError: `known` has a class that is not in `CLASSES`."""
    matchers = _matchers(known or {})
    old = None
    if _is_old(record):
        old = frozenset(year for date in (known or {}).get("date", ()) for year in re.findall(r"^\d{4}", date))
    findings: list[tuple[str, str]] = []

    def scrub(place: str, text: str) -> str:
        text = unicodedata.normalize("NFC", text)
        spans = _spans(text, matchers, old)
        findings.extend((span.kind, place) for span in spans)
        for span in reversed(spans):
            text = text[: span.start] + span.replacement + text[span.end :]
        return text

    facts = []
    for number, fact in enumerate(record.facts, start=1):
        place = fact.id if not _spans(fact.id, matchers, old) else f"fact-{number}"
        if place != fact.id:
            scrub(place, fact.id)
        cues = tuple(scrub(place, cue) for cue in fact.cues)
        facts.append(dataclasses.replace(fact, id=place, text=scrub(place, fact.text), cues=cues))
    age = record.age
    if age is not None and age > OLDEST:
        age = OLDEST
        findings.append(("date", "age"))
    scrubbed = dataclasses.replace(
        record,
        id=scrub("id", record.id),
        age=age,
        diagnosis=scrub("diagnosis", record.diagnosis),
        source=scrub("source", record.source),
        facts=tuple(facts),
    )
    dropped = tuple((kind, len(set((known or {}).get(kind, ())))) for kind in CLASSES if (known or {}).get(kind))
    return scrubbed, Report(tuple(Finding(kind, scrubbed.id, place) for kind, place in findings), dropped)


def _is_old(record: Record) -> bool:
    """Whether the patient's age goes: by the record, or where that gives none, by any age in the facts."""
    if record.age is not None:
        return record.age >= OLDEST
    return any(True for fact in record.facts for _ in ages_over_89(fact.text))


def refuse(record: Record, known: Known | None = None) -> None:
    """ValueError names the class and the place of the first identifier found, not its value."""
    _, report = deidentify(record, known)
    if report.findings:
        first, others = report.findings[0], len(report.findings) - 1
        where = f"its {first.place}" if first.place in _FIELDS else f"fact {first.place!r}"
        more = f" (and {others} more)" if others else ""
        raise ValueError(
            f"record {first.record!r} has an identifier of the class {first.kind!r} in {where}{more}; "
            "take it out, or load with identifiers='scrub'"
        )


_FIELDS = ("id", "age", "diagnosis", "source")

# ---- Known values -------------------------------------------------------

_TITLES = frozenset("mr mrs ms miss mx dr prof md phd rn jr sr ii iii iv esq of the and".split())
_PARTICLES = frozenset("de da di del della dos van von der den la le el al y e bin ibn".split())  # as written, small
_LETTER = r"[^\W\d_]"
_MIN_CODE = 4  # a shorter number or code is not looked for everywhere: it would be found in doses


def _matchers(known: Known) -> Matchers:
    if unknown := sorted(set(known) - set(CLASSES)):
        raise ValueError(f"known has the classes {unknown}; they are {', '.join(CLASSES)}")
    patterns: dict[tuple[str, str], None] = {}  # an ordered set
    for kind, values in known.items():
        for value in values:
            value = unicodedata.normalize("NFC", str(value)).strip()
            make = {"name": _name_forms, "geography": _place_forms, "date": _date_forms}.get(kind, _code_forms)
            patterns |= dict.fromkeys((kind, form) for form in make(value))
    return [(kind, re.compile(form)) for kind, form in patterns]


def _name_forms(name: str) -> Iterable[str]:
    """Each word of a name in any case, with or without digits after it; and the initials, with full stops."""
    words = [word for word in re.findall(rf"{_LETTER}[\w'’\-]*", name) if word not in _PARTICLES]
    words = [word for word in words if word.lower() not in _TITLES]
    stems = [word.rstrip("0123456789") for word in words]
    parts = [part for stem in stems for part in re.split(r"[-'’]", stem) if len(part) > 2]
    for stem in dict.fromkeys([*stems, *parts]):
        if len(stem) > 2:
            yield rf"(?<!{_LETTER})(?i:{_loose(stem)})\d*(?:['’][sS])?(?!{_LETTER})"
        elif len(stem) == 2:  # "Li", "Al", "Ed": only as names are written, or lithium and the emergency room go
            yield rf"(?<!{_LETTER}){re.escape(stem.title())}\d*(?!{_LETTER})"
    if len(stems) > 1:
        yield r"(?<!\w)" + r"\.\s?".join(stem[0].upper() for stem in stems) + r"\.(?!\w)"
        yield r"(?<!\w)" + rf"{stems[0][0].upper()}\.\s?{stems[-1][0].upper()}\." + r"(?!\w)"
        yield _user_name(stems[0], stems[-1])
        yield _user_name(stems[-1], stems[0])


def _user_name(first: str, last: str) -> str:
    """Two names as one word. Short ones stand alone, the shortest with a mark between, or "Ma Le" takes "male"."""
    between = r"[._\-]?" if len(first + last) > 5 else r"[._\-]"
    form = rf"(?i:{re.escape(first)}{between}{re.escape(last)})\d*"
    return form if min(len(first), len(last)) > 2 else rf"(?<!{_LETTER}){form}(?!{_LETTER})"


def _loose(word: str) -> str:
    """A word whose accents, hyphens and apostrophes may be missing."""
    out = ""
    for letter in word:
        plain = unicodedata.normalize("NFD", letter)[0]
        out += r"[\s\-'’]?" if letter in "-'’" else f"[{letter}{plain}]" if plain != letter else re.escape(letter)
    return out


_UNIT = re.compile(r"(?i)(?:apt|apartment|suite|ste|unit|room|rm|floor|lot)\.?|#\w*")


def _place_forms(place: str) -> Iterable[str]:
    """A whole line; of a street also without number or unit; a postal code; one capitalised word for a town."""
    words = re.findall(r"[\w'’\-#.]+", place)
    if not words:
        return
    forms = [words]
    if words[0][0].isdigit() and len(words) > 2:
        ends = [i for i, word in enumerate(words) if _UNIT.fullmatch(word)]
        bare = words[: ends[0]] if ends and ends[0] > 2 else words
        forms += [bare, bare[1:]] if len(bare) > 2 else [bare]
    for form in forms:
        if len(form) == 1 and form[0].isalpha():  # "Reading" and "in reading", but not "reading"
            word, loud = _loose(form[0]), re.escape(form[0].upper())
            after = "|".join(rf"(?<=\b{before} )" for before in ("in", "at", "to", "of", "near", "from"))
            yield rf"(?<!\w)(?:{word}|{loud}|(?:{after})(?i:{word}))(?!\w)"
        elif len("".join(form)) >= _MIN_CODE:
            yield r"(?<!\w)(?i:" + r"[\s,.]+".join(_loose(word.rstrip(".")) for word in form) + r")(?!\w)"


def _date_forms(date: str) -> Iterable[str]:
    """A date YYYY-MM-DD in the forms that need to be known to be seen; the usual ones are found by pattern."""
    match = re.match(r"(\d{4})-(\d\d)-(\d\d)", date)
    if not match:
        return
    year, month, day = match.groups()
    m, d = rf"0?{int(month)}", rf"0?{int(day)}"
    name = MONTHS[int(month) - 1] if 1 <= int(month) <= 12 else month
    month_word = rf"(?i:{name}|{name[:3]})\.?"
    day_word = rf"(?:the\s+)?{d}(?:st|nd|rd|th)?"
    maybe_year = rf"(?:[\s/.\-,_]*['’]?(?:{year}|{year[2:]}))?(?!\d)"
    for three in ((year, month, day), (month, day, year), (day, month, year)):
        yield r"(?<!\d)" + "".join(three) + r"(?!\d)"
    for a, b in ((m, d), (d, m)):
        yield rf"(?<![\d/.]){a}[\s/.\-_]+{b}[\s/.\-_]+['’]?(?:{year}|{year[2:]})(?!\d)"
    yield rf"(?<!\d){year}[\s/.\-_]+{m}[\s/.\-_]+{d}(?!\d)"
    yield rf"(?<!{_LETTER}){month_word}[\s/.\-,_]*{day_word}{maybe_year}"
    yield rf"(?<!\d){day_word}[\s/.\-,_]*(?:of\s+)?{month_word}{maybe_year}"


def _code_forms(code: str) -> Iterable[str]:
    """A number or code with any separators between its parts; of a phone number also without country and area."""
    parts = re.findall(r"[A-Za-z]+|\d", code)
    plain = "".join(parts)
    if len(plain) < _MIN_CODE:
        return
    between = r"[\s.\-/()_]{0,3}"
    yield r"(?<![A-Za-z0-9])(?i:" + between.join(parts) + r")(?![A-Za-z0-9])"
    digits = re.sub(r"\D", "", code)
    if digits == plain and len(digits) in (10, 11):
        yield r"(?<!\d)" + between.join(digits[-10:]) + r"(?!\d)"
        yield rf"(?<!\d){digits[-7:-4]}[\s.\-]{digits[-4:]}(?!\d)"


# ---- Spans --------------------------------------------------------------

_PLACEHOLDERS = re.compile("|".join(map(re.escape, CLASSES.values())))
_YEAR = r"(?<!\d)(?:18|19|20)\d\d(?!\d)"
_BORN = re.compile(rf"(?i)\b(?:born|birth|dob|d\.o\.b\.)[^.;]{{0,30}}?(?P<x>{_YEAR})")


def _spans(text: str, matchers: Matchers, old_years: frozenset[str] | None) -> list[Span]:
    """What goes from a text, in order, without overlap; names that stand next to one another are one.

    old_years: of a patient over 89, the years known of her; they go as well, and so does a year of birth.
    """
    found = list(find(text))
    taken = [match.span() for match in _PLACEHOLDERS.finditer(text)]
    for kind, pattern in matchers:
        for match in pattern.finditer(text):
            start, end = match.span()
            inside = any(a < end and start < b for a, b in taken)
            if start < end and not inside and not (kind == "name" and _is_eponym(text, start, end)):
                year = re.search(_YEAR, match[0]) if kind == "date" else None
                found.append(Span(start, end, kind, year[0] if year else CLASSES[kind]))
    if old_years is not None:
        years = [m for m in re.finditer(_YEAR, text) if m[0] in old_years]
        born = [m.span("x") for m in _BORN.finditer(text)]
        found = [_without_year(span, old_years, born) for span in found]
        found += [Span(*place, "date", CLASSES["date"]) for place in {*born, *(m.span() for m in years)}]
    return _joined(text, found)


def _without_year(span: Span, years: frozenset[str], born: list[tuple[int, int]]) -> Span:
    birth = any(span.start <= start < span.end for start, _ in born)
    if span.kind == "date" and (span.replacement in years or birth and span.replacement != str(OLDEST)):
        return dataclasses.replace(span, replacement=CLASSES["date"])
    return span


def _joined(text: str, found: Iterable[Span]) -> list[Span]:
    spans: list[Span] = []
    for span in sorted(found, key=lambda span: (span.start, -span.end)):
        last = spans[-1] if spans else None
        if last and span.start < last.end:
            longer = last if last.end - last.start >= span.end - span.start else span
            spans[-1] = Span(last.start, max(last.end, span.end), longer.kind, longer.replacement)
        elif last and span.kind == last.kind == "name" and _NEXT_NAME.fullmatch(text, last.end, span.start):
            spans[-1] = dataclasses.replace(last, end=span.end)
        else:
            spans.append(span)
    return spans


_NEXT_NAME = re.compile(r",?\s+(?:[A-Z]\.?\s+)?")


def _is_eponym(text: str, start: int, end: int) -> bool:
    """Whether a known name is here the name of a disease, a sign or a test."""
    word = re.sub(r"['’]s$", "", text[start:end])
    after = re.match(r"['’]?[\s\-–]*([A-Za-z]+)", text[end:])
    return word in EPONYMS and bool(after) and after[1].lower() in CLINICAL_NOUNS
