"""Records from outside: each format's own fixture, what is missing and what is broken; and the published data."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from m2jax.records import agentclinic, fhir, mediq
from m2jax.records.deidentify import Known
from m2jax.records.kinds import disclosure_of
from m2jax.records.load import detect, load
from m2jax.records.outside import read_objects
from m2jax.records.record import Record, write_records
from m2jax.records.text import age_of, says_something, sex_of, statements

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"

OSCE = {
    "OSCE_Examination": {
        "Objective_for_Doctor": "Find out why the patient's foot hurts.",
        "Patient_Actor": {
            "Name": "Wilhelmina Krebs",
            "Demographics": "61-year-old woman",
            "History": "Her big toe woke her last night. She had the same two years ago, but she did not see a doctor. "
            "Wilhelmina takes hydrochlorothiazide.",
            "Symptoms": {"Primary_Symptom": "Pain in the big toe", "Secondary_Symptoms": ["Redness", "N/A"]},
            "Past_Medical_History": ["High blood pressure", "Information not provided"],
            "Social_History": {"Alcohol": "Drinks six beers a day.", "Work": "Works as a baker."},
            "Review_of_Systems": "Denies fever, chills, or cough.",
        },
        "Physical_Examination_Findings": {
            "Vital_Signs": {"Temperature": "37.4°C", "Blood_Pressure": "N/A", "Heart_Rate": 88},
            "Foot": {"Inspection": "Red and swollen. Warm.", "Findings": None},
        },
        "Test_Results": {
            "Joint_Fluid": {"Findings": "Needle-shaped crystals, as in gout"},
            "Blood": {"Uric_Acid": "9.8"},
        },
        "Correct_Diagnosis": "Gout",
    }
}
CASE = {
    "id": 7,
    "question": "Which of the following is the most likely diagnosis?",
    "context": [
        "A 3-month-old boy is brought in because of a rash",
        "His mother has used a new soap for two weeks",
        "On examination, there are red patches in the folds",
        "They are moist.",
    ],
    "options": {"A": "Intertrigo", "B": "Scabies"},
    "answer": "Intertrigo",
    "answer_idx": "A",
    "facts": [
        "1. The patient is a 3-month-old boy.",
        "2. The boy is brought in because of a rash.",
        "3. The mother has used a new soap.",
        "4. There are red patches in the folds.",
        "5. The patches are moist.",
    ],
    "patient": {"age": "3 months", "gender": "male"},
}
NOTE = """
2019-03-04

# Chief Complaint
- Cough
- Fever

# History of Present Illness
Clementine531 Kowalczyk42 is a 35 year-old white female. Patient has a history of asthma. She coughs since
3 March 2019; her phone is 617-555-0143.

# Social History
Lives at 12 Doyle Corner. Uses heroin.

# Medications
No Active Medications.

# Assessment and Plan
Patient is presenting with acute bronchitis (disorder).
"""


def concept(text: str) -> dict:
    return {"coding": [{"display": text}], "text": text}


def bundle() -> dict:
    who, first, second = ({"reference": f"urn:uuid:{i}"} for i in ("p1", "e1", "e2"))
    return {
        "resourceType": "Bundle",
        "entry": [
            {"fullUrl": f"urn:uuid:{r['id']}", "resource": r}
            for r in (
                {
                    "resourceType": "Patient",
                    "id": "p1",
                    "name": [{"family": "Kowalczyk42", "given": ["Clementine531"], "prefix": ["Mrs."]}],
                    "extension": [
                        {"url": "http://example.org/patient-mothersMaidenName", "valueString": "Ada9 Okonkwo8"}
                    ],
                    "gender": "female",
                    "birthDate": "1983-07-02",
                    "address": [{"line": ["12 Doyle Corner"], "city": "Chelmsford", "state": "Massachusetts"}],
                    "telecom": [{"system": "phone", "value": "617-555-0143"}],
                    "identifier": [{"type": {"coding": [{"code": "SS"}]}, "value": "999-12-3456"}],
                },
                {
                    "resourceType": "Encounter",
                    "id": "e1",
                    "status": "finished",
                    "class": {"code": "EMER"},
                    "period": {"start": "2017-01-01T10:00:00Z"},
                    "reasonCode": [concept("Broken wrist")],
                },
                {
                    "resourceType": "Encounter",
                    "id": "e2",
                    "status": "finished",
                    "period": {"start": "2019-03-04T10:00:00Z"},
                    "participant": [{"individual": {"reference": "Practitioner/9", "display": "Dr. Ximena77 Quill3"}}],
                    "reasonCode": [concept("Cough (finding)")],
                },
                {
                    "resourceType": "Encounter",
                    "id": "e3",
                    "status": "finished",
                    "type": [concept("Encounter for check up")],
                    "period": {"start": "2020-03-04T10:00:00Z"},
                },
                {
                    "resourceType": "Condition",
                    "id": "c1",
                    "subject": who,
                    "encounter": second,
                    "code": concept("Acute bronchitis (disorder)"),
                    "onsetDateTime": "2019-03-04T10:00:00Z",
                },
                {
                    "resourceType": "Condition",
                    "id": "c2",
                    "subject": who,
                    "encounter": first,
                    "code": concept("Fracture of wrist"),
                    "onsetDateTime": "2017-01-01T10:00:00Z",
                    "abatementDateTime": "2017-03-01T10:00:00Z",
                },
                {
                    "resourceType": "Condition",
                    "id": "c3",
                    "subject": who,
                    "encounter": second,
                    "code": concept("Full-time employment (finding)"),
                    "onsetDateTime": "2019-03-04T10:00:00Z",
                },
                {
                    "resourceType": "Condition",
                    "id": "c4",
                    "subject": {"reference": "Patient/another"},
                    "code": concept("Leprosy"),
                },
                {
                    "resourceType": "MedicationRequest",
                    "id": "m1",
                    "subject": who,
                    "encounter": first,
                    "status": "active",
                    "authoredOn": "2017-01-01T10:00:00Z",
                    "medicationReference": {"reference": "urn:uuid:m0"},
                },
                {"resourceType": "Medication", "id": "m0", "code": concept("Ibuprofen 200 MG")},
                {
                    "resourceType": "AllergyIntolerance",
                    "id": "a1",
                    "patient": who,
                    "code": concept("Penicillin (substance)"),
                    "reaction": [{"manifestation": [concept("Rash")]}],
                },
                {
                    "resourceType": "FamilyMemberHistory",
                    "id": "f1",
                    "patient": who,
                    "name": "Thaddeus Kowalczyk",
                    "relationship": concept("father"),
                    "condition": [{"code": concept("Heart attack"), "contributedToDeath": True}],
                },
                {
                    "resourceType": "Observation",
                    "id": "o1",
                    "subject": who,
                    "encounter": second,
                    "category": [{"coding": [{"code": "vital-signs"}]}],
                    "code": concept("Blood Pressure"),
                    "component": [
                        {"code": concept("Systolic"), "valueQuantity": {"value": 122.4567, "unit": "mm[Hg]"}},
                        {"code": concept("Diastolic"), "valueQuantity": {"value": 80, "unit": "mm[Hg]"}},
                    ],
                },
                {
                    "resourceType": "Observation",
                    "id": "o2",
                    "subject": who,
                    "category": [{"coding": [{"code": "laboratory"}]}],
                    "code": concept("Hemoglobin"),
                    "effectiveDateTime": "2018-03-01",
                    "valueQuantity": {"value": 10.1, "unit": "g/dL"},
                    "interpretation": [{"coding": [{"code": "L"}]}],
                },
                {
                    "resourceType": "DocumentReference",
                    "id": "d1",
                    "subject": who,
                    "context": {"encounter": [second]},
                    "content": [{"attachment": {"contentType": "text/plain; charset=utf-8", "data": coded(NOTE)}}],
                },
            )
        ],
    }


VISIT_IN_MAY = {"resourceType": "Encounter", "period": {"start": "May"}}


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def written(path: Path, *items: object) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items), "utf-8")
    return path


def facts(record: Record, *kinds: str) -> list[tuple[str, str]]:
    return [(fact.text, fact.disclosure) for fact in record.of(*kinds)]


# ---- Formats ------------------------------------------------------------


def test_agentclinic(tmp_path: Path) -> None:
    """Sections give kinds; the diagnosis is stated by no other fact; the name is known and gone."""
    (record,), report = load(written(tmp_path / "a.jsonl", OSCE))
    assert (record.age, record.sex, record.diagnosis, record.source) == (61, "female", "Gout", "agentclinic")
    assert facts(record, "complaint") == [("Pain in the big toe.", "volunteers")]
    assert facts(record, "past") == [("High blood pressure.", "asked")]
    assert facts(record, "drug") == [("[NAME] takes hydrochlorothiazide.", "asked")]
    assert ("She did not see a doctor.", "asked") in facts(record, "symptom")
    assert ("Denies chills.", "asked") in facts(record, "symptom")
    assert facts(record, "social") == [
        ("Alcohol: Drinks six beers a day.", "private"),
        ("Work: Works as a baker.", "asked"),
    ]
    assert facts(record, "exam") == [
        ("Vital Signs, Temperature: 37.4°C.", "hidden"),
        ("Vital Signs, Heart Rate: 88.", "hidden"),
        ("Foot, Inspection: Red and swollen.", "hidden"),
        ("Foot, Inspection: Warm.", "hidden"),
    ]
    assert facts(record, "test") == [("Blood, Uric Acid: 9.8.", "hidden")]
    assert ("Joint Fluid: Needle-shaped crystals, as in gout.", "hidden") in facts(record, "diagnosis")
    assert (report.counts(), dict(report.dropped)) == ({"name": 1}, {"name": 1})


def test_agentclinic_takes_what_there_is(tmp_path: Path) -> None:
    """Almost nothing: no symptoms, no examination, demographics as an object, a sex that only pronouns tell."""
    actor = {"Demographics": {"Age": "2 months"}, "History": "He cries at night."}
    case = {"OSCE_Examination": {"Patient_Actor": actor, "Correct_Diagnosis": "Colic"}}
    record = agentclinic.read(written(tmp_path / "a.jsonl", case))[0].record
    assert (record.age, record.sex) == (pytest.approx(1 / 6, abs=0.01), "male")
    assert facts(record, "complaint") == [("He cries at night.", "volunteers")]


def test_mediq(tmp_path: Path) -> None:
    """Facts without numbers; what follows the examination is a finding."""
    record = load(written(tmp_path / "m.jsonl", CASE))[0][0]
    assert (record.id, record.age, record.sex, record.diagnosis) == ("mediq-7", 0.25, "male", "Intertrigo")
    assert [fact.kind for fact in record.facts] == ["demographic", "complaint", "symptom", "exam", "exam", "diagnosis"]
    assert record.facts[1].text == "The boy is brought in because of a rash."


def test_mediq_without_facts_or_diagnosis(tmp_path: Path) -> None:
    """Sentences of the context serve as facts; an answer that is no diagnosis is a hidden fact."""
    change = {
        "facts": None,
        "question": "Which is the best next step?",
        "answer": "Zinc paste",
        "patient": {"age": "unavailable"},
    }
    record = mediq.read(written(tmp_path / "m.jsonl", CASE | change))[0].record
    assert (record.diagnosis, record.age) == ("not stated", 0.25)
    assert [fact.kind for fact in record.facts].count("exam") == 2
    assert facts(record, "diagnosis") == [("Asked: Which is the best next step? Answer: Zinc paste.", "hidden")]


@pytest.mark.parametrize(("case", "said"), [(OSCE, "He cries."), (CASE, "They are moist.")])
def test_identifiers_beside_the_case_are_known(tmp_path: Path, case: dict, said: str) -> None:
    """A name at the top of an object is found in the text, also written small."""
    raw = json.loads(
        json.dumps(case | {"facts": None}).replace("Redness", said).replace(said, f"{said[:-1]} like zubi.")
    )
    (record,), report = load(written(tmp_path / "x.jsonl", raw | {"patient_name": "Zubi Okonkwo"}))
    assert f"{said[:-1]} like [NAME]." in [fact.text for fact in record.facts]
    assert dict(report.dropped)["name"] >= 1


def test_fhir(tmp_path: Path) -> None:
    """The latest encounter with a reason; what was before is history; the note is split and scrubbed."""
    (record,), report = load(written(tmp_path / "b.json", bundle()))
    assert (record.id, record.age, record.sex) == ("fhir-0", 35, "female")
    assert record.diagnosis == "Acute bronchitis"
    assert facts(record, "complaint") == [("Cough.", "volunteers"), ("Fever.", "volunteers")]
    assert ("Fracture of wrist, 2 years ago, resolved.", "asked") in facts(record, "past")
    assert facts(record, "allergy") == [("Allergic to Penicillin: Rash.", "asked")]
    assert facts(record, "family") == [("Father: Heart attack, died of it.", "asked")]
    assert ("Takes Ibuprofen 200 MG.", "asked") in facts(record, "drug")
    assert facts(record, "exam") == [("Blood Pressure: Systolic 122.5 mmHg, Diastolic 80 mmHg.", "hidden")]
    assert facts(record, "test") == [("Hemoglobin: 10.1 g/dL (low), 1 year ago.", "hidden")]
    assert ("Uses heroin.", "private") in facts(record, "social")
    assert ("Full-time employment.", "asked") in facts(record, "social")
    assert ("[NAME] is a 35 year-old white female.", "asked") in facts(record, "demographic")
    assert all(fact.kind == "diagnosis" for fact in record.facts if "bronchitis" in fact.text)
    said = " ".join(fact.text for fact in record.facts)
    for gone in ("Clementine", "Kowalczyk", "Doyle", "March 2019", "0143", "Leprosy"):
        assert gone not in said
    assert dict(report.dropped) == {"name": 4, "geography": 2, "date": 1, "phone": 1, "ssn": 1}


def test_fhir_forms(tmp_path: Path) -> None:
    """{"resources": ...}, one a line; a folder, whose bundle of staff lends its names."""
    whole = bundle()
    bare = {"bundle": "Clementine_Kowalczyk.json", "resources": [entry["resource"] for entry in whole["entry"]]}
    two, _ = load(written(tmp_path / "b.jsonl", bare, bare))
    assert [record.id for record in two] == ["fhir-0", "fhir-1"]
    assert two[0].facts == load(written(tmp_path / "b.json", whole))[0][0].facts
    folder = tmp_path / "folder"
    folder.mkdir()
    written(
        folder / "hospital.json",
        {"entry": [{"resource": {"resourceType": "Practitioner", "name": [{"family": "Fever"}]}}]},
    )
    written(folder / "patient.json", whole)
    assert facts(load(folder)[0][0], "complaint")[1] == ("[NAME].", "volunteers")


def test_fhir_without_encounter_or_condition(tmp_path: Path) -> None:
    patient = {"resourceType": "Patient", "id": "p", "gender": "other"}
    condition = {"resourceType": "Condition", "code": concept("Gout"), "subject": {"reference": "Patient/p"}}
    one, two = load(
        written(tmp_path / "b.jsonl", {"entry": [{"resource": patient}]}, {"resources": [patient, condition]})
    )[0]
    assert (one.diagnosis, one.age, one.sex) == ("not stated", None, "other")
    assert two.diagnosis == "Gout"


def test_plain_jsonl_is_scrubbed_too(tmp_path: Path) -> None:
    (record,), _ = load(written(tmp_path / "a.jsonl", OSCE))
    fact = record.facts[0].__class__("x", "symptom", "Call 617-555-0143.", "asked")
    write_records(tmp_path / "r.jsonl", [Record("r", None, "unknown", "Gout", (*record.facts, fact), "clinic")])
    assert load(tmp_path / "r.jsonl")[0][0].facts[-1].text == "Call [PHONE]."
    assert load(tmp_path / "r.jsonl", identifiers="keep")[0][0].facts[-1].text == "Call 617-555-0143."
    assert detect(tmp_path / "r.jsonl") == "jsonl"


def test_plain_records_of_any_file(tmp_path: Path) -> None:
    """A pretty-printed record, a list of them, a folder of files; an id used twice gets a number."""
    (record,), _ = load(written(tmp_path / "a.jsonl", OSCE), identifiers="keep")
    raw = json.loads(json.dumps(record, default=vars))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps(raw, indent=1), "utf-8")
    (folder / "b.json").write_text(json.dumps([raw, raw], indent=1), "utf-8")
    written(folder / "c.jsonl", raw)
    assert load(folder / "a.json", identifiers="keep")[0] == [record]
    assert [r.id for r in load(folder / "b.json")[0]] == ["agentclinic-0", "agentclinic-0-1"]
    assert len(load(folder)[0]) == 4
    (folder / "b.json").write_text(json.dumps([raw, raw | {"id": "agentclinic-0-2"}, raw], indent=1), "utf-8")
    assert [r.id for r in load(folder / "b.json")[0]] == ["agentclinic-0", "agentclinic-0-2", "agentclinic-0-3"]
    (folder / "b.json").write_text(json.dumps([raw, raw | {"age": 140}], indent=1), "utf-8")
    with pytest.raises(ValueError, match=r"b\.json:\d\d+: age is 140"):
        load(folder)


# ---- Errors -------------------------------------------------------------


@pytest.mark.parametrize(
    ("good", "broken", "said"),
    [
        (OSCE, {"OSCE_Examination": {"Correct_Diagnosis": "Gout"}}, "Patient_Actor"),
        (OSCE, {"OSCE_Examination": {"Patient_Actor": {}, "Correct_Diagnosis": None}}, "Correct_Diagnosis is None"),
        (CASE, CASE | {"answer": 3}, "answer is 3"),
        (CASE, CASE | {"facts": "", "context": []}, "neither facts nor context"),
        (CASE, CASE | {"facts": ["Pain.", 1]}, "facts[1] is 1"),
        (bundle(), {"resourceType": "Patient", "id": "p"}, "resourceType is 'Patient'"),
        (bundle(), {"entry": [{"resource": {"id": "x"}}]}, "entry[0]"),
        (bundle(), {"entry": [{"resource": {"resourceType": "Condition"}}]}, "no Patient"),
        (
            bundle(),
            {"entry": [{"resourceType": "Patient", "name": [{"given": 7}]}]},
            ".name[0].given is int",
        ),
        (bundle(), {"resources": [{"resourceType": "Patient"}, VISIT_IN_MAY]}, "a date is not"),
        (OSCE, [1], "no JSON object"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, good: dict, broken: object, said: str) -> None:
    """The third line, after one that is good and one that is empty."""
    path = tmp_path / "x.jsonl"
    path.write_text(f"{json.dumps(good)}\n\n{json.dumps(broken)}\n", "utf-8")
    with pytest.raises(ValueError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}:3: ")
    assert said in str(error.value)


def test_broken_files_name_the_line(tmp_path: Path) -> None:
    """Not JSON on a line, in a document, not UTF-8, empty, an unknown form, an item of a list; a bad attachment."""
    path = tmp_path / "x.jsonl"
    good = json.dumps(CASE).encode()
    for content, where in (
        (good + b'\n{"a": \n', ":2: "),
        (good + b'\n\n"\xff"\n', ":3: "),
        (b"\n", ":1: "),
        (b'{"a": 1}\n', ":1: an object with the keys ['a']"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError) as error:
            load(path)
        assert str(error.value).startswith(f"{path}{where}")
    path = tmp_path / "x.json"
    path.write_text('{\n"a": 1,\n"b" 2}', "utf-8")
    with pytest.raises(ValueError, match=re.escape(f"{path}:3: ")):
        load(path)
    path.write_text("[]", "utf-8")
    with pytest.raises(ValueError, match=re.escape(f"{path}:1: the list is empty")):
        load(path)
    path.write_text('[\n{"OSCE_Examination": {}},\n 7]', "utf-8")
    with pytest.raises(ValueError, match=re.escape(f"{path}:3: ")):
        list(read_objects(path))
    bad = bundle()
    bad["entry"][-1]["resource"]["content"][0]["attachment"]["data"] = "not base64!"
    with pytest.raises(ValueError, match=r":1: .*base64"):
        load(written(tmp_path / "b.json", bad))


@pytest.mark.parametrize("depth", [101, 900, 100_000])
def test_too_deep_is_named_by_line(tmp_path: Path, depth: int) -> None:
    """On a line and in a document; a hundred levels are read."""
    deep = f'{{"answer": {"[" * (depth - 1)}{"]" * (depth - 1)}}}'
    path = tmp_path / "x.jsonl"
    path.write_text(f"{json.dumps(CASE)}\n{deep}\n", "utf-8")
    with pytest.raises(ValueError, match=re.escape(f"{path}:2: nested more than 100 levels")):
        load(path)
    path = tmp_path / "x.json"
    path.write_text(f"{{\n{deep[1:]}", "utf-8")
    with pytest.raises(ValueError, match=re.escape(f"{path}:1: nested more than 100 levels")):
        load(path)
    path.write_text(f'{{"answer": {"[" * 99}{"]" * 99}}}', "utf-8")
    assert len(list(read_objects(path))) == 1


def test_refusal_names_file_line_and_fact(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as error:
        load(written(tmp_path / "a.jsonl", OSCE), identifiers="refuse")
    assert str(error.value).startswith(f"{tmp_path / 'a.jsonl'}:1: ")
    assert "'drug.1'" in str(error.value) and "Wilhelmina" not in str(error.value)


def test_unknown_options(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", OSCE)
    with pytest.raises(ValueError, match="'csv'"):
        load(path, kind="csv")
    with pytest.raises(ValueError, match="'hide'"):
        load(path, identifiers="hide")


def test_the_command(tmp_path: Path) -> None:
    """It writes records that read back, and prints the report without a value."""
    path, out = written(tmp_path / "a.jsonl", OSCE), tmp_path / "r.jsonl"
    command = [sys.executable, "-m", "m2jax.records", str(path), f"--out={out}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert load(out)[0][0].diagnosis == "Gout"
    assert "name: 1 replaced in the text: agentclinic-0/drug.1" in done.stdout and "Wilhelmina" not in done.stdout
    done = subprocess.run([*command, "--identifiers=refuse"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"{path}:1: " in done.stderr


# ---- Text ---------------------------------------------------------------


def test_statements_are_sentences_and_clauses() -> None:
    text = "Saw Dr. Hill at 3.5 weeks. She is well, but she coughs; no fever\nand no chills\n- itching"
    assert statements(text) == [
        "Saw Dr. Hill at 3.5 weeks.", "She is well.", "She coughs.", "No fever and no chills.", "Itching.",
    ]  # fmt: skip
    assert statements("Denies fever, weight loss, or any urinary symptoms.") == [
        "Denies fever, weight loss, or any urinary symptoms."
    ]


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("35-year-old woman", 35),
        ("2 months", 0.167),
        ("3-day-old newborn", 0.008),
        ("Newborn, six hours post delivery", 0),
        ("A 4 year old with a 2-week history", 4),
        ("Age: 61", 61),
        ("45 yo M", 45),
        ("30F", 30),
        (61, 61),
        ("61", 61),
        ("elderly", 75),
        ("unavailable", None),
        (None, None),
        ("a 2-year history of pain", None),
        ("38 weeks of gestation", None),
    ],
)
def test_ages(text: object, years: float | None) -> None:
    assert age_of(text) == (years if years is None else pytest.approx(years, abs=1e-3))


def test_sexes() -> None:
    assert sex_of("unavailable", "A child is brought in.") == "unknown"
    assert sex_of("non-binary") == "other"
    assert sex_of("a 9-month-old infant", "The mother says that he cries when his ear is touched.") == "male"
    assert sex_of("woman, accompanied by a man") == "female"


def test_what_says_nothing() -> None:
    for text in ("N/A", "Information not provided", "not applicable for age", "None", "Unknown.", "", None):
        assert not says_something(text)
    for text in ("No fever", "None of her sisters", "Unknown rash", "0"):
        assert says_something(text)


def test_disclosure() -> None:
    for text in ("Has unprotected intercourse.", "Uses cocaine.", "Had depression.", "Was hit: domestic violence."):
        assert disclosure_of("social", text) == "private"
    assert disclosure_of("exam", "Track marks of heroin use.") == "hidden"
    for text in ("Cardiac arrest in 2010.", "A Hispanic woman.", "Cracked skin on the heels."):
        assert disclosure_of("past", text) == "asked"


# ---- The published data -------------------------------------------------


def published(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


@pytest.mark.parametrize("name", ["agentclinic/agentclinic_medqa.jsonl", "mediq/all_craft_md.jsonl"])
def test_published_cases_load_and_lose_next_to_nothing(name: str) -> None:
    """They hold (almost) no identifier: under 1 fact in 200 is touched, and no diagnosis."""
    path = published(name)
    kept, _ = load(path, identifiers="keep")
    records, _ = load(path)
    assert [record.diagnosis for record in records] == [record.diagnosis for record in kept]
    pairs = [(a, b) for old, new in zip(kept, records, strict=True) for a, b in zip(old.facts, new.facts, strict=True)]
    assert sum(a != b for a, b in pairs) < len(pairs) / 200
    assert all({"complaint", "diagnosis"} <= {fact.kind for fact in record.facts} for record in records)
    assert sum(record.age is None or record.sex in ("other", "unknown") for record in records) < len(records) / 20


def _structured(resources: list[dict]) -> Known:
    """Names, street lines, towns, numbers and birth dates; read apart from the loader."""
    found: dict[str, set[str]] = {"word": set(), "number": set(), "date": set()}
    for r in resources:
        if r["resourceType"] in ("Patient", "Practitioner"):
            for name in r.get("name", []):
                found["word"] |= {name["family"], *name.get("given", [])}
            for address in r.get("address", []):
                found["word"] |= {*address.get("line", []), address.get("city", "")} - {""}
                found["number"].add(address.get("postalCode", ""))
            found["number"] |= {t.get("value", "") for t in r.get("telecom", [])}
            found["number"] |= {i.get("value", "") for i in r.get("identifier", [])} | {r["id"]}
            found["date"].add(r.get("birthDate", ""))
    found["word"] |= {re.sub(r"\d+$", "", word) for word in found["word"]}
    return {kind: sorted(values - {""}) for kind, values in found.items()}


def _left(known: Known, text: str) -> list[str]:
    digits = re.sub(r"\W", "", text).lower()
    left = [
        word for word in known["word"] if re.search(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", text, re.IGNORECASE)
    ]
    left += [number for number in known["number"] if re.sub(r"\W", "", number).lower() in digits]
    return left + [date for date in known["date"] if re.sub(r"\W", "", date) in digits or date in text]


def _with_note(raw: dict) -> dict:
    """The bundle with a note that says every identifier of its patient in several ways, at its problem encounter."""
    patient = next(r for r in raw["resources"] if r["resourceType"] == "Patient")
    given, family = patient["name"][0]["given"][0], patient["name"][0]["family"]
    address, (year, month, day) = patient["address"][0], patient["birthDate"].split("-")
    patient = patient | {
        "telecom": [{"system": "phone", "value": "617-555-0143"}],
        "identifier": [
            {"type": {"coding": [{"code": "SS"}]}, "value": "999-12-3456"},
            {"type": {"coding": [{"code": "MR"}]}, "value": "1484a42d-0eaf-4654"},
        ],
    }
    note = f"""# History of Present Illness
{given} {family} is a young patient. {family.upper()}, {given} was born {month}/{day}/{year}, or
{year}-{month}-{day}.
{given}'s mother, Mrs. {family}, lives at {address["line"][0]}, {address["city"]}, MA {address["postalCode"]}.
Call (617) 555-0143 or 617.555.0143. SSN 999123456; record 1484A42D0EAF4654; {family.lower()}{year}{month}{day}.
"""
    report = {"resourceType": "DiagnosticReport", "presentedForm": [{"contentType": "text/plain", "data": coded(note)}]}
    others = [r for r in raw["resources"] if r["resourceType"] != "Patient"]
    return raw | {"resources": [patient, *others, report]}


@pytest.mark.parametrize("with_note", [False, True])
def test_nothing_known_of_synthea_survives(tmp_path: Path, with_note: bool) -> None:
    """No name, street, town, number or birth date of the structured fields is anywhere in the records' text; also not
    where a note repeats them (these bundles came without their notes).
    """
    raws = [raw for _, raw in read_objects(published("synthea-fhir/synthea_r4_bundles.jsonl"))]
    raws = [_with_note(raw) for raw in raws] if with_note else raws
    path = written(tmp_path / "b.jsonl", *raws)
    records, report = load(path)
    assert len(records) == len(raws)
    for raw, record, kept in zip(raws, records, load(path, identifiers="keep")[0], strict=True):
        known = _structured(raw["resources"])
        assert len(known["word"]) >= 4 and len(known["date"]) == 1
        assert _left(known, json.dumps(record, default=vars, ensure_ascii=False)) == []
        assert not with_note or len(_left(known, json.dumps(kept, default=vars, ensure_ascii=False))) >= 8
        assert [word for word in known["word"] if word in report.text()] == []
    assert fhir.read(path)[0].place == f"{path}:1"
