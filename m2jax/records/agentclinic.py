"""Cases in AgentClinic's OSCE form (https://github.com/SamuelSchmidgall/AgentClinic), a case an object:

    {"OSCE_Examination": {
        "Objective_for_Doctor": ...,
        "Patient_Actor": {"Demographics": ..., "History": ..., "Symptoms": {"Primary_Symptom": ...,
            "Secondary_Symptoms": [...]}, "Past_Medical_History": ..., "Social_History": ..., "Review_of_Systems": ...},
        "Physical_Examination_Findings": {...}, "Test_Results": {...}, "Correct_Diagnosis": ...}}

Sections may be missing, "N/A", texts, lists or nested objects; other sections of the patient are taken by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from m2jax.records.kinds import kind_of
from m2jax.records.outside import Outside, build, label, leaves, read_objects
from m2jax.records.structured import take_identifiers
from m2jax.records.text import age_of, says_something, sex_of, statements

_SECTIONS = (  # words in a section's name -> the kind of its statements
    ("demographic", "demograph"),
    ("allergy", "allerg"),
    ("drug", "medication|drug_history|drugs|treatment"),
    ("family", "family"),
    ("past", "past|surgical|medical_history|birth|obstetric|immuni[sz]ation|developmental|vaccin"),
    ("social", "social|occupation|travel|sexual|lifestyle|diet"),
    ("exam", "physical|examination|vital"),
    ("test", "test|laborator|imaging"),
)
_SAID_IN_HISTORY = ("allergy", "family", "drug", "social", "past")


def read(path: str | Path) -> list[Outside]:
    """The cases of a file, not yet de-identified. ValueError is `file:line: what is wrong`."""
    out = []
    for number, (place, raw) in enumerate(read_objects(path)):
        try:
            out.append(_case(f"agentclinic-{number}", raw, place))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
    return out


def _case(id: str, raw: dict, place: str) -> Outside:
    known: dict[str, list[str]] = {}
    kept = take_identifiers(raw, known)
    case = kept.get("OSCE_Examination", kept)
    if not isinstance(case, dict) or not isinstance(case.get("Patient_Actor"), dict):
        raise ValueError("the case has no object 'Patient_Actor'; AgentClinic keeps it in 'OSCE_Examination'")
    diagnosis = case.get("Correct_Diagnosis")
    if isinstance(diagnosis, list):
        diagnosis = ", ".join(str(item) for item in diagnosis)
    if not isinstance(diagnosis, str) or not diagnosis.strip():
        raise ValueError(f"Correct_Diagnosis is {diagnosis!r}; give the diagnosis as a text")
    patient = case["Patient_Actor"]
    demographics = "; ".join(": ".join((*path[1:], text)) for path, text in leaves(patient.get("Demographics"), ("",)))
    texts = [text for _, text in leaves(patient)]
    ages = (age_of(text) for text in (demographics, *texts[:3]))
    age = next((age for age in ages if age is not None), None)
    sex = sex_of(demographics, *texts, case.get("Objective_for_Doctor"), *(text for _, text in leaves(case)))
    found = [*_patient(patient, demographics)]
    found += _findings("exam", case.get("Physical_Examination_Findings")) + _findings("test", case.get("Test_Results"))
    found.append(("diagnosis", f"The diagnosis is {diagnosis.strip().rstrip('.')}."))
    return Outside(build(id, age, sex, diagnosis.strip(), found, "agentclinic"), known, place)


def _patient(patient: dict, demographics: str) -> Iterator[tuple[str, str]]:
    if says_something(demographics):
        yield "demographic", demographics.rstrip(".") + "."
    for keys, text in leaves(patient):
        section = keys[0].lower()
        if section == "demographics":
            continue
        named = next((kind for kind, words in _SECTIONS if re.search(words, section)), "symptom")
        inner = f"{label(keys[1:])}: " if len(keys) > 1 and section not in ("symptoms", "history") else ""
        for statement in statements(text):
            if section == "symptoms" and "primary" in keys[-1].lower():
                yield "complaint", statement
            elif section == "symptoms":
                yield "symptom", statement
            elif named in ("symptom", "past", "social"):
                yield (
                    kind_of(
                        statement, named, _SAID_IN_HISTORY if named == "symptom" else ("allergy", "family", "drug")
                    ),
                    inner + statement,
                )
            else:
                yield named, inner + statement


def _findings(kind: str, section: object) -> list[tuple[str, str]]:
    """One statement per sentence of each finding, after the finding's name."""
    found = []
    for keys, text in leaves(section):
        name = label(keys)
        found += [(kind, f"{name}: {statement}" if name else statement) for statement in statements(text)]
    return found
