"""FHIR R4 bundles (https://hl7.org/fhir/R4/) as records: one record for each Patient of a bundle.

A file holds one bundle, a list of them, or one a line; a folder, files of these. A bundle is {"resourceType": "Bundle",
"entry": [{"resource": ...}]} or {"resources": [...]}. Bundles of a folder that hold no patient (staff, hospitals) only
lend their names to the de-identification of the others.

The record is that of one encounter, the problem encounter, and of what was known by then. It is the latest of those
with a reason (Encounter.reasonCode or reasonReference, or a diagnosis of the encounter); if none has one, the latest at
which a condition was recorded; else the latest. Conditions that tell of a life and not of an illness (work, housing,
schooling) do not count here and become social facts. `diagnosis` is the condition recorded at that encounter that has
the reason's name; else the first condition recorded at it; else the reason; else, without any encounter, the latest
condition; else "not stated". The complaint is the reason where it is not the diagnosis, or the note's chief complaint.

What was there before is history: conditions (past), medication still taken (drug), procedures and vaccinations (past),
allergies, the family. Vital signs are exam, other measurements tests, smoking and surveys social; of each the latest
up to the encounter. What was ordered at the encounter is of the kind "diagnosis", for it tells of it. Notes (base64
text of DiagnosticReport and DocumentReference) are split by their headings. Dates become ages and spans of time.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from m2jax.records.fhir_known import known_values, reference_id
from m2jax.records.fhir_notes import notes_of
from m2jax.records.fhir_parts import (
    age_at,
    age_words,
    ago,
    bare,
    codes_of,
    date_of,
    encounter_id,
    later,
    name_of,
    of_type,
    plain_name,
    when,
)
from m2jax.records.fhir_shape import checked
from m2jax.records.kinds import kind_of
from m2jax.records.outside import UNSTATED, Outside, build, read_objects
from m2jax.records.record import Record
from m2jax.records.text import says_something, statements

_NO_ILLNESS = re.compile(  # of a plain name
    r"(?i)\b(?:employ|unemploy)|labor force|education|educated|housing|homeless|transport|social (?:isolation|contact|"
    r"migrant)|^stress$|refugee|medication review|criminal record|violence|partner abuse|armed forces|migrant|income|"
    r"poverty|risk activity|alcohol drinking behavior|certificate|not in school|primary school|lives (?:alone|in)"
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
    staff = [r for _, resources in bundles if not of_type(resources, "Patient") for r in resources]
    if Path(path).is_file() and staff:
        place = next(place for place, resources in bundles if not of_type(resources, "Patient"))
        raise ValueError(f"{place}: the bundle has no Patient; give one bundle per patient")
    out: list[Outside] = []
    for place, resources in bundles:
        for patient in of_type(resources, "Patient"):
            try:
                record = _record(f"fhir-{len(out)}", patient, _about(patient, resources))
                out.append(Outside(record, known_values([*resources, *staff]), place))
            except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
                raise ValueError(f"{place}: not as FHIR R4 has it: {error}") from error
    if not out:
        raise ValueError(f"{path}:1: no bundle has a Patient; give one bundle per patient")
    return out


def _resources(raw: dict) -> list[dict]:
    """The resources of a bundle; each knows its "_ids" (id and last part of fullUrl)."""
    items = raw.get("entry", raw.get("resources"))
    if raw.get("resourceType", "Bundle") != "Bundle" or not isinstance(items, list):
        raise ValueError(
            f"resourceType is {raw.get('resourceType')!r} with the keys {sorted(raw)[:8]}; give a Bundle with "
            f"'entry', or 'resources'"
        )
    resources = []
    for number, item in enumerate(items):
        resource = item.get("resource") if isinstance(item, dict) and "resourceType" not in item else item
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            raise ValueError(f"entry[{number}] has no resource with a resourceType; give FHIR resources")
        resource = checked(resource, f"entry[{number}] ({resource['resourceType']})")
        ids = {str(resource.get("id", "")), reference_id(item.get("fullUrl"))} - {""}
        resources.append(resource | {"_ids": ids})
        inside = (inner for inner in resource.get("contained", []) if isinstance(inner.get("resourceType"), str))
        resources += [inner | {"_ids": {str(inner.get("id", ""))}} for inner in inside]
    return resources


def _about(patient: dict, resources: list[dict]) -> list[dict]:
    """Without the resources that say they are about another patient."""
    kept = []
    for resource in resources:
        subject = resource.get("subject") or resource.get("patient") or {}
        if not subject.get("reference") or reference_id(subject["reference"]) in patient["_ids"] or resource is patient:
            kept.append(resource)
    return [r for r in kept if r["resourceType"] != "Patient" or r is patient]


# ---- The encounter ------------------------------------------------------


@dataclass(frozen=True)
class _Chart:
    """What there is about one patient; of the record, the encounter (None: there is none) and the day, if known."""

    resources: list[dict]
    by_id: dict[str, dict]
    encounter: dict | None
    now: datetime.date | None

    def of(self, *types: str) -> list[dict]:
        """Resources up to the day, oldest first."""
        return sorted((r for r in of_type(self.resources, *types) if not later(r, self.now)), key=when)

    def at_encounter(self, r: dict) -> bool:
        return self.encounter is not None and encounter_id(r) in self.encounter["_ids"]

    def referred(self, reference: object) -> dict:
        """The resource that a Reference means; {} where the bundle does not hold it."""
        return self.by_id.get(reference_id((reference or {}).get("reference")), {}) if reference else {}


def _record(id: str, patient: dict, resources: list[dict]) -> Record:
    chart = _Chart(resources, {i: r for r in resources for i in r["_ids"]}, None, None)
    illnesses = [r for r in chart.of("Condition") if plain_name(r) and not _NO_ILLNESS.search(plain_name(r))]
    encounter = _problem_encounter(chart, illnesses)
    chart = dataclasses.replace(chart, encounter=encounter)
    here = [r for r in illnesses if chart.at_encounter(r)]
    reasons = _reasons(chart, encounter) if encounter else []
    named = [r for r in here or illnesses if plain_name(r) in reasons]
    condition = named[-1] if named else here[0] if here else None if encounter or not illnesses else illnesses[-1]
    diagnosis = plain_name(condition) if condition else reasons[0] if reasons else UNSTATED
    days = (date_of(when(r)) for r in ([encounter] if encounter else [condition] if condition else []))
    everything = (day for day in (date_of(when(r)) for r in resources) if day)
    chart = dataclasses.replace(chart, now=next((day for day in days if day), None) or max(everything, default=None))

    sex = patient.get("gender") if patient.get("gender") in ("female", "male", "other") else "unknown"
    age = age_at(patient, chart.now)
    who = " ".join(word for word in (age_words(age), sex if sex in ("female", "male") else "") if word)
    found = [("demographic", f"{who}.")] if who else []
    found += [("complaint", f"{reason}.") for reason in reasons if reason.lower() != diagnosis.lower()]
    found += notes_of(resources, encounter)
    if not any(kind == "complaint" for kind, _ in found):
        found.append(("complaint", _generic_complaint(encounter)))
    for part in (_conditions(chart, condition), _drugs(chart), _allergies(chart), _relatives(chart), _measures(chart)):
        found += part
    found += _observations(chart)
    if diagnosis != UNSTATED:
        found.append(("diagnosis", f"The diagnosis is {diagnosis}."))
    return build(id, age, sex, diagnosis, found, "fhir")


def _problem_encounter(chart: _Chart, illnesses: list[dict]) -> dict | None:
    encounters = chart.of("Encounter")
    noted = {encounter_id(r) for r in illnesses}
    with_reason = [e for e in encounters if _reasons(chart, e)]
    with_condition = [e for e in encounters if e["_ids"] & noted]
    return next((some[-1] for some in (with_reason, with_condition, [] if illnesses else encounters) if some), None)


def _reasons(chart: _Chart, encounter: dict) -> list[str]:
    """Names of what the encounter was for, and of its diagnoses."""
    texts = [name_of(concept) for concept in encounter.get("reasonCode", [])]
    references = encounter.get("reasonReference", []) + [d.get("condition") for d in encounter.get("diagnosis", [])]
    texts += [name_of(chart.referred(r).get("code")) or (r or {}).get("display", "") for r in references]
    return list(dict.fromkeys(bare(text) for text in texts if text and not _NO_ILLNESS.search(bare(text))))


def _generic_complaint(encounter: dict | None) -> str:
    encounter = encounter or {}
    kind = name_of((encounter.get("type") or [{}])[0])
    if re.search(r"(?i)check.?up|well child|annual|general exam|screening", kind):
        return "Comes for a check-up."
    if "EMER" in codes_of([encounter.get("class")]) or "emergency" in kind.lower():
        return "Comes to the emergency department because of a new problem."
    return "Comes because of a new problem."


# ---- Facts --------------------------------------------------------------


def _conditions(chart: _Chart, chosen: dict | None) -> Iterator[tuple[str, str]]:
    for r in chart.of("Condition"):
        name = plain_name(r)
        ended = r.get("abatementDateTime") or codes_of(r.get("clinicalStatus")) & {"resolved", "inactive", "remission"}
        if not name or r is chosen or _NO_FACT.search(name):
            continue
        if chart.at_encounter(r) and not _NO_ILLNESS.search(name):
            yield "diagnosis", f"Found at the same time: {name}."
        elif not _NO_ILLNESS.search(name):
            yield "past", f"{name}{ago(r, chart.now, '' if ended else 'since')}{', resolved' if ended else ''}."
        elif not ended:
            yield "social", f"{name}."
        for note in r.get("note", []):
            yield from ((kind_of(said, "symptom"), said) for said in statements(str(note.get("text", ""))))


def _drugs(chart: _Chart) -> Iterator[tuple[str, str]]:
    for r in chart.of("MedicationRequest", "MedicationStatement", "MedicationAdministration"):
        reference = r.get("medicationReference")
        drug = name_of(r.get("medicationCodeableConcept")) or name_of(chart.referred(reference).get("code"))
        drug = drug or (reference or {}).get("display", "")
        doses = r.get("dosageInstruction", r.get("dosage", []))
        dose = "; ".join(d["text"] for d in (doses if isinstance(doses, list) else [doses]) if d.get("text"))
        if drug and chart.at_encounter(r):
            yield "diagnosis", f"Prescribed at this visit: {drug}."
        elif drug and r.get("status") in (None, "active", "intended", "unknown"):
            yield "drug", f"Takes {drug}{': ' + dose if dose else ''}."


def _allergies(chart: _Chart) -> Iterator[tuple[str, str]]:
    for r in of_type(chart.resources, "AllergyIntolerance"):
        substance = plain_name(r)
        signs = [m for reaction in r.get("reaction", []) for m in reaction.get("manifestation", [])]
        reactions = ", ".join(dict.fromkeys(bare(name_of(sign)) for sign in signs))
        if substance:
            head = substance if re.match(r"(?i)no known|allergy", substance) else f"Allergic to {substance}"
            yield "allergy", f"{head}{': ' + reactions if reactions else ''}."


def _relatives(chart: _Chart) -> Iterator[tuple[str, str]]:
    for r in of_type(chart.resources, "FamilyMemberHistory"):
        who = name_of(r.get("relationship")).capitalize() or "A relative"
        for condition in r.get("condition", []):
            died = ", died of it" if condition.get("contributedToDeath") else ""
            yield "family", f"{who}: {bare(name_of(condition.get('code')))}{died}."


def _measures(chart: _Chart) -> Iterator[tuple[str, str]]:
    for r in chart.of("Procedure"):
        if (name := plain_name(r)) and not _NO_FACT.search(name):
            here = chart.at_encounter(r)
            yield ("diagnosis", f"Done at this visit: {name}.") if here else ("past", f"{name}{ago(r, chart.now, '')}.")
    vaccines = dict.fromkeys(name_of(r.get("vaccineCode")) for r in chart.of("Immunization"))
    yield from (("past", f"Vaccinated: {vaccine}.") for vaccine in vaccines if vaccine)


def _observations(chart: _Chart) -> Iterator[tuple[str, str]]:
    latest = {name_of(r.get("code")): r for r in chart.of("Observation")}
    for name, r in latest.items():
        value = _value(r)
        if not name or not value or _NO_FACT.search(name):
            continue
        categories = {code for concept in r.get("category", []) for code in codes_of(concept)}
        if re.search(r"(?i)pain severity", name):
            kind = "symptom"
        elif categories & {"social-history", "survey"} or "smoking" in name.lower():
            kind = "social"
        elif categories & {"vital-signs", "exam"} or not categories and codes_of(r.get("code")) & _VITALS:
            kind = "exam"
        else:
            kind = "test"
        name = re.sub(r"\s*\[[^\]]*\]| by Automated count| - (?:Reported|0-10 verbal numeric rating)", "", name)
        yield kind, f"{name}: {value}{'' if chart.at_encounter(r) else ago(r, chart.now, '')}."
    for r in chart.of("DiagnosticReport"):
        for said in statements(r.get("conclusion") or ""):
            yield "test", f"{plain_name(r)}: {said}"


def _value(r: dict) -> str:
    """An Observation's value, or those of its components, in words; "" where it has none."""
    if components := [c for c in r.get("component", []) if _value(c)]:
        return ", ".join(f"{name_of(c.get('code'))} {_value(c)}" for c in components)
    quantity = r.get("valueQuantity")
    if isinstance(quantity, dict) and isinstance(quantity.get("value"), (int, float)):
        unit = {"mm[Hg]": "mmHg", "Cel": "°C", "{score}": "", "1": ""}.get(
            str(quantity.get("unit", "")), str(quantity.get("unit", ""))
        )
        flags = {"H": " (high)", "HH": " (very high)", "L": " (low)", "LL": " (very low)", "A": " (abnormal)"}
        flag = next((flags[c] for concept in r.get("interpretation", []) for c in codes_of(concept) if c in flags), "")
        return f"{quantity.get('comparator', '')}{quantity['value']:.4g} {unit}".strip() + flag
    if "valueCodeableConcept" in r:
        return bare(name_of(r["valueCodeableConcept"]))
    if isinstance(r.get("valueBoolean"), bool):
        return "yes" if r["valueBoolean"] else "no"
    if isinstance(r.get("valueRange"), dict):
        return "-".join(str(r["valueRange"].get(end, {}).get("value", "")) for end in ("low", "high"))
    return next((str(r[key]) for key in ("valueString", "valueInteger") if says_something(r.get(key))), "")
