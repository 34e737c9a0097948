"""Sampled patients: 2,000 records that hold together, messages that give nothing away, fair items."""

from __future__ import annotations

import functools
import re
from collections import Counter

import pytest

from m2jax.clinic.background import forbidden, pools
from m2jax.clinic.condition import conditions
from m2jax.clinic.message import SPEAKERS
from m2jax.clinic.sample import ASKS, condition_of, sample_item, sample_question, sample_record
from m2jax.records.record import Fact, Record

SINGLE_DOSE = {  # unit, least and most of a usual single dose of an adult, after the British National Formulary
    "Folic acid": ("micrograms", 400, 5000),
    "Amlodipine": ("mg", 5, 10),
    "Ramipril": ("mg", 1.25, 10),
    "Losartan": ("mg", 25, 100),
    "Indapamide": ("mg", 1.5, 2.5),
    "Metformin": ("mg", 500, 1000),
    "Insulin glargine": ("units", 4, 60),
    "Insulin lispro": ("units", 1, 30),
    "Atorvastatin": ("mg", 10, 80),
    "Aspirin": ("mg", 75, 300),
    "Bisoprolol": ("mg", 1.25, 20),
    "Furosemide": ("mg", 20, 120),
    "Apixaban": ("mg", 2.5, 10),
    "Warfarin": ("mg", 1, 10),
    "Clopidogrel": ("mg", 75, 75),
    "Salbutamol inhaler": ("micrograms", 100, 200),
    "Beclometasone inhaler": ("micrograms", 50, 200),
    "Tiotropium inhaler": ("micrograms", 18, 18),
    "Omeprazole": ("mg", 10, 40),
    "Levothyroxine": ("micrograms", 25, 200),
    "Sertraline": ("mg", 50, 200),
    "Citalopram": ("mg", 10, 40),
    "Paracetamol": ("mg", 500, 1000),
    "Ibuprofen": ("mg", 200, 400),
    "Naproxen": ("mg", 250, 500),
    "Alendronic acid": ("mg", 70, 70),
    "Methotrexate": ("mg", 7.5, 25),
    "Tamsulosin": ("micrograms", 400, 400),
    "Donepezil": ("mg", 5, 10),
    "Ethinylestradiol with levonorgestrel (the combined pill)": ("micrograms", 20, 35),
    "Vitamin D": ("micrograms", 10, 20),
    "Cetirizine": ("mg", 5, 10),
}
TREATS = {  # drug: the illnesses of which one must stand in the past
    "amlodipine": {"hypertension"},
    "indapamide": {"hypertension"},
    "losartan": {"hypertension"},
    "ramipril": {"hypertension", "heart-failure-known", "kidney-disease"},
    "aspirin-75": {"coronary-disease"},
    "metformin": {"diabetes-2"},
    "insulin-glargine": {"diabetes-1"},
    "insulin-lispro": {"diabetes-1"},
    "warfarin": {"atrial-fibrillation-known"},
    "apixaban": {"atrial-fibrillation-known"},
    "levothyroxine": {"hypothyroidism-known"},
    "salbutamol": {"asthma", "copd"},
    "beclometasone": {"asthma"},
    "tiotropium": {"copd"},
    "furosemide": {"heart-failure-known"},
    "methotrexate": {"rheumatoid-known"},
    "donepezil": {"dementia"},
    "tamsulosin": {"enlarged-prostate-known"},
    "sertraline": {"depression-past"},
    "citalopram": {"depression-past"},
    "alendronate": {"osteoporosis"},
    "clopidogrel": {"stroke-past"},
}
NEVER_TOGETHER = (  # ids, or patterns of text, of which a record has one at most
    ("drug.warfarin", "drug.apixaban"),
    ("drug.ibuprofen", "drug.warfarin"),
    ("drug.ibuprofen", "drug.apixaban"),
    ("drug.ibuprofen", "past.kidney-disease"),
    ("drug.ibuprofen", "allergy.nsaid-allergy"),
    ("drug.bisoprolol", "past.asthma"),
    ("drug.ramipril", "drug.losartan"),
    ("drug.sertraline", "drug.citalopram"),
    ("drug.combined-pill", "social.smoking.smoker"),
    ("past.copd", "social.smoking.never-smoker"),
    ("past.copd", "past.asthma"),
    ("past.diabetes-1", "past.diabetes-2"),
    ("past.pregnant", "drug.ramipril"),
    ("past.pregnant", "drug.atorvastatin"),
    ("past.pregnant", "drug.methotrexate"),
    ("past.pregnant", "drug.ibuprofen"),
    ("past.pregnant", "drug.combined-pill"),
    ("past.pregnant", "social.alcohol.heavy-alcohol"),
    ("past.pregnant", "social.sexual.not-active"),
    ("past.pregnant", r"last period|[Nn]ot pregnant|Pregnancy test: negative|period (?:is|was)"),
    ("past.atrial-fibrillation-known", r"sinus rhythm|sinus tachycardia|ECG: normal|[Rr]egular pulse|pulse is regular"),
    ("social.home.alone", SPEAKERS["partner"]),
    ("social.home.flat-share", SPEAKERS["partner"]),
    ("social.drugs.cocaine", "no stimulants"),
    ("social.drugs.cannabis", "social.smoking.never-smoker"),
    ("spoil sleep|no energy|Poor sleep", "Sleeps (?:well|through)|sleeps well"),
    ("drug.cetirizine", "no cold remedies or antihistamines"),
    ("drug.methotrexate", r"[Nn]o illness or treatment that weakens|[Nn]othing that weakens"),
    ("drug.none", r"[Bb]lood pressure tablet|blue inhaler"),
    ("past.appendix-out", "Appendicitis"),
    ("past.gallbladder-out", r"cholecystitis|[Gg]allstones"),
    (r"The temperature was|thermometer showed|A (?:slight |high )?fever|temperature of 3", r"No fever"),
)
VITALS = {  # by age from: heart rate, respiratory rate, systolic pressure; as ill as a clinic meets
    0: ((80, 215), (20, 75), (60, 120)),
    2: ((60, 185), (14, 48), (70, 135)),
    12: ((45, 160), (8, 38), (68, 205)),
}


@functools.cache
def records() -> list[Record]:
    """1,000 of each split."""
    return [sample_record(seed, split) for split in ("train", "heldout") for seed in range(1000)]


@functools.cache
def facts_of_all(key: str) -> dict[str, list[Fact]]:
    return {r.id: found for r in records() if (found := facts_of(r, key))}


def facts_of(record: Record, key: str) -> list[Fact]:
    """By id, or else by a pattern in the text."""
    if re.fullmatch(r"[a-z]+\.[a-z0-9._-]+", key):
        return [f for f in record.facts if f.id == key]
    return [f for f in record.facts if re.search(key, f.text)]


def number(record: Record, vital: str) -> float:
    text = next(f.text for f in record.facts if f.id == f"vitals.{vital}")
    return float(re.search(r"\d+(?:\.\d+)?", text)[0])


def test_the_same_seed_gives_the_same_patient() -> None:
    """And another seed, another one; splits differ as well."""
    assert sample_record(5, "train") == sample_record(5, "train")
    assert sample_question(records()[5], 1) == sample_question(records()[5], 1)
    assert sample_item(5, "train") == sample_item(5, "train")
    texts = {tuple(f.text for f in r.facts) for r in records()}
    assert len(texts) == len(records())
    with pytest.raises(ValueError, match="split is 'test'"):
        sample_record(0, "test")


def test_every_condition_comes_up_in_its_split() -> None:
    """Also the rare ones, as weights are tempered; the common ones more often."""
    seen = Counter(r.diagnosis for r in records())
    assert set(seen) == {c.name for c in conditions()}
    for i, record in enumerate(records()):
        assert condition_of(record).split == ("train" if i < 1000 else "heldout")
    assert seen["cystitis"] > seen["cauda equina syndrome"]


@pytest.mark.parametrize(("one", "other"), NEVER_TOGETHER)
def test_no_fact_contradicts_another(one: str, other: str) -> None:
    """Over 2,000 records; both sides do occur, so that the test can fail."""
    assert not facts_of_all(one).keys() & facts_of_all(other).keys()


def test_the_contradictions_looked_for_could_occur() -> None:
    """At least 9 of 10 of the ids and patterns above do stand in some record."""
    keys = {key for pair in NEVER_TOGETHER for key in pair}
    missing = {key for key in keys if not facts_of_all(key)}
    assert len(missing) <= len(keys) / 10, missing


def test_sex_and_age_fit() -> None:
    """No pregnant man, child or woman over 55; findings and history of the right sex and age."""
    women = re.compile(r"(?<!no )pregnan|[Pp]eriods?\b|womb|ovar|vagina|caesarean|menopaus", re.IGNORECASE)
    men = re.compile(r"prostat|testic|testis|erection", re.IGNORECASE)
    adult = {"social.alcohol.heavy-alcohol", "social.drugs.cocaine", "past.hypertension", "past.copd"}
    for r in records():
        text = " ".join(f.text for f in r.facts if f.kind not in ("family", "diagnosis"))
        if r.sex == "male":
            assert not women.search(text), (r.id, women.search(text))
        else:
            assert not men.search(text), (r.id, men.search(text))
        if facts_of(r, "past.pregnant") or "weeks of pregnancy" in text:
            assert r.sex == "female" and 16 <= r.age <= 50, r.id
        if facts_of(r, "past.dementia"):
            assert facts_of(r, "demographic.speaker"), r.id
        if r.age < 16:
            assert any(f.text == SPEAKERS["parent"] for f in r.facts), r.id
            assert not adult & {f.id for f in r.facts}, r.id
            assert not re.search(r"[Ss]mokes \d|[Ww]orks (?:as|in)|Retired|wine|sexual", text), r.id
        if r.age >= 70:
            assert not re.search(r"school|[Ss]tudent|parents and", text), r.id
        low, _, _, high = condition_of(r).ages
        assert low - 1 <= r.age <= high + 1, r.id


def test_durations_fit_the_age() -> None:
    """Nobody has had an illness for longer than she lives, or as a child what children have not."""
    for r in records():
        for years in re.findall(r"(\d+) years", " ".join(f.text for f in r.of("past", "social"))):
            assert int(years) < r.age - 5, (r.id, r.age, years)


def test_vitals_are_in_range() -> None:
    """And a fever is measured where the record speaks of one, none where it says that there is none."""
    for r in records():
        heart, breaths, systolic = next(v for age, v in reversed(VITALS.items()) if r.age >= age)
        assert heart[0] <= number(r, "heart_rate") <= heart[1], r.id
        assert breaths[0] <= number(r, "respiratory_rate") <= breaths[1], r.id
        assert systolic[0] <= number(r, "blood_pressure") <= systolic[1], r.id
        assert 35.5 <= number(r, "temperature") <= 40.6 and 85 <= number(r, "spo2") <= 100, r.id
        if any(f.text == "No fever." for f in r.facts):
            assert number(r, "temperature") < 38, r.id
        if any("thermometer showed" in f.text or "high temperature" in f.text.lower() for f in r.facts):
            assert number(r, "temperature") >= 37.9, r.id


def test_pre_eclampsia_has_high_pressure() -> None:
    """Blood pressure of 140/90 or more, or it would be no pre-eclampsia."""
    cases = [r for r in records() if r.diagnosis == "pre-eclampsia"]
    assert cases
    for r in cases:
        text = facts_of(r, "vitals.blood_pressure")[0].text
        systolic, diastolic = map(int, re.search(r"(\d+)/(\d+)", text).groups())
        assert systolic >= 140 and diastolic >= 85, text


def test_doses_are_in_range_and_drugs_fit_the_history() -> None:
    """Every drug with a dose is one of the table above, in its unit; each has its illness."""
    seen = set()
    for r in records():
        past = {f.id.removeprefix("past.") for f in r.of("past")}
        for f in r.of("drug"):
            name = f.id.removeprefix("drug.")
            if name in TREATS:
                assert past & TREATS[name], (r.id, f.text)
            if dose := re.match(r"(.+?) (\d+(?:\.\d+)?) (mg|micrograms|units), ", f.text):
                unit, low, high = SINGLE_DOSE[dose[1]]
                assert dose[3] == unit and low <= float(dose[2]) <= high, f.text
                seen.add(dose[1])
                assert r.age >= 10 or dose[1].endswith("inhaler"), (r.id, f.text)
            else:
                assert f.text.startswith("No "), f.text
    assert len(seen) > 25
    assert {e.id for e in pools()["drug"]} >= set(TREATS)


def test_what_a_record_holds() -> None:
    """Facts of every kind, some of them volunteered and some only asked for; ids are unique by the type."""
    for r in records():
        tells = Counter(f.disclosure for f in r.facts)
        assert tells["volunteers"] >= 2 and tells["asked"] >= 6 and tells["hidden"] >= 6, r.id
        kinds = {f.kind for f in r.facts}
        assert {"demographic", "complaint", "symptom", "past", "drug", "allergy", "family", "social"} <= kinds, r.id
        assert {"exam", "diagnosis"} <= kinds, r.id
        assert len([f for f in r.facts if f.kind == "complaint"]) == 1
        assert not any("{" in f.text or "}" in f.text for f in r.facts), r.id
        for f in r.facts:
            assert f.text[0].isupper() or f.text[0].isdigit(), f.text
            assert not re.search(r"\b[Aa] [aeio](?!ne)", f.text), f.text
            assert f.disclosure != "volunteers" or f.kind not in ("exam", "test", "diagnosis"), f.id
            assert f.cues or f.kind in ("exam", "test", "diagnosis"), f.id
    share = sum(bool({"private"} & {f.disclosure for f in r.facts}) for r in records()) / len(records())
    assert share > 0.7


def test_only_the_diagnosis_states_the_diagnosis() -> None:
    """Neither its name nor a synonym stands in another fact; past and family may name what was known before."""
    for r in records():
        c = condition_of(r)
        names = [n.rstrip("*") for n in (c.name, *c.names)]
        pattern = re.compile(r"\b(?:" + "|".join(map(re.escape, names)) + r")\b", re.IGNORECASE)
        assert any(f.kind == "diagnosis" for f in r.facts)
        for f in r.facts:
            if f.kind not in ("diagnosis", "past", "family", "allergy"):
                assert not pattern.search(f.text), (r.id, f.text)
        assert not pattern.search(r.of("complaint")[0].text)


def test_messages_give_nothing_away() -> None:
    """Every sentence comes from a template or a volunteered fact: what others may not hear does not stand in it."""
    for r in records()[::2]:
        message = sample_question(r, 3).lower()
        told = " ".join(f.text.lower() for f in r.facts if f.disclosure == "volunteers")
        for f in r.facts:
            text = f.text.rstrip(".").lower()
            if f.disclosure != "volunteers" and text not in told and len(text) > 6:
                assert text not in message, (r.id, f.text)
        c = condition_of(r)
        rest = message
        for f in r.facts:
            if f.disclosure == "volunteers":
                rest = rest.replace(f.text.rstrip(".").lower(), "")
        for name in (c.name, *c.names):
            assert not re.search(rf"\b{re.escape(name.rstrip('*').lower())}\b", rest), (r.id, name)


def test_messages_vary_and_open_with_the_complaint() -> None:
    """Many wordings of one record, each with its complaint; a parent speaks of a son or daughter."""
    record = next(
        r for r in records() if r.age > 20 and len([f for f in r.of("symptom") if f.disclosure == "volunteers"]) > 1
    )
    messages = {sample_question(record, seed) for seed in range(60)}
    assert len(messages) > 30
    complaint = record.of("complaint")[0].text.rstrip(".")[1:]
    assert all(complaint in m for m in messages)
    for r in records()[:300]:
        if r.age < 16:
            assert re.search(r"\b(?:son|daughter)\b", sample_question(r, 0)), r.id
        assert 8 <= len(sample_question(r, 0).split()) <= 120


def test_items_are_fair() -> None:
    """4 or 5 distinct options, the right one among them and at every place; its length tells little."""
    items = [sample_item(seed, split) for split in ("train", "heldout") for seed in range(300)]
    places, longest = Counter(), 0
    for item in items:
        assert 4 <= len(item.options) <= 5 and len({o.lower() for o in item.options}) == len(item.options)
        c = next(c for c in conditions() if c.id == item.condition)
        right = c.name if item.kind == "diagnosis" else c.items[item.kind][0]
        assert item.options[item.answer] == right and item.split == c.split and item.stem.endswith(ASKS[item.kind])
        if item.kind == "diagnosis":
            names = {n.lower() for n in (c.name, *c.names)}
            assert sum(o.lower() in names for o in item.options) == 1, item.options
            assert right.lower() not in item.stem.lower().replace("family", "")
        places[item.answer] += 1
        longest += len(right) == max(map(len, item.options))
    assert len({item.kind for item in items}) == 4
    assert max(places.values()) < 0.35 * len(items)
    assert longest < 0.5 * len(items)


def test_what_is_asked_does_not_depend_on_the_side() -> None:
    kinds: dict[str, Counter[str]] = {"left": Counter(), "right": Counter()}
    for seed in range(1500):
        item = sample_item(seed, "train")
        if len(sides := set(re.findall(r"\b(?:left|right)\b", item.stem))) == 1:
            kinds[sides.pop()][item.kind] += 1
    assert all(kinds["left"][kind] > 5 and kinds["right"][kind] > 5 for kind in ASKS), kinds


def test_items_mind_the_patient() -> None:
    """No right step is forbidden to the patient, and nothing but the right option of "avoid" need be avoided."""
    changed = 0
    for split in ("train", "heldout"):
        for seed in range(300):
            record, item = sample_record(seed, split), sample_item(seed, split)
            drugs = [drug for c in forbidden(record.age, record.facts) for drug in c.drugs]
            bad = [o for o in item.options if any(re.search(rf"\b{d}\b", o, re.IGNORECASE) for d in drugs)]
            right = item.options[item.answer]
            if item.kind == "step":
                assert right not in bad, (item.id, right)
            if item.kind == "avoid":
                assert set(bad) <= {right}, (item.id, bad)
            changed += item.kind == "step" and bool(bad)
    assert changed  # wrong options may be forbidden: so the pattern does find some


def test_one_sided_illness_keeps_its_side() -> None:
    """What complaint, symptoms, findings and tests say of the side agrees, wherever a condition speaks of sides."""
    sided = {c.id for c in conditions() if "{side}" in str((c.complaint, c.symptoms, c.exam, c.tests))}
    seen, two = Counter(), []
    for record in records():
        if condition_of(record).id in sided:
            said = " ".join(f.text for f in record.of("complaint", "symptom", "exam", "test"))
            sides = set(re.findall(r"\b(?:left|right)\b(?! (?:ventric|atri|heart))", said))
            seen[frozenset(sides)] += 1
            if len(sides) > 1:
                two.append((record.id, record.diagnosis))
    assert two == []
    assert seen[frozenset({"left"})] > 50 and seen[frozenset({"right"})] > 50


def test_treatment_that_is_never_left_out_and_signs_that_know_of_it() -> None:
    ids = {r.id: {f.id for f in r.facts} for r in records()}
    for illness, drugs in (
        ("past.diabetes-1", {"drug.insulin-glargine", "drug.insulin-lispro"}),
        ("past.hypothyroidism-known", {"drug.levothyroxine"}),
    ):
        has = [i for i in ids.values() if illness in i]
        assert has and all(drugs <= i for i in has)

    def mean(kind: str, with_: str) -> tuple[float, float]:
        values: tuple[list[float], list[float]] = ([], [])
        for r in records():
            if r.age >= 60:
                number = next(f.text for f in r.facts if f.id == kind)
                values[with_ in ids[r.id]].append(float(re.search(r"\d+", number)[0]))
        return sum(values[1]) / len(values[1]), sum(values[0]) / len(values[0])

    high, usual = mean("vitals.blood_pressure", "past.hypertension")
    assert high > usual + 4
    slow, usual = mean("vitals.heart_rate", "drug.bisoprolol")
    assert slow < usual - 4
