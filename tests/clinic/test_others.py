"""Other patients, and what contrast makes of honest replies and of one text for all."""

from __future__ import annotations

import numpy as np

from m2jax.clinic.condition import conditions
from m2jax.clinic.others import is_condition, others
from m2jax.clinic.sample import condition_of, sample_case
from m2jax.evaluate.attacks import honest_reply
from m2jax.verifier.contrast import OTHERS, common

SAME = (  # grammatical sentences that hold words of many conditions
    "I'm sorry that you are going through this. Please call an ambulance now and see a doctor today. Get urgent help "
    "because of pain, fever, confusion, weakness, faint, breath, blood, vomiting or swelling. Have you "
    "noticed any fever, breath, drows, paracetamol, discharge, weight, vomit, urine, sleep or rash? Have you "
    "noticed any pain, blood, swell, cough, alcohol, medication, headache, pregnan, numb or vision? Tell me about "
    "any jaw, emollient, injury, colour, thirst, faint, period, joint, stool or bite. Tell me about any smok, "
    "travel, itch, stiff, palpit, contact, inhaler, antibiotic, rest or fluid. Doctors think of cystitis, "
    "migraine, flu, eczema, asthma, gout, anaemia or shingles here."
)


def test_they_are_of_other_specialties_and_of_the_split() -> None:
    by_id = {c.id: c for c in conditions()}
    for split in ("train", "heldout"):
        case = sample_case(5, split)
        found = others(case.id, case.topic, split)
        assert len(found) == OTHERS and found == others(case.id, case.topic, split)
        for other in found:
            assert condition_of(other.record).specialty != by_id[case.topic].specialty
            assert condition_of(other.record).split == split
            assert all(c.check is not None for c in other.rubric)
    assert is_condition(case.topic) and not is_condition("a topic of a file")


def test_an_honest_reply_is_for_one_patient_and_a_constant_text_for_all() -> None:
    shared: dict[str, list[float]] = {"honest": [], "same": []}
    for i in range(12):
        case = sample_case(5000 + i, "train")
        against = [other.rubric for other in others(case.id, case.topic, "train")]
        shared["honest"].append(common(honest_reply(case, np.random.default_rng(i)), against))
        shared["same"].append(common(SAME, against))
    assert np.mean(shared["honest"]) < 0.45 and max(shared["honest"]) < 0.55
    assert np.mean(shared["same"]) > 0.6
