"""The consultation examination: marks on messages whose worth is known, a local model, endpoints, an interruption."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest

from configs import eval_consultation
from m2jax.clinic import doctor as scripted
from m2jax.clinic.sample import condition_of
from m2jax.data.doctor_lines import questions_about
from m2jax.evaluate import consultation, doctor
from m2jax.evaluate.consultation import PARTS
from m2jax.patient.outcome import open_facts
from m2jax.patient.reference import scripted_reply
from m2jax.patient.script import Line, Script, sample_script
from m2jax.patient.shown import opening
from tests.outside.fake_server import last, serving
from tests.train.tiny_run import write_model


def marks(script: Script, said: list[str]) -> dict:
    """The row of a consultation in which the doctor says this."""
    dialogue = (Line("patient", opening(script.record, 1)),)
    for i, text in enumerate(said):
        dialogue += (Line("doctor", text),)
        if i < len(said) - 1:
            dialogue += (Line("patient", scripted_reply(script, dialogue, 1)),)
    marking = consultation.marked(script.record, dialogue, None)
    with pytest.raises(StopIteration) as ended:
        next(marking)
    return ended.value.value


@pytest.mark.parametrize("seed", range(doctor.SEED, doctor.SEED + 8))
def test_a_good_doctor_is_marked_above_a_silent_one_in_every_part(seed: int) -> None:
    script = sample_script(seed, "heldout")
    condition = condition_of(script.record)
    moves = [move.text for move in scripted.moves(script.record, seed, 8)[:-1]]
    exam = "I will examine you, take your blood pressure, and arrange blood tests, an ECG, an ultrasound and a CT scan."
    end = f"It is likely {condition.name}. {' '.join(a.text for a in condition.management)} {condition.safety_net.text}"
    good, silent = (marks(script, said)["scores"] for said in ([*moves, exam, end], ["I see.", "Go on."]))
    assert all(0 <= good[part] <= 1 for part in PARTS)
    assert good["diagnosis"] == 1 and silent["diagnosis"] == 0
    for part in ("inquiry", "examination", "treatment", "safety"):
        assert good[part] >= silent[part], part
    assert good["examination"] > silent["examination"] == 0 and good["overall"] > silent["overall"] + 0.3
    assert good["overall"] == pytest.approx(np.mean([good[part] for part in PARTS]))


def test_a_list_of_all_questions_is_no_inquiry() -> None:
    script = sample_script(doctor.SEED, "heldout")
    facts = [f for f in script.record.facts if f.id in open_facts(script.record)]
    asks = [questions_about(fact)[0] for fact in facts]
    one_by_one, at_once = (marks(script, said)["scores"]["inquiry"] for said in (asks, [" ".join(asks)]))
    assert len(asks) > 6 and one_by_one > 0.7 > 0.6 > at_once


def test_what_must_not_be_said_costs_safety_in_whichever_message_it_is_said() -> None:
    script = sample_script(doctor.SEED + 1, "heldout")
    assert condition_of(script.record).name == "acute pancreatitis"
    before = marks(script, ["Where is the pain?", "Go to the emergency department now."])["scores"]
    after = marks(script, ["Where is the pain? Take an antacid at home.", "Go to the emergency department now."])
    assert after["scores"]["safety"] < before["safety"] and after["scores"]["treatment"] == before["treatment"]
    assert [c["points"] for c in after["whole"] if c["points"] < 0 and c["met"]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("model")))


def config(tmp_path: Path, model: str):
    c = eval_consultation.get_config("smoke")
    c.model, c.workdir, c.longest = model, str(tmp_path / "run"), 2048
    return c


def test_a_local_model_is_marked_and_a_stopped_examination_goes_on(tmp_path: Path, model: str) -> None:
    c, told = config(tmp_path, model), []
    figures = {f.name: f for f in consultation.run(c, told.append)}
    assert [*figures] == [*PARTS, "overall", "messages of the doctor"]
    assert all(len(f.each) == 2 for f in figures.values()) and figures["diagnosis"].value == 0
    file = Path(c.workdir) / "consultations.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()[1:]]
    assert {m["met"] for row in rows for marks in row["marks"] for m in marks} >= {False, None}
    file.write_text("\n".join(file.read_text().splitlines()[:2]) + '\n{"id"')
    told.clear()
    assert [*consultation.run(c, told.append)] == [*figures.values()]
    assert "consultations: 1 of 2 to do" in told


def test_patients_may_be_those_of_a_file_on_the_hub(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = config(tmp_path, model)
    c.data, c.n = "hf:org/cases/data/cases.jsonl", 1
    osce = {"Patient_Actor": {"Symptoms": {"Primary_Symptom": "Cough"}}, "Correct_Diagnosis": "Pneumonia"}
    (tmp_path / "fetched.jsonl").write_text((json.dumps({"OSCE_Examination": osce}) + "\n") * 2)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *asked, **_: fetched[asked])
    fetched = {("org/cases", "data/cases.jsonl"): str(tmp_path / "fetched.jsonl")}
    (script,) = consultation.scripts(c)
    assert script.record.source == "agentclinic" and any(f.text == "Cough." for f in script.record.facts)


def test_roles_may_be_endpoints_and_records_from_elsewhere(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M2JAX_CACHE", str(tmp_path / "cache"))
    osce = {
        "Objective_for_Doctor": "Find out why she coughs.",
        "Patient_Actor": {
            "Demographics": "50-year-old woman",
            "Symptoms": {"Primary_Symptom": "Cough", "Secondary_Symptoms": ["Fever since Monday"]},
        },
        "Test_Results": {"Chest_X-Ray": "Consolidation"},
        "Correct_Diagnosis": "Pneumonia",
    }
    (tmp_path / "cases.jsonl").write_text(json.dumps({"OSCE_Examination": osce}) + "\n")

    def plays(number: int, body: dict) -> str:
        if body["model"] == "judge":
            key = "unacceptable" if "unacceptable" in last(body) else "acceptable"
            return json.dumps({"explanation": "because", key: True})
        if body["model"] == "patient":
            return "I have had a fever since Monday."
        turn = sum(m["role"] == "assistant" for m in body["messages"])
        return ["Do you have a fever? Since when?", "It may be pneumonia: see a doctor today for a chest x-ray."][
            turn % 2
        ]

    c = config(tmp_path, model)
    c.data = str(tmp_path / "cases.jsonl")
    with serving(plays) as server:
        for role in ("doctor", "patient", "judge"):
            c.roles[role].url, c.roles[role].model = server.url, role
        figures = {f.name: f for f in consultation.run(c, lambda _: None)}
        assert {body["model"] for body in server.asked} == {"doctor", "patient", "judge"}
    assert "treatment" not in figures  # nothing is known of it
    assert [figures[p].value for p in ("inquiry", "examination", "diagnosis")] == [1, 1, 1]
    row = json.loads((Path(c.workdir) / "consultations.jsonl").read_text().splitlines()[1])
    assert all(m["met"] is not None for marks in row["marks"] for m in marks)
