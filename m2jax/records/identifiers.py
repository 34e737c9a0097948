# ruff: noqa: E501 (tables of patterns)
"""Identifiers in free text, found by how they look and by what stands around them.

`find(text)` gives spans of the classes of HIPAA's Safe Harbor method, 45 CFR 164.514(b)(2)(i), in its order
(`CLASSES`). A class is a list of patterns; the part of a match that goes is its group "x", or all of it. What medicine
writes in the same shape is kept: 120/80, 10/10 pain, a dose, an ICD code, "may", an eponym (`identifier_words`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

from m2jax.records.identifier_codes import CODES
from m2jax.records.identifier_dates import ages_over_89, dates
from m2jax.records.identifier_people import PEOPLE
from m2jax.records.identifier_words import (
    ALSO_WORDS,
    CLINICAL_NOUNS,
    EPONYMS,
    GENERIC,
    GIVEN_NAMES,
    MONTHS,
    NOT_NAMES,
    STATE_CODES,
    STATES,
    WIDE_PLACES,
)

CLASSES = {  # class -> what stands in its place
    "name": "[NAME]",
    "geography": "[PLACE]",
    "date": "[DATE]",  # also an age over 89
    "phone": "[PHONE]",
    "fax": "[FAX]",
    "email": "[EMAIL]",
    "ssn": "[SSN]",
    "record_number": "[RECORD NUMBER]",
    "health_plan": "[HEALTH PLAN NUMBER]",
    "account": "[ACCOUNT NUMBER]",
    "licence": "[LICENCE NUMBER]",
    "vehicle": "[VEHICLE]",
    "device": "[DEVICE]",
    "url": "[URL]",
    "ip": "[IP ADDRESS]",
    "biometric": "[BIOMETRIC]",
    "photo": "[PHOTO]",
    "other": "[CODE]",
}


@dataclass(frozen=True, order=True)
class Span:
    """Characters [start, end) of a text, their class, and what replaces them."""

    start: int
    end: int
    kind: str
    replacement: str


@functools.lru_cache(maxsize=1024)  # ids such as "exam.3" come again and again
def find(text: str) -> tuple[Span, ...]:
    """What the patterns see in a text, in order; spans may overlap."""
    found = []
    for kind, pattern, accept in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span("x" if "x" in pattern.groupindex else 0)
            if start < end and (accept is None or accept(match)) and not _in_placeholder(text, start, end):
                found.append(Span(start, end, kind, CLASSES[kind]))
    found += [
        Span(a, b, "date", year or CLASSES["date"]) for a, b, year in dates(text) if not _in_placeholder(text, a, b)
    ]
    found += [Span(a, b, "date", "90") for a, b in ages_over_89(text) if text[a:b] != "90"]
    return tuple(sorted(set(found)))


def _in_placeholder(text: str, start: int, end: int) -> bool:
    return any(m.start() <= start < m.end() for m in _PLACEHOLDER.finditer(text, max(0, start - 40), end + 40))


_PLACEHOLDER = re.compile("|".join(re.escape(word) for word in CLASSES.values()))

# ---- Places -------------------------------------------------------------

_CAP = r"[A-ZÀ-ÖØ-Þ][\w'’\-]*"
_TOWN = rf"(?:(?:St|Ste|Ft|Mt)\.\s+)?{_CAP}"
_WORD = rf"(?:{_CAP}|\d+(?:st|nd|rd|th))"
_STREET = (
    "Street|St|Avenue|Ave|Av|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Way|Terrace|Ter|Circle|Cir|"
    "Square|"
    "Sq|Parkway|Pkwy|Highway|Hwy|Freeway|Expressway|Route|Trail|Trl|Alley|Row|Walk|Crescent|Close|Loop|Plaza|Crossing|"
    "Crossroad|Crossroads|Corner|Corners|Village|Glen|Grove|Heights|Hill|Hills|Hollow|Island|Key|Knoll|Landing|Manor|"
    "Meadow|Meadows|Mews|Mill|Mount|Park|Path|Pike|Point|Ridge|Run|Shore|Spur|Station|Summit|Track|Union|Vale|Valley|"
    "Viaduct|View|Wharf|Estate|Estates|Field|Fields|Ford|Forest|Fork|Forge|Gardens|Gateway|Green|Harbor|Haven|Inlet|"
    "Junction|Lake|Mall|Mission|Motorway|Overpass|Parade|Passage|Pass|Pine|Pines|Plain|Plains|Port|Prairie|Ramp|Ranch|"
    "Rapid|Rest|River|Shoal|Shoals|Skyway|Spring|Springs|Stravenue|Stream|Throughway|Trace|Trafficway|Tunnel|Turnpike|"
    "Underpass|Unions|Villages|Ville|Vista|Bypass|Burg|Brook|Bridge|Bluff|Bend|Bay|Beach|Arcade|Annex|Bayou|Branch|"
    "Camp|Canyon|Cape|Causeway|Center|Centers|Club|Common|Course|Cove|Creek|Crest|Dale|Dam|Divide|Extension|Falls|"
    "Ferry|Flat|Flats|Fort|Light|Lights|Lock|Locks|Lodge|Mountain|Neck|Orchard|Oval"
)
_PLAIN_STATES = frozenset([*STATES, *"MA NY TX FL IL NJ NH NM UT WI WV WY TN MN KS KY IA AZ AK WA".split()])
_UNIT = r"(?:,?\s+(?:Apt|Apartment|Suite|Ste|Unit|Room|Rm|Floor|Fl|Lot|Flat|#)\b\.?\s*#?\s*[\w\-]+|,?\s*#\s*\w+)?"
_STATE = "|".join([*STATES, *STATE_CODES])
_INSTITUTION = (
    "Hospital|Medical Center|Medical Centre|Health Center|Health Centre|Healthcare|Health System|Clinic|Clinics|"
    "Infirmary|"
    "Hospice|Nursing Home|Rehabilitation Center|University|College|High School|Middle School|Elementary School|"
    "Primary School|Church|Prison|Pharmacy|Practice|Surgery|Medical Group|Associates"
)
_LOUD_TOWN = r"(?:(?:ST|FT|MT)\.?\s+)?[A-Z]{4,}(?:\s+[A-Z]{2,}){0,2}"
_LOUD_STATES = "NY|TX|NJ|NH|WV|WY|TN|MN|KS|KY|AZ|AK"  # that mean nothing else beside a word in capitals
_LOUD_HOSPITAL = "MGH|BWH|BIDMC|UCSF|UCLA|NYU|MSKCC|UPMC|CHOP"
_AT = r"(?:in|at|to|from|near|around|outside|through|throughout|across|of|via|for)"
_PLACE_CONTEXT = (
    r"\b(?:(?i:liv(?:es|ed|ing|e)|resid(?:es|ed|ing|e)|residents?|born|raised|grew up|moved|relocated|emigrated|"
    r"immigrated|travel(?:s|l?ed|l?ing)?|trips?|vacation(?:ed|ing)?|visit(?:s|ed|ing)?|returned|flew|flight|drove|home|"
    r"hometown|native|hails|comes|came|transferred|arrived|stay(?:ed|ing|s)?|work(?:s|ed|ing)?|employed|"
    r"(?:high )?school|family|relatives|immigrants?|refugees?|originally|hik(?:es|ed|ing)|camp(?:s|ed|ing)?|"
    r"incarcerated|stationed|deployed|went|going)"
    rf"(?:\s+(?:and raised|back|here|recently|alone|with \w+ \w+|on vacation|is))*(?:\s+{_AT})"
    r"|(?i:visit(?:s|ed|ing)?|toured|(?:man|woman|boy|girl|patient|he is|she is|he was|she was|i am|"
    r"i'm) from))(?:\s+(?:the|town|city|village|suburbs?|of|downtown))*"
)
_FROM_CONTEXT = r"\b(?:[Ii]n|[Nn]ear|[Oo]utside|[Aa]round|[Tt]own of|[Cc]ity of|[Vv]illage of|[Cc]ounty of)"


def _is_street(match: re.Match[str]) -> bool:
    return match["name"].split()[0] not in {"Grade", "Stage", "Type", "Day", "Week", "Level", "Class"}


def _is_small_place(match: re.Match[str]) -> bool:
    words = match["x"].split()
    if not any(re.fullmatch(r"[A-ZÀ-Þ](?:[a-zß-ÿ]|['’][A-Z]|c[A-Z])[\w'’\-]*", word) for word in words):
        return False  # an abbreviation: ED, HBsAg
    if re.match(r"\s+(?:descent|origin|ancestry|heritage|background|parents)\b", match.string[match.end("x") :]):
        return False  # of Korean descent
    return words[0] not in MONTHS and not all(_is_wide(w) for w in words) and not _is_medicine(match, words)


def _is_town_of_state(match: re.Match[str]) -> bool:
    """ "Salem, MA", but not "Chest, PA", "Fine, OK" or "Imaging, CT": after a preposition or a street, or if no other
    meaning is common.
    """
    before = match.string[: match.start()]
    placed = re.search(rf"(?:\b{_AT}|\d[\w\s.#]*,)\s*$", before, re.IGNORECASE)
    return bool(placed or match["state"] in _PLAIN_STATES) and _is_small_place(match)


def _is_loud_town(match: re.Match[str]) -> bool:
    """ "SALEM, MA", but not "REPORT OF PAIN, TX"."""
    words = [word.title() for word in match["x"].split()]
    return not (_ordinary(words) or any(word.lower() in CLINICAL_NOUNS for word in words) or all(map(_is_wide, words)))


def _is_wide(word: str) -> bool:
    parts = re.sub(r"['’]s$", "", word).split("-")
    return all(part in WIDE_PLACES for part in parts)


def _is_institution(match: re.Match[str]) -> bool:
    return not all(word.strip(",") in GENERIC for word in match["name"].split())


# ---- Names --------------------------------------------------------------

_INITIAL = r"(?:[A-Z]\.?(?=[\s.]))"
_PARTICLE = r"(?:van|von|der|den|de|del|della|di|da|dos|la|le|el|al|bin|ibn|ben|ter|ten|O'|St\.)"
_NAME_WORD = r"[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿ'’]*[A-Za-zÀ-ÿ'’\-]*\d*"
_NEXT_SENTENCE = r"(?!(?:He|She|It|They|We|The|This|That|There|His|Her|Their|Patient|Pt)\b)"  # "Dr. X. She"
_NAME = rf"(?:{_INITIAL}\s*)*{_NEXT_SENTENCE}{_NAME_WORD}(?:,?\s+(?:{_PARTICLE}\s+){{0,2}}(?:{_INITIAL}|{_NEXT_SENTENCE}{_NAME_WORD})){{0,3}}"
_SURNAME = rf"(?:{_PARTICLE}\s+){{0,2}}{_NAME}"
_LABEL = (  # what stands before a colon and a name
    r"(?:patient(?:'s)?\s+name|name\s+of\s+(?:the\s+)?patient|(?:full|maiden|first|last|given|family)\s+name|surname|"
    r"name|attending(?:\s+physician)?|physician|provider|pcp|surgeon|consultant|(?:electronically\s+)?signed(?:\s+by)?|"
    r"author|(?:dictated|transcribed|seen|referred|reviewed|ordered|performed|accompanied)\s+by|referring\s+physician|"
    r"emergency\s+contact|next\s+of\s+kin|guardian)"
)
# Two words after one of these and a colon are a name, one is not.
_WEAK_LABEL = r"(?:patient|pt|nurse|resident|gp|cc|re|mother|father|spouse|wife|husband|witness)"
_RELATION = (
    r"(?:wife|husband|spouse|partner|mother|father|mom|dad|mum|daughter|son|sister|brother|aunt|uncle|cousin|niece|"
    r"nephew|grandmother|grandfather|grandson|granddaughter|friend|neighbou?r|girlfriend|boyfriend|fianc[eé]e?|"
    r"roommate|caregiver|carer|boss|coworker|colleague|employer|patient|nurse|doctor|physician|surgeon|therapist|"
    r"teacher|coach|twin|child|baby)"
)


def _is_name(match: re.Match[str]) -> bool:
    words = [word.strip(".,") for word in match["x"].split()]
    if _ordinary(words, 1) or words[0].isupper() and len(words[0]) > 1 and len(words) == 1:
        return False
    return not _is_medicine(match, words)


def _ordinary(words: list[str], first: int | None = None) -> bool:
    """Whether one of the (first) words is no name; a letter alone is an initial and not the article, and not counted."""
    longer = [bare for word in words if len(bare := word.strip(".,")) > 1]
    return any(word in NOT_NAMES for word in longer[:first])


def _is_medicine(match: re.Match[str], words: list[str]) -> bool:
    """Whether a match is part of "Crohn's disease", "Hodgkin lymphoma", "Wells score" or a list of such."""
    after = re.match(r"[\s\-–]*([A-Za-z]+)", match.string[match.end("x") :])
    last = re.sub(r"['’]s$", "", words[-1])
    following = after[1].lower() if after else ""
    if any(word.lower() in CLINICAL_NOUNS for word in words[1:]) or following in CLINICAL_NOUNS:
        return True
    if "-" in last and last.split("-")[0] in EPONYMS:
        return True
    return words[0] not in GIVEN_NAMES and all(re.sub(r"['’]s$", "", word) in EPONYMS for word in words)


def _is_given_name(match: re.Match[str]) -> bool:
    """A common given name, alone or before a surname, that no clinical noun or eponym turns into medicine."""
    words = match["x"].split()
    if len(words) == 1 and words[0] in ALSO_WORDS:
        return False
    if words[0] in EPONYMS and (len(words) == 1 or words[1] in EPONYMS):
        return False
    if re.search(r"[\w'’]-$", match.string[: match.start("x")]) or match.string[match.end("x") :].startswith(
        ("-", "–")
    ):
        return False  # Epstein-Barr, Charcot-Marie-Tooth
    return not _is_medicine(match, words)


_GIVEN = "|".join(sorted(GIVEN_NAMES))
_NAME_PATTERNS: list[tuple[str, str, Callable[[re.Match[str]], bool] | None]] = [
    (
        "name",
        rf"\b(?:(?:Mr|Mrs|Ms|Mx|Dr|Prof|Rev|Hon|Sr|Sra|Herr|Frau|Mme|MR|MRS|MS|DR)\.|(?:Mr|Mrs|Ms|Mx|Dr|Prof|Miss|"
        rf"Doctor|Professor|Nurse|Sister|Father|Pastor|Officer|Judge|Captain|Sergeant|Uncle|Aunt|Aunty|Grandma|"
        rf"Grandpa|Lady|Sir)\b)\s+(?P<x>{_SURNAME})",
        lambda m: not _ordinary(m["x"].split(), 1) and not re.match(r"\s*(?:disease|syndrome)", m.string[m.end() :]),
    ),
    ("name", r"\b(?:MR|MRS|MS|DR)\.\s+(?P<x>[A-Z][A-Z'\-]+(?:\s+[A-Z][A-Z'\-]+){0,2})", None),
    (
        "name",
        rf"(?P<x>{_NAME}),?\s+(?:M\.?D\.?|D\.?O\.?|R\.?N\.?|N\.P\.|NP|PA-C|Ph\.?D\.?|F\.?A\.?C\.?[PS]\.?|MBBS|DDS|DPM|"
        rf"LCSW|PharmD|APRN|CNM|DVM|Esq)\b",
        _is_name,
    ),
    # Synthea's Ada31 Quill4
    ("name", r"(?<!\w)[A-ZÀ-Þ][a-zß-ÿ'’]{2,}\d{1,3} [A-ZÀ-Þ][A-Za-zß-ÿ'’]{2,}\d{1,3}(?!\w)", None),
    ("name", rf"(?i:\b{_LABEL})\s*:\s*(?P<x>{_SURNAME})", _is_name),
    (
        "name",
        rf"(?i:\b{_WEAK_LABEL})\s*:\s*(?P<x>{_NAME_WORD}(?:\s+{_INITIAL})?(?:\s+[A-Z][a-zà-ö'’\-]+){{1,2}})(?=[.,;(]|$|\s+[\d(])",
        lambda m: not _ordinary(m["x"].split()) and _is_name(m),
    ),
    ("name", r"(?i:\b(?:patient\s+name|name|patient))\s*:\s*(?P<x>[A-Z]{2,}(?:,?\s+[A-Z]{2,}){1,3})\b", None),
    (
        "name",
        rf"(?i:\b(?:signed|dictated|transcribed|seen|referred|reviewed|ordered|accompanied)\s+by)\s+(?P<x>{_SURNAME})",
        _is_name,
    ),
    (
        "name",
        rf"(?i:\b(?:named|name\s+is|name\s+was|goes\s+by|maiden\s+name)|^\s*dear|^\s*sincerely,)\s+(?P<x>{_SURNAME})",
        _is_name,
    ),
    (
        "name",
        rf"(?:^|[.!?]\s+|,\s*)(?P<x>{_NAME_WORD}(?:\s+(?:{_INITIAL}|{_NAME_WORD})){{1,3}}),?\s+(?:is|"
        rf"was)\s+an?\s+(?:[\w\-]+\s+)?\d{{1,3}}[\s\-]",
        lambda m: not _ordinary(m["x"].split()),
    ),
    (
        "name",
        rf"\b(?i:{_RELATION})(?:,|:|\s+is|\s+named|\s+called)?\s+(?P<x>(?:{_GIVEN})\b(?:\s+{_NAME_WORD})?)",
        _is_name,
    ),
    (
        "name",
        rf"\b(?:{_RELATION}),?\s+(?P<x>{_NAME_WORD}(?:\s+{_NAME_WORD})?)(?=,|'s|’s|\s+(?:who|is|was|has|had|says|said|"
        rf"reports|reported|states|stated|called|brought|found|noticed|denies|and|came|presents|presented)\b)",
        _is_name,
    ),
    (
        "name",
        rf"(?<![\w'’\-])(?P<x>(?:{_GIVEN})\d*(?:\s+{_INITIAL})?(?:\s+(?:{_PARTICLE}\s+){{0,2}}{_NAME_WORD}){{0,2}})(?!\w)",
        _is_given_name,
    ),
]

_PLACE_PATTERNS: list[tuple[str, str, Callable[[re.Match[str]], bool] | None]] = [
    (
        "geography",
        rf"(?<![\w./\-])\d{{1,6}}[A-Za-z]?(?:-\d+)?\s+(?:[NSEW]\.?\s+)?(?P<name>(?:{_WORD}\s+){{1,4}})(?:{_STREET})\b\.?{_UNIT}",
        _is_street,
    ),
    (
        "geography",
        rf"(?i)(?<![\w./\-])\d{{1,6}}\s+(?:\w+\s+){{1,3}}(?:street|avenue|ave|road|boulevard|blvd|lane|parkway|pkwy|highway|hwy)\b\.?{_UNIT}",
        None,
    ),
    ("geography", r"(?i)\bP\.?\s?O\.?\s+b(?:o?x|ag)\.?\s+\d+", None),
    (
        "geography",
        rf"(?<![\w./\-])\d{{1,6}}[A-Za-z]?\s+(?:(?:NW|NE|SW|SE|[NSEW]\.?)\s+{_CAP}(?:\s+{_CAP}){{0,2}}{_UNIT}"
        rf"|{_CAP}(?:\s+{_CAP}){{0,2}},?\s+(?:Apt|Apartment|Suite|Ste|Unit|Flat)\b\.?\s*#?\s*\w+)",
        None,
    ),
    (
        "geography",
        r"(?<!mail )(?<!IP )(?<!ip )(?<!Mail )(?<!web )(?<!MAC )\b(?i:address(?:\s+is)?)[:\s]\s*(?P<x>(?:\d|[A-Z](?=[a-z]+\s\d)|The\s)[^.;\n]*)",
        None,
    ),
    (
        "geography",
        rf"\b(?:[Ff]rom|[Oo]n|[Aa]t|[Oo]ff|[Nn]ear|[Tt]o|[Ii]n|[Aa]long)\s+(?P<x>(?P<name>{_CAP}(?:\s+{_CAP}){{0,2}})\s+(?:Street|Road|Rd|Lane|"
        r"St|Hwy|Pkwy|Avenue|Ave|Terrace|Crescent|Boulevard|Blvd|Drive|Mews|Gardens|Close|Way|Square|Court))\b",
        _is_institution,
    ),
    ("geography", r"(?<![\w/])(?:[A-Z]{1,2}\d[A-Z\d]?\s\d[ABD-HJLNP-UW-Z]{2}|[A-Z]\d[A-Z]\s\d[A-Z]\d)(?!\w)", None),
    ("geography", rf"(?P<x>{_TOWN}(?:\s+{_CAP}){{0,2}}),?\s+(?:{_STATE})\s+(?=\d{{5}}\b)", None),
    (
        "geography",
        rf"\b(?i:now|currently|formerly|previously|later)\s+in\s+(?P<x>{_TOWN}(?:\s+{_CAP}){{0,2}})",
        _is_small_place,
    ),
    ("geography", r"(?i)\bzip(?:\s?code)?[:\s]*(?:is\s+)?(?P<x>\d{5}(?:-\d{4})?)\b", None),
    (
        "geography",
        r"(?i)\b(?:postal\s?code|post\s?code)[:\s]*(?:is\s+)?(?P<x>(?=[A-Z]*\d)[A-Z0-9]{2,5}(?:[\s\-]?[A-Z0-9]{3,4})?)\b",
        None,
    ),
    ("geography", rf"\b(?:{_STATE})\.?,?\s+(?P<x>\d{{5}}(?:-\d{{4}})?)(?![\d,.]\d|\d|\s*(?:cells|/|mg|mL))", None),
    (
        "geography",
        rf"(?P<x>{_TOWN}(?:\s+{_CAP}){{0,2}}),\s*(?P<state>{_STATE})\b(?!\s*[=:/]|[\w\-])",
        _is_town_of_state,
    ),
    ("geography", rf"(?<![\w'’\-])(?P<x>{_LOUD_TOWN}),\s*(?:{_LOUD_STATES})\b(?!\s*[=:/]|[\w\-])", _is_loud_town),
    ("geography", rf"\b(?i:in|near)\s+(?P<x>{_LOUD_TOWN}),\s*(?:{_STATE})\b(?!\s*[=:/]|[\w\-])", _is_loud_town),
    ("geography", rf"\b(?i:at|to|from|by|via)\s+(?P<x>{_LOUD_HOSPITAL})\b(?!\s+[Cc]hemo)", None),
    (
        "geography",
        r"\b(?:Cedars[\s\-]Sinai|Kaiser(?:\s+Permanente)|Mass(?:achusetts)?\s+General|Johns\s+Hopkins)(?!\w)",
        None,
    ),
    ("geography", rf"(?P<name>(?:{_CAP}\s+(?:of\s+|and\s+)?){{1,4}})(?:{_INSTITUTION})\b", _is_institution),
    (
        "geography",
        rf"\b(?:St|Saint|Mount)\.?\s+{_CAP}(?:\s+{_CAP})?(?:'s)?\s+(?:{_INSTITUTION}|Medical|School)\b",
        None,
    ),
    (
        "geography",
        rf"{_PLACE_CONTEXT}\s+(?P<x>{_TOWN}(?:\s+(?:(?:de|del|la|of|upon)\s+)?{_CAP}){{0,3}})",
        _is_small_place,
    ),
    (
        "geography",
        rf"{_FROM_CONTEXT}\s+(?P<x>{_CAP}(?:\s+{_CAP}){{0,2}}(?:\s+(?:County|Township|Village|Parish|Beach|City)))\b",
        None,
    ),
]

_PATTERNS = [(kind, re.compile(pattern), None) for kind, pattern in CODES]
_PATTERNS += [(kind, re.compile(pattern), accept) for kind, pattern, accept in _PLACE_PATTERNS + _NAME_PATTERNS]
_PATTERNS += [("name", re.compile(pattern, re.MULTILINE), accept) for pattern, accept in PEOPLE]
