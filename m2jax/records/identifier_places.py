# ruff: noqa: E501 (tables of patterns)
"""Places smaller than a state in free text, for `identifiers`: streets, towns, postal codes, institutions.

A town is seen by what stands before it ("lives in") or by its state. In capitals it needs "in", or a state whose letters
mean nothing else: "ANGINA, MI" is no town.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from m2jax.records.identifier_words import (
    CLINICAL_NOUNS,
    GENERIC,
    MONTHS,
    STATE_CODES,
    STATES,
    WIDE_PLACES,
    is_medicine,
    ordinary,
)

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
    return words[0] not in MONTHS and not all(_is_wide(w) for w in words) and not is_medicine(match, words)


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
    return not (ordinary(words) or any(word.lower() in CLINICAL_NOUNS for word in words) or all(map(_is_wide, words)))


def _is_wide(word: str) -> bool:
    parts = re.sub(r"['’]s$", "", word).split("-")
    return all(part in WIDE_PLACES for part in parts)


def _is_institution(match: re.Match[str]) -> bool:
    return not all(word.strip(",") in GENERIC for word in match["name"].split())


_PLACES: list[tuple[str, Callable[[re.Match[str]], bool] | None]] = [
    (
        rf"(?<![\w./\-])\d{{1,6}}[A-Za-z]?(?:-\d+)?\s+(?:[NSEW]\.?\s+)?(?P<name>(?:{_WORD}\s+){{1,4}})(?:{_STREET})\b\.?{_UNIT}",
        _is_street,
    ),
    (
        rf"(?i)(?<![\w./\-])\d{{1,6}}\s+(?:\w+\s+){{1,3}}(?:street|avenue|ave|road|boulevard|blvd|lane|parkway|pkwy|highway|hwy)\b\.?{_UNIT}",
        None,
    ),
    (r"(?i)\bP\.?\s?O\.?\s+b(?:o?x|ag)\.?\s+\d+", None),
    (
        rf"(?<![\w./\-])\d{{1,6}}[A-Za-z]?\s+(?:(?:NW|NE|SW|SE|[NSEW]\.?)\s+{_CAP}(?:\s+{_CAP}){{0,2}}{_UNIT}"
        rf"|{_CAP}(?:\s+{_CAP}){{0,2}},?\s+(?:Apt|Apartment|Suite|Ste|Unit|Flat)\b\.?\s*#?\s*\w+)",
        None,
    ),
    (
        r"(?<!mail )(?<!IP )(?<!ip )(?<!Mail )(?<!web )(?<!MAC )\b(?i:address(?:\s+is)?)[:\s]\s*(?P<x>(?:\d|[A-Z](?=[a-z]+\s\d)|The\s)[^.;\n]*)",
        None,
    ),
    (
        rf"\b(?:[Ff]rom|[Oo]n|[Aa]t|[Oo]ff|[Nn]ear|[Tt]o|[Ii]n|[Aa]long)\s+(?P<x>(?P<name>{_CAP}(?:\s+{_CAP}){{0,2}})\s+(?:Street|Road|Rd|Lane|"
        r"St|Hwy|Pkwy|Avenue|Ave|Terrace|Crescent|Boulevard|Blvd|Drive|Mews|Gardens|Close|Way|Square|Court))\b",
        _is_institution,
    ),
    (r"(?<![\w/])(?:[A-Z]{1,2}\d[A-Z\d]?\s\d[ABD-HJLNP-UW-Z]{2}|[A-Z]\d[A-Z]\s\d[A-Z]\d)(?!\w)", None),
    (rf"(?P<x>{_TOWN}(?:\s+{_CAP}){{0,2}}),?\s+(?:{_STATE})\s+(?=\d{{5}}\b)", None),
    (
        rf"\b(?i:now|currently|formerly|previously|later)\s+in\s+(?P<x>{_TOWN}(?:\s+{_CAP}){{0,2}})",
        _is_small_place,
    ),
    (r"(?i)\bzip(?:\s?code)?[:\s]*(?:is\s+)?(?P<x>\d{5}(?:-\d{4})?)\b", None),
    (
        r"(?i)\b(?:postal\s?code|post\s?code)[:\s]*(?:is\s+)?(?P<x>(?=[A-Z]*\d)[A-Z0-9]{2,5}(?:[\s\-]?[A-Z0-9]{3,4})?)\b",
        None,
    ),
    (rf"\b(?:{_STATE})\.?,?\s+(?P<x>\d{{5}}(?:-\d{{4}})?)(?![\d,.]\d|\d|\s*(?:cells|/|mg|mL))", None),
    (
        rf"(?P<x>{_TOWN}(?:\s+{_CAP}){{0,2}}),\s*(?P<state>{_STATE})\b(?!\s*[=:/]|[\w\-])",
        _is_town_of_state,
    ),
    (rf"(?<![\w'’\-])(?P<x>{_LOUD_TOWN}),\s*(?:{_LOUD_STATES})\b(?!\s*[=:/]|[\w\-])", _is_loud_town),
    (rf"\b(?i:in|near)\s+(?P<x>{_LOUD_TOWN}),\s*(?:{_STATE})\b(?!\s*[=:/]|[\w\-])", _is_loud_town),
    (rf"\b(?i:at|to|from|by|via)\s+(?P<x>{_LOUD_HOSPITAL})\b(?!\s+[Cc]hemo)", None),
    (
        r"\b(?:Cedars[\s\-]Sinai|Kaiser(?:\s+Permanente)|Mass(?:achusetts)?\s+General|Johns\s+Hopkins)(?!\w)",
        None,
    ),
    (rf"(?P<name>(?:{_CAP}\s+(?:of\s+|and\s+)?){{1,4}})(?:{_INSTITUTION})\b", _is_institution),
    (
        rf"\b(?:St|Saint|Mount)\.?\s+{_CAP}(?:\s+{_CAP})?(?:'s)?\s+(?:{_INSTITUTION}|Medical|School)\b",
        None,
    ),
    (
        rf"{_PLACE_CONTEXT}\s+(?P<x>{_TOWN}(?:\s+(?:(?:de|del|la|of|upon)\s+)?{_CAP}){{0,3}})",
        _is_small_place,
    ),
    (
        rf"{_FROM_CONTEXT}\s+(?P<x>{_CAP}(?:\s+{_CAP}){{0,2}}(?:\s+(?:County|Township|Village|Parish|Beach|City)))\b",
        None,
    ),
]
PLACES = [("geography", pattern, accept) for pattern, accept in _PLACES]
