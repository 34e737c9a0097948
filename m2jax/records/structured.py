"""Identifiers that stand in fields of their own: which class a field's name says it has."""

from __future__ import annotations

import re

_FIELDS = (  # class, names of fields that hold it
    (
        "name",
        r"(?:(?:patient|full|first|last|middle|given|family|maiden|doctor|physician|provider|contact)_?)?names?|"
        r"surname|maiden_?name|pcp|next_?of_?kin",
    ),
    (
        "geography",
        r"(?:(?:home|street|mailing|work)_?)?address(?:es)?|street|city|town|county|zip(?:_?code)?|post(?:al)?_?code|"
        r"hospital|clinic|employer|birth_?place",
    ),
    ("date", r"dob|birth_?date|date_?of_?birth|birthday|(?:admission|discharge|visit|encounter|death)_?date|date"),
    ("phone", r"(?:(?:home|work|cell|mobile|contact)_?)?(?:phone|telephone|tel|mobile|cell)(?:_?(?:number|no))?|pager"),
    ("fax", r"fax(?:_?(?:number|no))?"),
    ("email", r"e_?mail(?:_?address)?"),
    ("ssn", r"ssn|social_?security(?:_?(?:number|no))?"),
    (
        "record_number",
        r"mrn|(?:medical_?)?record_?(?:number|no|id)|patient_?(?:id|number)|chart_?(?:number|no)|nhs_?number|"
        r"case_?number|encounter_?id",
    ),
    (
        "health_plan",
        r"(?:insurance|member|policy|subscriber|beneficiary|medicare|medicaid|health_?plan)_?(?:id|number|no)",
    ),
    ("account", r"account(?:_?(?:number|no|id))?"),
    ("licence", r"(?:drivers?_?)?licen[cs]e(?:_?(?:number|no))?|passport(?:_?(?:number|no))?|npi|dea"),
    ("vehicle", r"vin|licen[cs]e_?plate|plate|vehicle(?:_?id)?"),
    ("device", r"(?:device_?)?serial(?:_?(?:number|no))?|device_?id|udi"),
    ("url", r"url|website|homepage"),
    ("ip", r"ip(?:_?address)?|mac_?address"),
    ("biometric", r"fingerprint|voiceprint|biometrics?"),
    ("photo", r"photo(?:graph)?|picture|portrait"),
    ("other", r"identifiers?|uuid|guid|user_?name|employee_?id|study_?id|participant_?id"),
)
_COMPILED = tuple((kind, re.compile(names)) for kind, names in _FIELDS)


def class_of(field: str) -> str | None:
    """The class of `identifiers.CLASSES` that a field of this name holds; None: none."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|[\s\-.']+", "_", field.strip()).lower().replace("'", "")
    return next((kind for kind, pattern in _COMPILED if pattern.fullmatch(name)), None)


def take_identifiers(value: object, known: dict[str, list[str]]) -> object:
    """The value without the fields that hold identifiers; their texts are added to `known`."""
    if isinstance(value, list):
        return [take_identifiers(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for field, inner in value.items():
        if kind := class_of(str(field)):
            known.setdefault(kind, []).extend(_texts(inner))
        else:
            kept[field] = take_identifiers(inner, known)
    return kept


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [] if value is None or isinstance(value, bool) or not str(value).strip() else [str(value).strip()]
