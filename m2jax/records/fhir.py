"""FHIR R4 bundles (https://hl7.org/fhir/R4/) as records: one record for each Patient of a bundle.

A file holds one bundle, a list of them, or one a line; a folder, files of these. A bundle is {"resourceType": "Bundle",
"entry": [{"resource": ...}]} or {"resources": [...]}. Bundles of a folder that hold no patient (staff, hospitals) only
lend their names to the de-identification of the others.

The record is that of one encounter, the problem encounter, and of what was known by then. It is the latest of those with
a reason (Encounter.reasonCode or reasonReference, or a diagnosis of the encounter); if none has one, the latest at which
a condition was recorded; else the latest. Conditions that tell of a life and not of an illness (work, housing, schooling)
do not count here and become social facts. `diagnosis` is the condition recorded at that encounter that has the reason's
name; else the first condition recorded at it; else the reason; else, without any encounter, the latest condition;
else "not stated". The complaint is the reason where it is not the diagnosis, or the note's chief complaint.

What was there before is history: conditions (past), medication still taken (drug), procedures and vaccinations (past),
allergies, the family. Vital signs are exam, other measurements tests, smoking and surveys social; of each the latest
up to the encounter. What was ordered at the encounter is of the kind "diagnosis", for it tells of it. Notes (base64
text of DiagnosticReport and DocumentReference) are split by their headings. Dates become ages and spans of time.
"""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Iterator
from pathlib import Path

from m2jax.records.fhir_known import known_values, reference_id
from m2jax.records.outside import UNSTATED, Outside, age_of, build, kind_of, read_objects, says_something, statements
from m2jax.records.record import Record

_VOID = {"entered-in-error", "cancelled", "not-done", "planned", "refuted"}
_NO_ILLNESS = re.compile(
    r"(?i)employ|labor force|education|housing|homeless|transport|social|stress|refugee|medication review|criminal|violence|partner abuse|"
    r"educated|armed forces|migrant|income|poverty|risk activity|alcohol drinking behavior|certificate|lives|not in school|primary school"
)
_VITALS = {
    "8302-2",
    "29463-7",
    "39156-5",
    "85354-9",
    "8867-4",
    "9279-1",
    "8310-5",
    "8331-1",
    "2708-6",
    "59408-5",
    "55284-4",
}
_NO_FACT = re.compile(
    r"(?i)\b(?:QALY|DALY|QOLS)\b|documentation of current medications|medication reconciliation|medication review"
)


def read(path: str | Path) -> list[Outside]:
    """The records of a file or a folder, not yet de-identified. ValueError is `file:line: what is wrong`."""
    bundles = []
    for place, raw in read_objects(path):
        try:
            bundles.append((place, _resources(raw)))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
    staff = [r for _, resources in bundles if not _of(resources, "Patient") for r in resources]
    if Path(path).is_file() and staff:
        place = next(place for place, resources in bundles if not _of(resources, "Patient"))
        raise ValueError(f"{place}: the bundle has no Patient; give one bundle per patient")
    out: list[Outside] = []
    for place, resources in bundles:
        for patient in _of(resources, "Patient"):
            try:
                record = _record(f"fhir-{len(out)}", patient, _about(patient, resources))
            except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
                raise ValueError(f"{place}: not as FHIR R4 has it: {error}") from error
            out.append(Outside(record, known_values([*resources, *staff]), place))
    if not out:
        raise ValueError(f"{path}:1: no bundle has a Patient; give one bundle per patient")
    return out


def _resources(raw: dict) -> list[dict]:
    """The resources of a bundle; each knows its "_ids" (id and last part of fullUrl)."""
    items = raw.get("entry", raw.get("resources"))
    if raw.get("resourceType", "Bundle") != "Bundle" or not isinstance(items, list):
        raise ValueError(
            f"resourceType is {raw.get('resourceType')!r} with the keys {sorted(raw)[:8]}; give a Bundle with 'entry', or 'resources'"
        )
    resources = []
    for number, item in enumerate(items):
        resource = item.get("resource") if isinstance(item, dict) and "resourceType" not in item else item
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            raise ValueError(f"entry[{number}] has no resource with a resourceType; give FHIR resources")
        ids = {str(resource.get("id", "")), reference_id(item.get("fullUrl"))} - {""}
        resources.append(resource | {"_ids": ids})
        resources += [inner | {"_ids": {str(inner.get("id", ""))}} for inner in resource.get("contained", [])]
    return resources


def _of(resources: list[dict], *types: str) -> list[dict]:
    return [
        r
        for r in resources
        if r["resourceType"] in types
        and str(r.get("status")) not in _VOID
        and not _codes(r.get("verificationStatus")) & _VOID
    ]


def _about(patient: dict, resources: list[dict]) -> list[dict]:
    """Without the resources that say they are about another patient."""
    kept = []
    for resource in resources:
        subject = resource.get("subject") or resource.get("patient") or {}
        if not subject.get("reference") or reference_id(subject["reference"]) in patient["_ids"] or resource is patient:
            kept.append(resource)
    return [r for r in kept if r["resourceType"] != "Patient" or r is patient]


# ---- The encounter ------------------------------------------------------


def _record(id: str, patient: dict, resources: list[dict]) -> Record:
    by_id = {i: r for r in resources for i in r["_ids"]}
    conditions = sorted((r for r in _of(resources, "Condition") if _text(r.get("code"))), key=_when)
    illnesses = [r for r in conditions if not _NO_ILLNESS.search(_text(r.get("code")))]
    encounter = _problem_encounter(_of(resources, "Encounter"), illnesses, by_id)
    here = [r for r in illnesses if encounter and _encounter_id(r) in encounter["_ids"]]
    reasons = _reasons(encounter, by_id) if encounter else []
    named = [r for r in here or illnesses if _plain(r) in reasons]
    condition = (named or here or ([] if encounter else illnesses[-1:]) or [None])[-1 if named else 0]
    diagnosis = _plain(condition) if condition else reasons[0] if reasons else UNSTATED
    now = _date(_when(encounter)) if encounter else _date(_when(condition)) if condition else None
    now = now or max(filter(None, (_date(_when(r)) for r in resources)), default=None)
    sex = patient.get("gender") if patient.get("gender") in ("female", "male", "other") else "unknown"
    age = _age(patient, now)
    found = (
        [("demographic", f"{_age_words(age)}{'' if sex in ('unknown', 'other') else sex}.")]
        if age is not None or sex in ("female", "male")
        else []
    )
    found += [("complaint", f"{reason}.") for reason in reasons if reason.lower() != diagnosis.lower()]
    notes = list(_notes(resources, encounter))
    found += notes
    if not any(kind == "complaint" for kind, _ in found):
        found.append(("complaint", _generic_complaint(encounter, diagnosis)))
    found += _history(resources, conditions, condition, now, encounter, by_id)
    found += _measured(resources, now, encounter, by_id)
    if diagnosis != UNSTATED:
        found.append(("diagnosis", f"The diagnosis is {diagnosis}."))
    return build(id, age, sex, diagnosis, found, "fhir")


def _problem_encounter(encounters: list[dict], illnesses: list[dict], by_id: dict) -> dict | None:
    encounters = sorted(encounters, key=_when)
    with_reason = [e for e in encounters if _reasons(e, by_id)]
    noted = {_encounter_id(r) for r in illnesses}
    with_condition = [e for e in encounters if e["_ids"] & noted]
    return next(
        (group[-1] for group in (with_reason, with_condition, encounters if not illnesses else []) if group), None
    )


def _reasons(encounter: dict, by_id: dict) -> list[str]:
    """Names of what the encounter was for, and of its diagnoses."""
    texts = [_text(concept) for concept in encounter.get("reasonCode", [])]
    references = encounter.get("reasonReference", []) + [d.get("condition", {}) for d in encounter.get("diagnosis", [])]
    texts += [
        _text(by_id.get(reference_id(r.get("reference")), {}).get("code")) or r.get("display", "") for r in references
    ]
    return list(dict.fromkeys(_bare(text) for text in texts if text and not _NO_ILLNESS.search(text)))


def _generic_complaint(encounter: dict | None, diagnosis: str) -> str:
    kind = _text((encounter or {}).get("type", [{}])[0]) if encounter else ""
    if re.search(r"(?i)check.?up|well child|annual|general exam|screening", kind):
        return "Comes for a check-up."
    emergency = "EMER" in _codes([encounter.get("class")] if encounter else None) or "emergency" in kind.lower()
    return (
        "Comes to the emergency department because of a new problem."
        if emergency
        else "Comes because of a new problem."
    )


# ---- Facts --------------------------------------------------------------


def _history(
    resources: list[dict],
    conditions: list[dict],
    chosen: dict | None,
    now: datetime.date | None,
    encounter: dict | None,
    by_id: dict,
) -> Iterator[tuple[str, str]]:
    at = encounter["_ids"] if encounter else set()
    for r in conditions:
        if r is chosen or _later(r, now):
            continue
        over = (
            ""
            if not (
                r.get("abatementDateTime") or _codes(r.get("clinicalStatus")) & {"resolved", "inactive", "remission"}
            )
            else ", resolved"
        )
        if _NO_ILLNESS.search(_text(r.get("code"))):
            if not over and not _NO_FACT.search(_text(r.get("code"))):
                yield "social", f"{_plain(r)}."
        elif _encounter_id(r) in at:
            yield "diagnosis", f"Found at the same time: {_plain(r)}."
        else:
            yield "past", f"{_plain(r)}{_ago(r, now, 'since')}{over}."
        for note in r.get("note", []):
            yield from ((kind_of(s, "symptom"), s) for s in statements(str(note.get("text", ""))))
    for r in _of(resources, "MedicationRequest", "MedicationStatement", "MedicationAdministration"):
        drug = _text(r.get("medicationCodeableConcept")) or _text(
            by_id.get(reference_id((r.get("medicationReference") or {}).get("reference")), {}).get("code")
        )
        drug = drug or (r.get("medicationReference") or {}).get("display", "")
        dose = "; ".join(
            d["text"] for d in r.get("dosageInstruction", r.get("dosage", [])) if isinstance(d, dict) and d.get("text")
        )
        if drug and not _later(r, now):
            if _encounter_id(r) in at:
                yield "diagnosis", f"Prescribed at this visit: {drug}."
            elif r.get("status") in (None, "active", "intended", "unknown"):
                yield "drug", f"Takes {drug}{': ' + dose if dose else ''}."
    for r in _of(resources, "AllergyIntolerance"):
        if substance := _text(r.get("code")):
            reactions = dict.fromkeys(
                _bare(_text(m)) for reaction in r.get("reaction", []) for m in reaction.get("manifestation", [])
            )
            yield (
                "allergy",
                (
                    f"Allergic to {_bare(substance)}"
                    if not re.match(r"(?i)no known|allergy", substance)
                    else _bare(substance)
                )
                + (f": {', '.join(reactions)}" if reactions else "")
                + ".",
            )
    for r in _of(resources, "FamilyMemberHistory"):
        for condition in r.get("condition", []):
            yield (
                "family",
                f"{_text(r.get('relationship')).capitalize() or 'A relative'}: {_bare(_text(condition.get('code')))}{', died of it' if condition.get('contributedToDeath') else ''}.",
            )
    for r in _of(resources, "Procedure"):
        name = _text(r.get("code"))
        if name and not _NO_FACT.search(name) and not _later(r, now):
            if _encounter_id(r) in at:
                yield "diagnosis", f"Done at this visit: {_bare(name)}."
            else:
                yield "past", f"{_bare(name)}{_ago(r, now, '')}."
    vaccines = dict.fromkeys(_text(r.get("vaccineCode")) for r in _of(resources, "Immunization") if not _later(r, now))
    yield from (("past", f"Vaccinated: {vaccine}.") for vaccine in vaccines if vaccine)


def _measured(
    resources: list[dict], now: datetime.date | None, encounter: dict | None, by_id: dict
) -> Iterator[tuple[str, str]]:
    latest: dict[str, dict] = {}
    for r in sorted(_of(resources, "Observation"), key=_when):
        if not _later(r, now) and _text(r.get("code")):
            latest[_text(r.get("code"))] = r
    for name, r in latest.items():
        value = _value(r)
        if not value or _NO_FACT.search(name):
            continue
        categories = {code for concept in r.get("category", []) for code in _codes(concept)}
        when = "" if encounter and _encounter_id(r) in encounter["_ids"] else _ago(r, now, "")
        if re.search(r"(?i)pain severity", name):
            kind = "symptom"
        elif categories & {"social-history", "survey"} or "smoking" in name.lower():
            kind = "social"
        else:
            kind = (
                "exam"
                if categories & {"vital-signs", "exam"} or not categories and _codes(r.get("code")) & _VITALS
                else "test"
            )
        name = re.sub(r"\s*\[[^\]]*\]| by Automated count| - (?:Reported|0-10 verbal numeric rating)", "", name)
        yield kind, f"{name}: {value}{when}."
    for r in _of(resources, "DiagnosticReport"):
        if r.get("conclusion") and not _later(r, now):
            yield from (("test", f"{_text(r.get('code'))}: {s}") for s in statements(r["conclusion"]))


def _value(r: dict) -> str:
    """An Observation's value, or those of its components, in words; "" where it has none."""
    if components := [c for c in r.get("component", []) if _value(c)]:
        return ", ".join(f"{_text(c.get('code'))} {_value(c)}" for c in components)
    quantity = r.get("valueQuantity")
    if isinstance(quantity, dict) and isinstance(quantity.get("value"), (int, float)):
        unit = {"mm[Hg]": "mmHg", "Cel": "°C", "{score}": "", "1": ""}.get(
            str(quantity.get("unit", "")), str(quantity.get("unit", ""))
        )
        flags = {"H": " (high)", "HH": " (very high)", "L": " (low)", "LL": " (very low)", "A": " (abnormal)"}
        flag = next((flags[c] for concept in r.get("interpretation", []) for c in _codes(concept) if c in flags), "")
        return f"{quantity.get('comparator', '')}{quantity['value']:.4g} {unit}".strip() + flag
    if "valueCodeableConcept" in r:
        return _bare(_text(r["valueCodeableConcept"]))
    if isinstance(r.get("valueBoolean"), bool):
        return "yes" if r["valueBoolean"] else "no"
    if isinstance(r.get("valueRange"), dict):
        return "-".join(str(r["valueRange"].get(end, {}).get("value", "")) for end in ("low", "high"))
    return next((str(r[key]) for key in ("valueString", "valueInteger") if says_something(r.get(key))), "")


# ---- Notes --------------------------------------------------------------

_HEADINGS = (
    ("complaint", r"chief complaint|reason for (?:visit|consultation)|presenting complaint|cc"),
    (
        "symptom",
        r"(?:history of (?:the )?)?present(?:ing)? illness|hpi|review of systems|ros|subjective|symptoms|history",
    ),
    ("past", r"past (?:medical |surgical )?history|pmh|psh|(?:medical|surgical|obstetric) history|immuni[sz]ations"),
    ("social", r"social history|sh|habits"),
    ("family", r"family (?:medical )?history|fh"),
    ("allergy", r"allergies|allergy"),
    ("drug", r"(?:current |home )?medications?(?: list)?|drugs"),
    ("exam", r"(?:physical )?exam(?:ination)?|objective|vital signs|vitals"),
    ("test", r"(?:laboratory |test )?results|labs?|laboratory(?: data)?|imaging|investigations|studies|data"),
    (
        "diagnosis",
        r"assessment(?: and plan| & plan|/plan)?|plan(?: of care)?|impression|diagnos[ie]s|a/p|recommendations?|treatment|disposition|follow.?up",
    ),
)
_HEADING = tuple((kind, re.compile(rf"(?i)(?:#+\s*)?(?:\d+\.\s*)?(?:{words})\s*:?\s*")) for kind, words in _HEADINGS)
_NOT_A_SECTION = re.compile(r"(?:#+\s*.+|[\d\-/]{8,10})")


def _notes(resources: list[dict], encounter: dict | None) -> Iterator[tuple[str, str]]:
    """Statements of the notes of an encounter, and of those that name none."""
    seen = set()
    for r in _of(resources, "DiagnosticReport", "DocumentReference"):
        theirs = _encounter_id(r)
        if encounter and theirs and theirs not in encounter["_ids"]:
            continue
        for attachment in [*r.get("presentedForm", []), *(c.get("attachment", {}) for c in r.get("content", []))]:
            kind = str(attachment.get("contentType", "text/plain")).partition(";")[0]
            if not attachment.get("data") or not kind.startswith("text/"):
                continue
            try:
                text = base64.b64decode(re.sub(r"\s", "", attachment["data"]), validate=True).decode("utf-8")
            except ValueError as error:
                raise ValueError(
                    f"{r['resourceType']} {r.get('id')!r} has an attachment that is no base64 of UTF-8: {error}"
                ) from error
            text = re.sub(r"<(?:br|/p|/div|/li|/h\d)[^>]*>", "\n", text) if kind == "text/html" else text
            text = re.sub(r"<[^>]+>", " ", text) if kind == "text/html" else text
            if text not in seen:
                seen.add(text)
                yield from _note(text)


def _note(text: str) -> Iterator[tuple[str, str]]:
    kind, block = "symptom", []
    for line in [*text.split("\n"), "#"]:
        head, colon, rest = line.strip().partition(":")
        heading = next((k for k, p in _HEADING if p.fullmatch(head.strip()) or p.fullmatch(line.strip())), None)
        if heading or _NOT_A_SECTION.fullmatch(line.strip()) or line == "#":
            yield from _section(kind, "\n".join(block))
            kind, block = heading or kind, [rest] if heading and colon else []
        else:
            block.append(line)


def _section(kind: str, text: str) -> Iterator[tuple[str, str]]:
    for statement in statements(text):
        if kind == "symptom" and re.search(r"(?i)\bis an? \d+[\s\-](?:year|month|week|day)", statement):
            yield "demographic", statement
        elif kind in ("symptom", "past", "social"):
            yield (
                kind_of(
                    statement,
                    kind,
                    ("allergy", "family", "drug", "social", "past") if kind == "symptom" else ("family",),
                ),
                statement,
            )
        else:
            yield kind, statement


# ---- Parts of FHIR ------------------------------------------------------


def _text(concept: object) -> str:
    """What a CodeableConcept is called."""
    if not isinstance(concept, dict):
        return ""
    displays = [coding.get("display") for coding in concept.get("coding", []) if coding.get("display")]
    return str(concept.get("text") or (displays[0] if displays else "")).strip()


def _codes(concept: object) -> set[str]:
    codings = concept.get("coding", []) if isinstance(concept, dict) else concept if isinstance(concept, list) else []
    return {str(coding.get("code")) for coding in codings if isinstance(coding, dict)}


def _bare(text: str) -> str:
    """Without SNOMED's tag: "Viral sinusitis (disorder)" -> "Viral sinusitis"."""
    return re.sub(
        r"\s*\((?:disorder|finding|procedure|situation|substance|product|event|morphologic abnormality|person|organism)\)\s*$",
        "",
        text,
    ).strip()


def _plain(r: dict) -> str:
    return _bare(_text(r.get("code")))


def _encounter_id(r: dict) -> str:
    reference = (
        r.get("encounter") or next(iter(r.get("context", {}).get("encounter", [])), None)
        if isinstance(r.get("context", {}), dict)
        else r.get("encounter")
    )
    return reference_id((reference or {}).get("reference"))


def _when(r: dict) -> str:
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


def _date(text: str) -> datetime.date | None:
    if not text:
        return None
    parts = [int(part) for part in re.findall(r"\d+", text[:10])]
    return datetime.date(*(parts + [1, 1])[:3])


def _later(r: dict, now: datetime.date | None) -> bool:
    when = _date(_when(r))
    return now is not None and when is not None and when > now


def _ago(r: dict, now: datetime.date | None, word: str) -> str:
    """ ", 3 years ago" or, with the word "since", ", for 3 years"."""
    when = _date(_when(r))
    if now is None or when is None or (now - when).days < 1:
        return ""
    days = (now - when).days
    number, unit = next(
        (days // size, unit) for size, unit in ((365, "year"), (30, "month"), (7, "week"), (1, "day")) if days >= size
    )
    span = f"{number} {unit}{'' if number == 1 else 's'}"
    return f", for {span}" if word == "since" and not r.get("abatementDateTime") else f", {span} ago"


def _age(patient: dict, now: datetime.date | None) -> float | None:
    """Years at a day: whole ones from two on."""
    born = _date(str(patient.get("birthDate", "")))
    if born is None or now is None or now < born:
        return None
    years = now.year - born.year - ((now.month, now.day) < (born.month, born.day))
    return age_of(years if years >= 2 else round((now - born).days / 365.25, 2))


def _age_words(age: float | None) -> str:
    if age is None:
        return ""
    return f"{age}-year-old " if age >= 2 else f"{round(age * 12)}-month-old "
