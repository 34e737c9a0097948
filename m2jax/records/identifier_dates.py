# ruff: noqa: E501 (tables of patterns)
"""Dates and ages over 89 in free text, for `identifiers`.

A date is more than a year: a day, a month, a holiday. Weekdays, clock times and relative dates ("2 days ago") are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from m2jax.records.identifier_words import MONTHS

_YEAR = r"(?P<year>(?:18|19|20)\d\d)"
_FULL = "|".join(MONTHS)
_SHORT = r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec"
_LOWER = "|".join(month.lower() for month in MONTHS if month not in ("March", "May"))  # to march; it may
_MONTH = rf"(?:(?:{_FULL}|{_FULL.upper()}|{_SHORT}|{_LOWER})\b\.?)"
_ANY_MONTH = rf"(?i:(?:{_FULL}|{_SHORT})\b\.?)"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_ORDINAL = (
    r"(?i:(?:twenty|thirty)[\s\-](?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|first|second|third|"
    r"fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|"
    r"seventeenth|eighteenth|nineteenth|twentieth|thirtieth)"
)
_NOT_UNIT = r"(?!\s*(?:[/%]|mg|mcg|g\b|ml|mL|tablets?|pills?|times|doses?|hours?|days?|weeks?|months?|years?|x\b|\d))"
_WEEKDAY = r"(?:(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|Mon|Tue|Wed|Thu|Fri|Sat|Sun)\.?,?\s+)?(?:the\s+)?"
_CLOCK = r"(?:[T\s]\s?\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:\s?(?:Z\b|[+\-]\d\d:?\d\d))?)?"
_HOLIDAY = (
    r"(?:Good\s+Friday|Easter\s+(?:Sunday|Monday)|Christmas(?:\s+(?:eve|day))?|Thanksgiving|Halloween|Easter|"
    r"New\s+Year['’]?s?(?:\s+(?:eve|day))?|Labor\s+Day|Memorial\s+Day|Boxing\s+Day|Independence\s+Day|Veterans\s+Day|"
    r"May\s+Day|Bonfire\s+Night|Ramadan|Eid|Diwali|Passover|Hanukkah|Valentine['’]?s\s+Day|"
    r"(?:the\s+)?(?:fourth|4th)\s+of\s+July)"
)
_NOT_INSULIN = r"(?<![Ii]nsulin )(?<![Hh]umalog )(?<![Nn]ovolog )(?<![Ll]ispro )(?<![Aa]spart )(?<![Vv]ersion )"  # 8-8-10 with meals
_NOT_MEASURE = (
    r"(?!\s*(?:[%°]|mg|mcg|g\b|kg|lbs?\b|m[lL]|mm|cm|x\b|units?|reps?|scale|percent|(?:tablets?|pills?|times|minutes|"
    r"hours?|days?|weeks?|months?|years?)\b|(?:with|before|at)\s+meals))"
)
_DATES = [
    rf"(?<![\w./\-]){_YEAR}(?P<s>[\-/.])(?P<a>\d{{1,2}})(?P=s)(?P<b>\d{{1,2}})(?!\d){_CLOCK}",
    rf"(?<![\w./\-])(?P<a>\d{{1,2}})\s?(?P<s>[/.\-])\s?(?P<b>\d{{1,2}})\s?(?P=s)\s?{_YEAR}(?![\d/\-]){_CLOCK}",
    r"(?<![\w./\-])(?P<a>\d{1,2})(?P<s>/)(?P<b>\d{1,2})(?P=s)'?\d\d(?![\w/\-.]\d|\d|\w)",
    rf"(?<![\w./\-]){_NOT_INSULIN}(?P<a>\d{{1,2}})(?P<s>[\-.])(?P<b>\d{{1,2}})(?P=s)\d\d(?![/\-.]?\d|[/\-]|\w){_NOT_MEASURE}",
    rf"(?<![\w./\-])\d{{1,2}}(?i:{_SHORT})(?:{_YEAR}|\d\d)(?!\w)",
    rf"\b{_ANY_MONTH}\s*['’]\d\d(?!\w)",
    rf"\b{_HOLIDAY}(?:\s+of)?\s+{_YEAR}(?!\w)",
    r"(?m)(?:^|(?<=[.;]\s))(?P<x>(?P<a>\d{1,2})/(?P<b>1[1-9]|2\d|3[01]))(?=:\s)",
    r"(?i)\b(?:CT|MRI|CXR|X-?ray|echo|E[CK]G|ultrasound|scan|EGD|colonoscopy|labs)\s+(?:on\s+)?(?P<x>(?P<a>\d{1,2})/(?P<b>\d{1,2}))"
    r"(?=:|\s+(?:show|reveal|demonstrat|read)\w*\b)",
    r"(?i)\b(?:(?:re)?admit(?:ted)?|discharged|d/c['’]?e?d|transferred|intubated|extubated)\s+(?:on\s+)?"
    r"(?P<x>(?P<a>\d{1,2})/(?P<b>\d{1,2}))(?![\d/%]|\.\d|\s*(?:ago|later|tab|times|of\b))",
    rf"(?<![\w./\-]){_YEAR}-(?P<a>0[1-9]|1[0-2])(?![\d\-/])",
    rf"(?<![\w./\-])(?<!titer of )(?<!titre of )(?<!dilution of )(?P<a>0?[1-9]|1[0-2])/{_YEAR}(?![\d/\-])",
    rf"{_WEEKDAY}{_ANY_MONTH}\s*{_DAY}(?:\s*(?:-|–|to|and|through)\s*{_DAY})?\s*,?\s+(?:of\s+|in\s+)?{_YEAR}\b{_CLOCK}",
    rf"{_WEEKDAY}{_MONTH}\s+(?:the\s+)?(?:{_DAY}\b(?:\s*(?:-|–|to|and|"
    rf"through)\s*{_DAY})?(?:,?\s*['’]\d\d\b)?{_NOT_UNIT}|{_ORDINAL}\b)",
    rf"(?<![\w./\-]){_WEEKDAY}{_DAY}[\s\-./]*(?:day\s+)?(?:of\s+)?{_ANY_MONTH}[\s\-.,/]*(?:of\s+)?{_YEAR}\b{_CLOCK}",
    rf"(?<![\w./\-]){_WEEKDAY}{_DAY}(?:\s+of\s+|\s+|-){_MONTH}(?:[\s\-.,/]*['’]?\d\d(?!\d))?(?!\w)",
    rf"\b{_ORDINAL}\s+(?:day\s+)?(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR}\b)?",
    rf"\b{_ANY_MONTH}(?:,|\s+of|\s+in)?[\s\-]+{_YEAR}\b",
    rf"\b(?:[Ii]n|[Ss]ince|[Ll]ast|[Ee]arly|[Ll]ate|[Mm]id|[Uu]ntil|[Tt]his|[Nn]ext|[Dd]uring|[Bb]y|[Tt]hrough|[Oo]f|"
    rf"[Pp]ast|[Ff]rom|[Bb]etween|[Ee]very|[Ee]nd of|[Bb]eginning of)[\s\-]+(?P<x>{_MONTH}(?:\s+(?:and|to|through|"
    rf"or)\s+{_MONTH})?)(?!\s+(?:fracture|Thurner))",
    r"(?<!\w)(?P<year4>(?:19|20)\d\d)(?P<a>0[1-9]|1[0-2])(?P<b>0[1-9]|[12]\d|3[01])(?:[T_]?\d{4,6})?(?!\w)",
    rf"(?<![\w./\-]){_MONTH}(?P<s>[\-/.])(?P<a>\d{{1,2}})(?P=s)(?:{_YEAR}|'?\d\d(?!\d))",
    rf"(?<![\w./\-])\d{{1,2}}[./\-]\s?(?:I{{1,3}}|IV|VI{{0,3}}|IX|XI{{0,2}})[./\-]\s?(?:{_YEAR}|'?\d\d(?!\d))",
    r"(?i)\b(?:dob|d\.o\.b\.?|born|birth\s?date|date\s+of\s+birth)[:\s]+(?P<x>\d{8}|\d{6})(?!\d)",
    r"(?i)\b(?:on|by|until|till|since|from|before|after|to)\s+(?P<x>the\s+(?:[1-9]|[12]\d|3[01])(?:st|nd|rd|th))(?=[.,;:!?)]|$|\s+(?:and\s+(?!\d)"
    r"|at\b|with\b|for\b|by\b|but\b|after\b|when\b|in\b|because\b|then\b|he\b|she\b|they\b))",
    r"(?i)\b(?:on|since|dated|admitted|discharged|seen|visit|until|dob|born|birth(?:day|date)?|due|lmp|edd|edc|booked|"
    r"started|stopped|operated|reviewed|appointment|appt|"
    r"d\.o\.b\.?)(?:\s+(?:on|date))?[:\s]+(?P<x>(?P<a>\d{1,2})(?P<s>[/\-])(?P<b>\d{2}))(?![\d/%]|\s*(?:ago|later|strength|pain|severity|"
    r"scale|murmur|hpf|motor|muscle|vision))",
    rf"(?i)\b(?:at|on|since|before|after|around|during|over|by|until|last|this|past)\s+(?P<x>{_HOLIDAY})(?!\s+tree)",
]
_OVER_89 = r"(?:9\d|1[0-4]\d)"
_OVER_89_WORDS = (
    r"(?:ninety(?:[\s\-](?:one|two|three|four|five|six|seven|eight|nine))?|(?:a|"
    r"one)[\s\-]hundred(?:[\s\-](?:and[\s\-])?\w+)?)"
)
_AGES = [
    rf"(?i)(?<![\w.])(?P<x>{_OVER_89}|{_OVER_89_WORDS})(?=[\s\-]*(?:years?|yrs?|y)[\s\-/.]*(?:old|o\b|o/|of\s+age))",
    rf"(?i)(?<![\w.])(?P<x>{_OVER_89})(?=\s?(?:yo|y/o|y\.o\.|yr)\b)",
    rf"(?i)\b(?:age[ds]?|aging)(?:\s+(?:of|is|was|at|over))*[:\s]+(?P<x>{_OVER_89}|{_OVER_89_WORDS})(?![\d/%])\b",
    rf"(?i)\b(?:died|dead|lived|passed\s+away|deceased|death)\s+(?:at|to|until|to\s+be)(?:\s+age)?\s+(?P<x>{_OVER_89}|"
    rf"{_OVER_89_WORDS})(?![\d/%])\b",
    rf"(?i)\b(?:turned|turns|turning|nearly|almost|will\s+be)\s+(?P<x>{_OVER_89}|{_OVER_89_WORDS})(?!\s*(?:degrees|deg\b|%|mg|ml|kg|cm|mm|units|"
    rf"minutes|hours|days|weeks|months|per\b|°)|[\d/.]\d)\b",
    rf"(?i)\b(?:turned|turns|turning|her|his)\s+(?P<x>{_OVER_89})(?:th|rd|nd|st)\s+birthday",
    rf"(?i)\b(?:he|she|patient|pt|who)\s+(?:is|was|turned|turns)\s+(?P<x>{_OVER_89}|{_OVER_89_WORDS})(?=[.,;](?!\d)|\s+and\b|$)",
    rf"(?<![\w./])(?P<x>{_OVER_89})(?=\s?(?:y|yrs?)?\s?/?\s?[MF]\b)",
    rf"(?:^|[(.;]\s*)[MF],\s*(?P<x>{_OVER_89})(?=[.,;)](?!\d)|$)",
]
_COMPILED_DATES = [re.compile(pattern) for pattern in _DATES]
_COMPILED_AGES = [re.compile(pattern) for pattern in _AGES]


def dates(text: str) -> Iterator[tuple[int, int, str]]:
    """Where a date stands, and its year, or "" where it says none."""
    for pattern in _COMPILED_DATES:
        for match in pattern.finditer(text):
            groups = match.groupdict()
            if not _possible(groups.get("a"), groups.get("b")):
                continue
            start, end = match.span("x" if "x" in groups else 0)
            start += len(match[0]) - len(match[0].lstrip()) if "x" not in groups else 0
            end -= text[start:end].endswith(".")
            yield start, end, groups.get("year") or groups.get("year4") or ""


def _possible(a: str | None, b: str | None) -> bool:
    """Whether two numbers can be a day and a month in some order."""
    if b is None:
        return True
    low, high = sorted((int(a), int(b)))
    return 1 <= low <= 12 and high <= 31


def ages_over_89(text: str) -> Iterator[tuple[int, int]]:
    """Where an age over 89 stands."""
    for pattern in _COMPILED_AGES:
        for match in pattern.finditer(text):
            yield match.span("x")
