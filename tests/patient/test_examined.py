"""Which examinations a record has, and which a doctor names."""

from __future__ import annotations

import pytest

from m2jax.clinic.sample import sample_record
from m2jax.patient.examined import PROCEDURES, named_in, procedures_of
from m2jax.records.record import Fact, Record


def record(*findings: tuple[str, str]) -> Record:
    facts = [Fact("complaint.1", "complaint", "A cough.", "volunteers")]
    facts += [Fact(f"{kind}.{i}", kind, text, "hidden") for i, (kind, text) in enumerate(findings)]
    return Record("r", 40, "female", "pneumonia", tuple(facts), "own")


@pytest.mark.parametrize(
    ("kind", "text", "procedure"),
    [
        ("exam", "Vital Signs, Temperature: 38.9°C.", "vital signs"),
        ("exam", "Crackles at the right base.", "physical examination"),
        ("test", "Imaging, Chest X-ray: consolidation.", "x-ray"),
        ("test", "Lipase 2314 U/L.", "blood tests"),
        ("test", "ESR: 33 mm/hr.", "blood tests"),
        ("test", "Ultrasound: gallstones.", "ultrasound"),
        ("test", "Urine culture: no growth.", "swab or culture"),
        ("test", "Colonoscopy with biopsy: adenocarcinoma.", "biopsy"),
    ],
)
def test_a_finding_belongs_to_one_procedure(kind: str, text: str, procedure: str) -> None:
    assert procedures_of(record((kind, text))) == {procedure}


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("I would like to examine your belly and order some blood tests.", {"physical examination", "blood tests"}),
        ("REQUEST TEST: Chest X-ray", {"x-ray"}),
        ("We should do an ECG, and please have your blood pressure checked.", {"electrocardiogram", "vital signs"}),
        ("You do not need an x-ray or a scan.", set()),
        ("A laparoscopy would tell us more.", {"endoscopy"}),
        ("Where does it hurt, and since when?", set()),
        ("Does it burn when you urinate?", set()),
        ("Did you take your temperature at home?", set()),
        ("How is your blood sugar at home?", set()),
        ("Have you had any scans before? What did the ECG show?", set()),
        ("Tell me about your blood pressure at home.", set()),
        ("May I take your temperature? Let’s get a chest x-ray.", {"vital signs", "x-ray"}),
        ("Could you give me a urine sample?", {"urine"}),
        ("Is it all right if we order a CT? How about an ultrasound?", {"CT or MRI", "ultrasound"}),
        ("We'll do an ECG, okay?", {"electrocardiogram"}),
    ],
)
def test_what_a_doctor_names(message: str, named: set[str]) -> None:
    assert named_in(message) == named


def test_patients_of_the_clinic_have_something_to_examine() -> None:
    found = [procedures_of(sample_record(seed, "heldout")) for seed in range(40)]
    assert all(found) and set().union(*found) <= PROCEDURES.keys() and sum(map(len, found)) > 80
