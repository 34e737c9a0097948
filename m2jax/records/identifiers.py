"""Identifiers in free text, found by how they look and by what stands around them.

`find(text)` gives spans of the classes of HIPAA's Safe Harbor method, 45 CFR 164.514(b)(2)(i), in its order (`CLASSES`).
A class is a list of patterns; the part of a match that goes is its group "x", or all of it. What medicine writes in
the same shape is kept: 120/80, 10/10 pain, a dose, an ICD code, "may", an eponym (`identifier_words`). Relative dates
("2 days ago"), weekdays, clock times and years stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from m2jax.records.identifier_words import (
    ALSO_WORDS,
    CLINICAL_NOUNS,
    EPONYMS,
    GIVEN_NAMES,
    MONTHS,
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


def find(text: str) -> list[Span]:
    """What the patterns see in a text, in order; spans may overlap."""
    found = []
    for kind, pattern, accept in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span("x" if "x" in pattern.groupindex else 0)
            if start < end and (accept is None or accept(match)) and not _in_placeholder(text, start, end):
                found.append(Span(start, end, kind, CLASSES[kind]))
    return sorted({*found, *_dates(text), *_ages(text)})


def _in_placeholder(text: str, start: int, end: int) -> bool:
    return any(m.start() <= start < m.end() for m in _PLACEHOLDER.finditer(text, max(0, start - 40), end + 40))


_PLACEHOLDER = re.compile("|".join(re.escape(word) for word in CLASSES.values()))

# ---- Numbers and codes --------------------------------------------------

_ID = r"[:#=\s]*(?:is\s+|was\s+|of\s+)?[:#=\s]*(?P<x>(?=[\w\-./]*\d)[A-Za-z0-9](?:[\w\-./]*[A-Za-z0-9])?)"  # holds a digit
_NO = r"\s*(?:numbers?|no\b\.?|num\b\.?|nr\b\.?|#|id\b|identifier|code)?"
_MUST_NO = r"\s*(?:numbers?|no\b\.?|num\b\.?|nr\b\.?|#|id\b|ids\b|identifier|code)"
_NANP = r"(?<![\d.\-/])(?:\+?1[\s.\-]?)?(?:\(\d{3}\)[\s.\-]?|\d{3}[\s.\-])\d{3}[\s.\-]\d{4}(?![\d\-/])"
_INTERNATIONAL = r"(?<![\w.])(?:\+|00)\d{1,3}[\s.\-]?(?:\(0\)\s?)?\(?\d{1,4}\)?(?:[\s.\-]?\d{2,4}){2,4}(?!\d)"
_ANY_PHONE = r"(?:\+|\b)?[(\d](?:[\s.\-()]{0,2}\d){5,14}(?:\s?(?:x|ext\.?|extension)\s?\d{1,6})?"
_TAIL = r"(?:\s?(?:x|ext\.?|extension)\s?\d{1,6})?"
_ADDRESS_SECTION = r"(?:[0-9a-f]{1,4}:){2,7}:?[0-9a-f]{1,4}|(?:[0-9a-f]{1,4}:)*:(?::?[0-9a-f]{1,4})+"

_TEXT_PATTERNS: list[tuple[str, str]] = [
    ("email", r"(?i)[\w.+\-%]+\s?(?:@|\[at\]|\(at\))\s?[\w\-]+(?:\s?(?:\.|\[dot\])\s?[a-z][\w\-]*)+"),
    ("url", r"(?i)\b(?:(?:https?|ftp)://|www\.)[^\s<>\"']*[^\s<>\"'.,;:)\]]"),
    ("url", r"(?i)\b(?<!@)(?:[a-z0-9\-]{2,}\.)+(?:com|org|net|edu|gov|info|health|io|co\.uk|de|fr)(?:/[^\s,;)]*)?\b"),
    ("ip", r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.]*\d)"),
    ("ip", rf"(?i)(?<![\w:])(?=[0-9a-f:]*[0-9a-f]{{1,4}}:[0-9a-f:]*:)(?:{_ADDRESS_SECTION})(?![\w:])"),
    ("ip", r"(?i)(?<![\w:])(?:[0-9a-f]{2}[:\-]){5}[0-9a-f]{2}(?![\w:])"),
    ("fax", rf"(?i)\b(?:fax|facsimile){_NO}[:\s]*(?:at\s|is\s|to\s)?\s*(?P<x>{_ANY_PHONE})"),
    (
        "phone",
        rf"(?i)\b(?:phone|telephone|tel|cell|mobile|pager|beeper|call(?:ed|s)?|contact|reach(?:ed|able)?|text(?:ed)?|"
        rf"ring|whatsapp|voicemail|extension|hotline)\b\.?(?:\s+(?:number|no\.?|#|him|her|them|me|us|back|is|was|at|on|by|"
        rf"phone|the|his|my))*[:\s#]*(?P<x>{_ANY_PHONE})",
    ),
    ("phone", rf"{_NANP}{_TAIL}"),
    ("phone", rf"{_INTERNATIONAL}{_TAIL}"),
    ("phone", r"(?<![\d.\-/])\(\d{3}\)\s?\d{3}[\s.\-]?\d{4}(?!\d)"),
    ("ssn", r"(?<![\d\-])\d{3}([\-\s.])\d{2}\1\d{4}(?![\d\-])"),
    ("ssn", r"(?i)(?<![\w\-])[x*#]{3}[\-\s]?[x*#]{2}[\-\s]?\d{4}(?!\d)"),
    (
        "ssn",
        r"(?i)\b(?:ssn|ss\s?#|social\s+security(?:\s+(?:number|no\.?|#))?)(?:\s+(?:is|was|ends|ending|in|with|last|four|4|"
        r"digits|of))*[:#=\s]*(?P<x>\d{3}[\s\-.]?\d{2}[\s\-.]?\d{4}|\d{4})(?!\d)",
    ),
    (
        "record_number",
        rf"(?i)\b(?:m\.?r\.?n\.?|ur\s?n|(?:medical|health|hospital|patient|clinic|unit)\s+(?:record|file|chart|registration)"
        rf"{_NO}|(?:patient|hospital|chart|record|file|nhs|case|encounter|visit|accession|specimen|admission|sample|"
        rf"order|requisition|registration|referral){_MUST_NO}|(?:chart|file)\s?#){_NO}{_ID}",
    ),
    (
        "health_plan",
        rf"(?i)\b(?:(?:member(?:ship)?|policy|insurance|subscriber|beneficiary|group|plan|health\s+plan|payer|medicare|"
        rf"medicaid|coverage){_MUST_NO}|hicn|mbi|policy){_NO}{_ID}",
    ),
    (
        "account",
        rf"(?i)\b(?:(?:bank\s+)?account|acct|a/c|billing|invoice|claim|credit\s+card|debit\s+card|card|iban|routing)\b\.?"
        rf"{_NO}{_ID}",
    ),
    ("account", r"(?<![\d.\-])\d{4}([\s\-])\d{4}\1\d{4}\1\d{4}(?!\d)"),
    ("account", r"(?<!\w)[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){3,7}(?:\s?[A-Z0-9]{1,3})?(?!\w)"),
    (
        "licence",
        rf"(?i)\b(?:(?:driver'?s?\s+|driving\s+|medical\s+|professional\s+|nursing\s+)?licen[cs]e(?!\s+plate)|certificate|"
        rf"certification|dea|npi|passport|dl|diploma|permit){_NO}{_ID}",
    ),
    ("vehicle", r"(?<!\w)(?=[A-HJ-NPR-Z0-9]*\d)(?=[A-HJ-NPR-Z0-9]*[A-HJ-NPR-Z])[A-HJ-NPR-Z0-9]{11}\d{6}(?!\w)"),
    (
        "vehicle",
        rf"(?i)\b(?:vin|(?:license|licence|number|registration|vehicle|car)\s+plates?|plates?|vehicle\s+(?:id|identification|"
        rf"registration)){_NO}[:#=\s]*(?:is\s+|was\s+)?(?P<x>(?-i:[A-Z0-9]{{1,4}}[\s\-]?[A-Z0-9]{{2,5}}(?:[\s\-][A-Z0-9]{{2,4}})?)\b)",
    ),
    (
        "device",
        rf"(?i)(?:\b(?:serial|udi|device|implant|lot|batch|model|catalog(?:ue)?|ref){_MUST_NO}|\bserial|\budi|\bs/n|\bsn\b|"
        rf"\b(?:lot|batch)\b){_NO}{_ID}",
    ),
    ("device", r"\(01\)\d{14}(?:\(\d{2}\)[\w\-]+)*"),
    (
        "biometric",
        rf"(?i)\b(?:finger\s?prints?|voice\s?prints?|retina(?:l)?\s+scan|iris\s+scan|palm\s?prints?|face\s?print|hand\s+geometry|"
        rf"dna\s+profile|genetic\s+fingerprint|biometric(?:s)?)(?:\s+(?:id|template|hash|code|record|file|scan|number|no\.?|"
        rf"data|identifier|on|is|was))*{_ID}",
    ),
    ("photo", r"(?i)\bdata:image/[\w.+\-]+;base64,[\w+/=]+"),
    ("photo", r"(?i)(?<![\w/])[\w\-./]+\.(?:jpe?g|png|gif|bmp|tiff?|heic|webp|dcm)\b"),
    ("other", r"(?i)\burn:(?:uuid|oid):[\w.\-]+"),
    ("other", r"(?i)(?<!\w)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?!\w)"),
    ("other", r"(?i)(?<!\w)(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{16,}(?!\w)"),
    ("other", r"(?<![\w.,])\d{9,}(?![\w%]|[.,]\d)"),
    ("other", r"(?<![\w.])[A-Z]{1,4}-?\d{6,}[A-Z]?(?!\w)"),
    (
        "other",
        rf"(?i)\b(?:study|subject|participant|trial|employee|badge|student|user|staff|customer|client|tracking|barcode|"
        rf"voucher|ticket|token|unique){_MUST_NO}{_ID}",
    ),
    ("other", r"(?i)\b(?:user\s?name|login|handle|screen\s+name)\b[:\s]*(?:is\s+)?(?P<x>@?[\w.\-]{3,})"),
    ("other", r"(?<![\w@.])@[A-Za-z]\w{2,}"),
    ("geography", r"(?i)\b(?:lat(?:itude)?|lon(?:g(?:itude)?)?)\b[:\s=]*(?P<x>-?\d{1,3}\.\d{2,})"),
    ("geography", r"(?<![\d.])-?\d{1,2}\.\d{4,},\s?-?\d{1,3}\.\d{4,}"),
]

# ---- Places -------------------------------------------------------------

_CAP = r"[A-ZÀ-ÖØ-Þ][\w'’\-]*"
_WORD = rf"(?:{_CAP}|\d+(?:st|nd|rd|th))"
_STREET = (
    "Street|St|Avenue|Ave|Av|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Way|Terrace|Ter|Circle|Cir|Square|"
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
_UNIT = r"(?:,?\s+(?:Apt|Apartment|Suite|Ste|Unit|Room|Rm|Floor|Fl|Lot|Flat|#)\b\.?\s*#?\s*[\w\-]+|,?\s*#\s*\w+)?"
_STATE = "|".join([*STATES, *STATE_CODES])
_INSTITUTION = (
    "Hospital|Medical Center|Medical Centre|Health Center|Health Centre|Healthcare|Health System|Clinic|Clinics|Infirmary|"
    "Hospice|Nursing Home|Rehabilitation Center|University|College|High School|Middle School|Elementary School|"
    "Primary School|Church|Prison|Pharmacy|Practice|Surgery|Medical Group|Associates"
)
_GENERIC = frozenset(
    """The A An His Her Their Our At In To Of And General University Children's Childrens Children Veterans Affairs Primary Care
    Dermatology Emergency Community Memorial Regional County City State National Local Outpatient Inpatient Urgent
    Psychiatric Pediatric Paediatric Family Medicine Internal Medical Health Free Walk-in Dental Eye Pain Women's Teaching
    Oncology Cardiology Neurology Orthopedic Surgery Surgical Prenatal Public Private Day Fertility Travel Wound Sleep
    Student Military Mental Rheumatology Nephrology Pulmonary Ophthalmology Hematology Endocrinology Urology Gynecology
    Obstetrics Allergy Diabetes Follow-up Acute Rural Tertiary Academic Specialty First Second This That Patient
    Clinical General Practice Standard Best Group Nursing""".split()
)
_PLACE_CONTEXT = (
    r"\b(?:(?:[Ll]iv(?:es|ed|ing|e)|[Rr]esid(?:es|ed|ing|e)|[Rr]esidents?|[Bb]orn(?: and raised)?|[Rr]aised|[Gg]rew up|[Mm]oved|"
    r"[Rr]elocated|[Ee]migrated|[Ii]mmigrated|[Tt]ravel(?:s|l?ed|l?ing)?|[Tt]rips?|[Vv]acation(?:ed|ing)?|[Vv]isit(?:s|ed|ing)?|"
    r"[Rr]eturned|[Ff]lew|[Ff]light|[Dd]rove|[Hh]ome(?:town)?(?: is)?|[Nn]ative|[Hh]ails|[Cc]omes|[Cc]ame|[Tt]ransferred|[Aa]rrived|"
    r"[Ss]tay(?:ed|ing|s)?|[Ww]ork(?:s|ed|ing)?|[Ee]mployed|[Ss]chool|[Ff]amily|[Rr]elatives|[Ff]rom)"
    r"(?:\s+(?:in|at|to|from|of|near|around|outside|through|on|back|recently|alone|with \w+ \w+|the|town|city|village|suburb))*)"
)
_FROM_CONTEXT = r"\b(?:[Ii]n|[Nn]ear|[Oo]utside|[Aa]round|[Tt]own of|[Cc]ity of|[Vv]illage of|[Cc]ounty of)"


def _is_street(match: re.Match[str]) -> bool:
    return match["name"].split()[0] not in {"Grade", "Stage", "Type", "Day", "Week", "Level", "Class"}


def _is_small_place(match: re.Match[str]) -> bool:
    words = match["x"].split()
    if re.match(r",\s*(?:CT|PA|MS|MD|AL|ID|OR|IN|PR)\b(?!\s+\d{5})(?!\s*(?:[.,;)]|$))", match.string[match.end("x") :]):
        return False  # "Imaging, CT chest", "Chest, PA view"
    return words[0] not in MONTHS and not all(_is_wide(w) for w in words) and not _is_medicine(match, words)


def _is_wide(word: str) -> bool:
    return all(part in WIDE_PLACES for part in word.rstrip("'’s").split("-")) or word in WIDE_PLACES


def _is_institution(match: re.Match[str]) -> bool:
    return not all(word.strip(",") in _GENERIC for word in match["name"].split())


# ---- Names --------------------------------------------------------------

_INITIAL = r"(?:[A-Z]\.?(?=[\s.]))"
_PARTICLE = r"(?:van|von|der|den|de|del|della|di|da|dos|la|le|el|al|bin|ibn|ben|ter|ten|O'|St\.)"
_NAME_WORD = r"[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿ'’]*[A-Za-zÀ-ÿ'’\-]*\d*"
_NAME = rf"(?:{_INITIAL}\s*)*{_NAME_WORD}(?:,?\s+(?:{_PARTICLE}\s+){{0,2}}(?:{_NAME_WORD}|{_INITIAL})){{0,3}}"
_SURNAME = rf"(?:{_PARTICLE}\s+){{0,2}}{_NAME}"
_LABEL = (
    r"(?:patient(?:'s)?\s+name|name\s+of\s+(?:the\s+)?patient|full\s+name|maiden\s+name|first\s+name|last\s+name|given\s+name|"
    r"family\s+name|surname|name|patient|pt|attending(?:\s+physician)?|physician|provider|pcp|gp|surgeon|consultant|resident|"
    r"nurse|(?:electronically\s+)?signed(?:\s+by)?|dictated\s+by|author|transcribed\s+by|seen\s+by|referred\s+by|referring\s+"
    r"physician|accompanied\s+by|reviewed\s+by|ordered\s+by|performed\s+by|cc|re|emergency\s+contact|next\s+of\s+kin|guardian|"
    r"mother|father|spouse|wife|husband|dear|sincerely|regards|witness)"
)
_RELATION = (
    r"(?:wife|husband|spouse|partner|mother|father|mom|dad|mum|daughter|son|sister|brother|aunt|uncle|cousin|niece|nephew|"
    r"grandmother|grandfather|grandson|granddaughter|friend|neighbou?r|girlfriend|boyfriend|fianc[eé]e?|roommate|caregiver|"
    r"carer|boss|coworker|colleague|employer|patient|nurse|doctor|physician|surgeon|therapist|teacher|coach|twin|child|baby)"
)
_NOT_NAMES = frozenset(
    """The A An This That These Those He She It They We I You His Her Its Their My Our Your No Not None Yes And Or But If
    When While After Before Since Until Because Although However Also Patient Patients Mother Father Parents Parent Child
    Infant Baby Newborn Boy Girl Man Woman Male Female Unknown Unremarkable Normal Negative Positive Denies Reports
    Alive Deceased Died Had Has Have Is Was Were Are Be Been Does Did Do Present Absent N/A Nonsmoker Non-smoker Smoker
    Well Healthy Stable Alert Type Stage Grade Class Information Type General Practitioner Practitioners Manager Specialist
    Station Note Notes History Past Medical Surgical Family Social Review Physical Exam Examination Assessment Plan
    Doctor Nurse Physician Surgeon Hospital Clinic Emergency Department Medicine Surgery Date Age Sex Gender Race Address
    Phone Number Diagnosis Hypertension Diabetes Asthma Cancer Migraine Migraines Stroke Pain Currently Previously Recently
    HIV AIDS HPV HSV DM HTN CAD MI COPD MS ALS TB STI STD CT MRI ECG EKG EEG BP HR RR Temp WBC RBC
    January February March April June July August September October November December Monday Tuesday Wednesday Thursday
    Friday Saturday Sunday Caucasian Hispanic Latino Latina White Black Married Single Divorced Widowed Retired Works
    Occasional Occasionally Lives Drinks Smokes Takes Uses With Without For From On In At To By As Of Increased Decreased
    Follow Start Continue Return Recommend Given Seen Multiple All Both Each Other Another Some Any Most Many Several
    One Two Three Four Five Six Rh Group Only Primigravida Gravida Vegetarian Christian Catholic Jewish Muslim""".split()
)


def _is_name(match: re.Match[str]) -> bool:
    words = [word.strip(".,") for word in match["x"].split()]
    if words[0] in _NOT_NAMES or words[0].isupper() and len(words[0]) > 1 and len(words) == 1:
        return False
    return not _is_medicine(match, words)


def _is_medicine(match: re.Match[str], words: list[str]) -> bool:
    """Whether a match is part of "Crohn's disease", "Hodgkin lymphoma", "Wells score" or a list of such."""
    after = re.match(r"[\s\-–]*([A-Za-z]+)", match.string[match.end("x") :])
    last = re.sub(r"['’]s$", "", words[-1])
    following = after[1].lower() if after else ""
    if any(word.lower() in CLINICAL_NOUNS for word in words[1:]) or following in CLINICAL_NOUNS:
        return True
    return last in EPONYMS and last not in GIVEN_NAMES or "-" in last and last.split("-")[0] in EPONYMS


def _is_given_name(match: re.Match[str]) -> bool:
    """A common given name, alone or before a surname, that no clinical noun or eponym turns into medicine."""
    words = match["x"].split()
    if len(words) == 1 and words[0] in ALSO_WORDS:
        return False
    if words[0] in EPONYMS and (len(words) == 1 or words[1] in EPONYMS):
        return False
    if re.search(r"[\w'’]-$", match.string[: match.start("x")]) or match.string[match.end("x") :][:1] in "-–":
        return False  # Epstein-Barr, Charcot-Marie-Tooth
    return not _is_medicine(match, words)


_GIVEN = "|".join(sorted(GIVEN_NAMES))
_NAME_PATTERNS: list[tuple[str, str, Callable[[re.Match[str]], bool] | None]] = [
    (
        "name",
        rf"\b(?:Mr|Mrs|Ms|Mx|Dr|Prof|Rev|Hon|Sr|Sra|Herr|Frau|Mme|MR\.|MRS\.|MS\.|DR\.|Miss|Doctor|Professor|Nurse|Sister|"
        rf"Father|Pastor|Officer|Judge|Captain|Sergeant|Uncle|Aunt|Aunty|Grandma|Grandpa|Lady|Sir)\b\.?\s+(?P<x>{_SURNAME})",
        lambda m: (
            m["x"].split()[0].strip(".,") not in _NOT_NAMES
            and not re.match(r"(?:disease|syndrome)", m.string[m.end() :])
        ),
    ),
    ("name", r"\b(?:MR|MRS|MS|DR)\.\s+(?P<x>[A-Z][A-Z'\-]+(?:\s+[A-Z][A-Z'\-]+){0,2})", None),
    (
        "name",
        rf"(?P<x>{_NAME}),?\s+(?:M\.?D\.?|D\.?O\.?|R\.?N\.?|N\.P\.|NP|PA-C|Ph\.?D\.?|F\.?A\.?C\.?[PS]\.?|MBBS|DDS|DPM|LCSW|"
        rf"PharmD|APRN|CNM|DVM|Esq)\b",
        _is_name,
    ),
    ("name", rf"(?i:\b{_LABEL})\s*:\s*(?P<x>{_SURNAME})", _is_name),
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
        rf"(?:^|[.!?]\s+|,\s*)(?P<x>{_NAME_WORD}(?:\s+(?:{_NAME_WORD}|{_INITIAL})){{1,3}}),?\s+(?:is|was)\s+an?\s+"
        rf"(?:[\w\-]+\s+)?\d{{1,3}}[\s\-]",
        lambda m: not any(word in _NOT_NAMES for word in m["x"].split()),
    ),
    (
        "name",
        rf"\b(?i:{_RELATION})(?:,|\s+is|\s+named|\s+called)?\s+(?P<x>(?:{_GIVEN})\b(?:\s+{_NAME_WORD})?)",
        _is_name,
    ),
    (
        "name",
        rf"\b(?:{_RELATION}),?\s+(?P<x>{_NAME_WORD}(?:\s+{_NAME_WORD})?)(?=,|'s|’s|\s+(?:who|is|was|has|had|says|said|reports|"
        rf"reported|states|stated|called|brought|found|noticed|denies|and|came|presents|presented)\b)",
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
        rf"(?i)(?<![\w./\-])\d{{1,6}}\s+(?:\w+\s+){{1,3}}(?:street|avenue|road|boulevard|lane)\b{_UNIT}",
        None,
    ),
    ("geography", r"(?i)\bP\.?\s?O\.?\s+box\s+\d+", None),
    ("geography", r"(?i)\bzip(?:\s?code)?[:\s]*(?:is\s+)?(?P<x>\d{5}(?:-\d{4})?)\b", None),
    (
        "geography",
        r"(?i)\b(?:postal\s?code|post\s?code)[:\s]*(?:is\s+)?(?P<x>[A-Z0-9]{2,5}(?:[\s\-]?[A-Z0-9]{3,4})?)\b",
        None,
    ),
    ("geography", rf"\b(?:{_STATE})\.?,?\s+(?P<x>\d{{5}}(?:-\d{{4}})?)(?![\d,.]\d|\d|\s*(?:cells|/|mg|mL))", None),
    (
        "geography",
        rf"(?P<x>{_CAP}(?:\s+{_CAP}){{0,2}}),\s*(?:{_STATE})(?=\b)(?!\s*[=:/\d]\d?[^\d\s]|[\w\-])",
        _is_small_place,
    ),
    ("geography", rf"(?P<name>(?:{_CAP}\s+(?:of\s+|and\s+)?){{1,4}})(?:{_INSTITUTION})\b", _is_institution),
    (
        "geography",
        rf"\b(?:St|Saint|Mount)\.?\s+{_CAP}(?:\s+{_CAP})?(?:'s)?\s+(?:Hospital|Medical|Clinic|Church|School)\b",
        None,
    ),
    (
        "geography",
        rf"{_PLACE_CONTEXT}\s+(?P<x>{_CAP}(?:\s+(?:(?:de|del|la|of|upon)\s+)?{_CAP}){{0,3}})",
        _is_small_place,
    ),
    (
        "geography",
        rf"{_FROM_CONTEXT}\s+(?P<x>{_CAP}(?:\s+{_CAP}){{0,2}}(?:\s+(?:County|Township|Village|Parish|Beach|City)))\b",
        None,
    ),
]

# ---- Dates and ages -----------------------------------------------------

_YEAR = r"(?P<year>(?:18|19|20)\d\d)"
_FULL = "|".join(MONTHS)
_SHORT = r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec"
_MONTH = rf"(?:(?:{_FULL}|{_FULL.upper()}|{_SHORT}|january|february|april|june|july|august|september|october|november|december)\b\.?)"
_ANY_MONTH = rf"(?i:(?:{_FULL}|{_SHORT})\b\.?)"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_ORDINAL = (
    r"(?i:(?:twenty|thirty)[\s\-](?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|first|second|third|fourth|"
    r"fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|"
    r"eighteenth|nineteenth|twentieth|thirtieth)"
)
_NOT_UNIT = r"(?!\s*(?:[/%]|mg|mcg|g\b|ml|mL|tablets?|pills?|times|doses?|hours?|days?|weeks?|months?|years?|x\b|\d))"
_WEEKDAY = r"(?:(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|Mon|Tue|Wed|Thu|Fri|Sat|Sun)\.?,?\s+)?(?:the\s+)?"
_CLOCK = r"(?:[T\s]\s?\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:\s?(?:Z\b|[+\-]\d\d:?\d\d))?)?"
_DATES = [
    rf"(?<![\w./\-]){_YEAR}(?P<s>[\-/.])(?P<a>\d{{1,2}})(?P=s)(?P<b>\d{{1,2}})(?!\d){_CLOCK}",
    rf"(?<![\w./\-])(?P<a>\d{{1,2}})\s?(?P<s>[/.\-])\s?(?P<b>\d{{1,2}})\s?(?P=s)\s?{_YEAR}(?![\d/\-]){_CLOCK}",
    r"(?<![\w./\-])(?P<a>\d{1,2})(?P<s>/)(?P<b>\d{1,2})(?P=s)'?\d\d(?![\w/\-.]\d|\d|\w)",
    r"(?<![\w./\-])(?P<a>\d\d)(?P<s>[\-.])(?P<b>\d\d)(?P=s)\d\d(?![\d/\-.]|\w)",
    rf"(?<![\w./\-]){_YEAR}-(?P<a>0[1-9]|1[0-2])(?![\d\-/])",
    rf"(?<![\w./\-])(?<!titer of )(?<!titre of )(?<!dilution of )(?P<a>0?[1-9]|1[0-2])/{_YEAR}(?![\d/\-])",
    rf"{_WEEKDAY}{_ANY_MONTH}\s*{_DAY}(?:\s*(?:-|–|to|and|through)\s*{_DAY})?\s*,?\s+(?:of\s+|in\s+)?{_YEAR}\b{_CLOCK}",
    rf"{_WEEKDAY}{_MONTH}\s+(?:the\s+)?(?:{_DAY}\b(?:\s*(?:-|–|to|and|through)\s*{_DAY})?(?:,?\s*['’]\d\d\b)?{_NOT_UNIT}|{_ORDINAL}\b)",
    rf"(?<![\w./\-]){_WEEKDAY}{_DAY}[\s\-./]*(?:day\s+)?(?:of\s+)?{_ANY_MONTH}[\s\-.,/]*(?:of\s+)?{_YEAR}\b{_CLOCK}",
    rf"(?<![\w./\-]){_WEEKDAY}{_DAY}(?:\s+of\s+|\s+|-){_MONTH}(?:[\s\-.,/]*['’]?\d\d(?!\d))?(?!\w)",
    rf"\b{_ORDINAL}\s+(?:day\s+)?(?:of\s+)?{_ANY_MONTH}(?:,?\s+{_YEAR}\b)?",
    rf"\b{_ANY_MONTH}(?:,|\s+of|\s+in)?[\s\-]+{_YEAR}\b",
    rf"\b(?:[Ii]n|[Ss]ince|[Ll]ast|[Ee]arly|[Ll]ate|[Mm]id|[Uu]ntil|[Tt]his|[Nn]ext|[Dd]uring|[Bb]y|[Tt]hrough|[Oo]f|[Pp]ast|[Ff]rom|"
    rf"[Bb]etween|[Ee]very|[Ee]nd of|[Bb]eginning of)[\s\-]+(?P<x>{_MONTH}(?:\s+(?:and|to|through|or)\s+{_MONTH})?)(?!\s+(?:fracture|Thurner))",
    r"(?<!\w)(?P<year4>(?:19|20)\d\d)(?P<a>0[1-9]|1[0-2])(?P<b>0[1-9]|[12]\d|3[01])(?:[T_]?\d{4,6})?(?!\w)",
    r"(?i)\b(?:on|since|dated|admitted|discharged|seen|visit|until|dob|born|birth(?:day|date)?|d\.o\.b\.)(?:\s+on)?[:\s]+"
    r"(?P<x>(?P<a>\d{1,2})(?P<s>[/\-])(?P<b>\d{2}))(?![\d/%]|\s*(?:strength|pain|severity|scale|murmur|hpf|motor|muscle|vision))",
    r"(?i)\b(?:at|on|since|before|after|around|during|over|by|until|last|this|past)\s+(?P<x>Christmas(?:\s+(?:eve|day))?|"
    r"Thanksgiving|Halloween|Easter|New\s+Year['’]?s?(?:\s+(?:eve|day))?|Labor\s+Day|Memorial\s+Day|Valentine['’]?s\s+Day|"
    r"(?:the\s+)?(?:fourth|4th)\s+of\s+July)(?!\s+tree)",
]
_OVER_89 = r"(?:9\d|1[0-4]\d)"
_OVER_89_WORDS = r"(?:ninety(?:[\s\-](?:one|two|three|four|five|six|seven|eight|nine))?|(?:a|one)[\s\-]hundred(?:[\s\-](?:and[\s\-])?\w+)?)"
_AGES = [
    rf"(?i)(?<![\w.])(?P<x>{_OVER_89}|{_OVER_89_WORDS})(?=[\s\-]*(?:years?|yrs?|y)[\s\-/.]*(?:old|o\b|o/|of\s+age))",
    rf"(?i)(?<![\w.])(?P<x>{_OVER_89})(?=\s?(?:yo|y/o|y\.o\.|yr)\b)",
    rf"(?i)\b(?:age[ds]?|aging)(?:\s+(?:of|is|was|at|over))*[:\s]+(?P<x>{_OVER_89}|{_OVER_89_WORDS})(?![\d/%])\b",
    rf"(?i)\b(?:died|dead|lived|passed\s+away|deceased|death)\s+(?:at|to|until|to\s+be)(?:\s+age)?\s+(?P<x>{_OVER_89}|{_OVER_89_WORDS})(?![\d/%])\b",
    rf"(?i)\b(?:turned|turns|turning|her|his)\s+(?P<x>{_OVER_89})(?:th|rd|nd|st)\s+birthday",
    rf"(?i)\b(?:he|she|patient|who)\s+(?:is|was|turned|turns)\s+(?P<x>{_OVER_89}|{_OVER_89_WORDS})(?=[.,;]|\s+and\b|$)",
    rf"(?<![\w./])(?P<x>{_OVER_89})(?=\s?[MF]\b)",
]
_COMPILED_DATES = [re.compile(pattern) for pattern in _DATES]
_COMPILED_AGES = [re.compile(pattern) for pattern in _AGES]


def _dates(text: str) -> Iterator[Span]:
    for pattern in _COMPILED_DATES:
        for match in pattern.finditer(text):
            groups = match.groupdict()
            if not _possible(groups.get("a"), groups.get("b")):
                continue
            start, end = match.span("x" if "x" in groups else 0)
            start += len(match[0]) - len(match[0].lstrip()) if "x" not in groups else 0
            end -= text[start:end].endswith(".")
            if not _in_placeholder(text, start, end):
                yield Span(start, end, "date", groups.get("year") or groups.get("year4") or CLASSES["date"])


def _possible(a: str | None, b: str | None) -> bool:
    """Whether two numbers can be a day and a month in some order."""
    if b is None:
        return True
    low, high = sorted((int(a), int(b)))
    return 1 <= low <= 12 and high <= 31


def _ages(text: str) -> Iterator[Span]:
    for pattern in _COMPILED_AGES:
        for match in pattern.finditer(text):
            if match["x"] != "90":
                yield Span(*match.span("x"), "date", "90")


_PATTERNS = [(kind, re.compile(pattern), None) for kind, pattern in _TEXT_PATTERNS]
_PATTERNS += [(kind, re.compile(pattern), accept) for kind, pattern, accept in _PLACE_PATTERNS + _NAME_PATTERNS]
