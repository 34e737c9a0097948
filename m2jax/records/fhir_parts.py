"""Parts of FHIR R4 resources: what a concept is called, when something was, which resources count."""

from __future__ import annotations

import datetime
import re

from m2jax.records.fhir_known import reference_id
from m2jax.records.text import age_of

_VOID = {"entered-in-error", "cancelled", "not-done", "planned", "refuted"}


def of_type(resources: list[dict], *types: str) -> list[dict]:
    return [
        r
        for r in resources
        if r["resourceType"] in types
        and str(r.get("status")) not in _VOID
        and not codes_of(r.get("verificationStatus")) & _VOID
    ]


def name_of(concept: object) -> str:
    """What a CodeableConcept is called."""
    if not isinstance(concept, dict):
        return ""
    displays = [coding.get("display") for coding in concept.get("coding", []) if coding.get("display")]
    return str(concept.get("text") or (displays[0] if displays else "")).strip()


def codes_of(concept: object) -> set[str]:
    codings = concept.get("coding", []) if isinstance(concept, dict) else concept if isinstance(concept, list) else []
    return {str(coding.get("code")) for coding in codings if isinstance(coding, dict)}


def bare(text: str) -> str:
    """Without SNOMED's tag: "Viral sinusitis (disorder)" -> "Viral sinusitis"."""
    return re.sub(
        r"\s*\((?:disorder|finding|procedure|situation|substance|product|event|morphologic abnormality|person|"
        r"organism)\)\s*$",
        "",
        text,
    ).strip()


def plain_name(r: dict) -> str:
    return bare(name_of(r.get("code")))


def encounter_id(r: dict) -> str:
    reference = (
        r.get("encounter") or next(iter(r.get("context", {}).get("encounter", [])), None)
        if isinstance(r.get("context", {}), dict)
        else r.get("encounter")
    )
    return reference_id((reference or {}).get("reference"))


def when(r: dict) -> str:
    """When something began, as an ISO text that sorts; "" where it does not say."""
    period = r.get("period") or r.get("onsetPeriod") or r.get("performedPeriod") or r.get("effectivePeriod") or {}
    keys = (
        "onsetDateTime",
        "effectiveDateTime",
        "performedDateTime",
        "occurrenceDateTime",
        "authoredOn",
        "dateAsserted",
        "recordedDate",
        "date",
        "issued",
    )
    return str(period.get("start") or next((r[key] for key in keys if r.get(key)), ""))


def date_of(text: str) -> datetime.date | None:
    if not text:
        return None
    if not (match := re.match(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(?![\d-])", text)):
        raise ValueError("a date is not of the form YYYY-MM-DD, YYYY-MM or YYYY")
    return datetime.date(*(int(part or 1) for part in match.groups()))


def later(r: dict, now: datetime.date | None) -> bool:
    day = date_of(when(r))
    return now is not None and day is not None and day > now


def ago(r: dict, now: datetime.date | None, word: str) -> str:
    """ ", 3 years ago" or, with the word "since", ", for 3 years"."""
    day = date_of(when(r))
    if now is None or day is None or (now - day).days < 1:
        return ""
    days = (now - day).days
    number, unit = next(
        (days // size, unit) for size, unit in ((365, "year"), (30, "month"), (7, "week"), (1, "day")) if days >= size
    )
    span = f"{number} {unit}{'' if number == 1 else 's'}"
    return f", for {span}" if word == "since" and not r.get("abatementDateTime") else f", {span} ago"


def age_at(patient: dict, now: datetime.date | None) -> float | None:
    """Years at a day: whole ones from two on."""
    born = date_of(str(patient.get("birthDate", "")))
    if born is None or now is None or now < born:
        return None
    years = now.year - born.year - ((now.month, now.day) < (born.month, born.day))
    return age_of(years if years >= 2 else round((now - born).days / 365.25, 2))


def age_words(age: float | None) -> str:
    if age is None:
        return ""
    return f"{age}-year-old " if age >= 2 else f"{round(age * 12)}-month-old "
