"""AgentClinic's protocol: four roles over a server that plays them, a local model, and an interruption."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs import eval_agentclinic
from m2jax.evaluate import agentclinic
from m2jax.evaluate.agentclinic import decided, load
from tests.outside.fake_server import serving
from tests.train.tiny_run import write_model


def case(number: int) -> dict:
    return {
        "OSCE_Examination": {
            "Objective_for_Doctor": f"Find out why patient {number} limps.",
            "Patient_Actor": {"Demographics": "40-year-old man", "History": "He fell off a ladder."},
            "Physical_Examination_Findings": {"Leg": "Swollen ankle"},
            "Test_Results": {"X-ray": "Fracture of the fibula"},
            "Correct_Diagnosis": "Fibular fracture",
        }
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("model")))


def config(tmp_path: Path, model: str, n: int):
    c = eval_agentclinic.get_config("smoke")
    c.model, c.workdir, c.n, c.longest = model, str(tmp_path / "run"), n, 4096
    c.data = str(tmp_path / "cases.jsonl")
    Path(c.data).write_text("".join(json.dumps(case(i)) + "\n" for i in range(n)))
    return c


def elsewhere(tmp_path: Path, model: str, url: str):
    """Two cases, four rounds, all roles at an endpoint."""
    c = config(tmp_path, model, n=2)
    c.rounds = 4
    for role in agentclinic.ROLES:
        c.roles[role].url, c.roles[role].model = url, role
    return c


def plays(number: int, body: dict) -> str:
    """A doctor who asks, has an X-ray made and names the fracture, but with patient 1 never comes to an end."""
    role, messages = body["model"], body["messages"]
    if role == "doctor":
        asked = sum(m["role"] == "assistant" for m in messages)
        if "patient 1 " in messages[0]["content"]:
            return "<think>Shall I?</think> Does it hurt?"
        return ["What happened?", "REQUEST TEST: X-ray", "DIAGNOSIS READY: broken fibula"][asked]
    return {"patient": "I fell.", "measurement": "RESULTS: Fracture of the fibula", "moderator": "Yes."}[role]


def test_four_roles_play_the_protocol_and_nobody_is_asked_twice(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M2JAX_CACHE", str(tmp_path / "cache"))
    with serving(plays) as server:
        c = elsewhere(tmp_path, model, server.url)
        figures = {f.name: f for f in agentclinic.run(c, lambda _: None)}
        assert figures["AgentClinic accuracy"].each == figures["a diagnosis was given"].each == (1.0, 0.0)
        assert figures["messages of the doctor"].each == (3.0, 4.0) and figures["tests requested"].each == (1.0, 0.0)

        asked = {role: [b["messages"] for b in server.asked if b["model"] == role] for role in agentclinic.ROLES}
        ladder, fibula, truth = "ladder", "Fracture of the fibula", "The right diagnosis is: Fibular fracture"
        said = {role: json.dumps(messages) for role, messages in asked.items()}
        assert ladder in said["patient"] and ladder not in said["doctor"] + said["measurement"] + said["moderator"]
        assert fibula in said["measurement"] and fibula not in said["patient"]  # only as far as it was told
        assert truth in said["moderator"] and "Fibular" not in said["doctor"] + said["patient"] + said["measurement"]
        (measured,) = asked["measurement"]
        assert measured[1]["content"] == "Doctor: What happened?\n\nPatient: I fell.\n\nDoctor: REQUEST TEST: X-ray"
        assert "think" not in said["patient"]
        lasts = [m[-1]["content"] for m in asked["doctor"] if agentclinic.LAST in m[-1]["content"]]
        assert len(lasts) == 1 and "[3 of your 4 messages are used]" in lasts[0]

        n = len(server.asked)
        file = Path(c.workdir) / "consultations.jsonl"
        lines = file.read_text().splitlines()
        assert [*agentclinic.run(c, lambda _: None)] == [*figures.values()] and len(server.asked) == n
        kept = [line for line in lines if '"id": "1"' not in line]
        file.write_text("\n".join(kept) + '\n{"id": "1", "dial')  # killed while it wrote
        assert [*agentclinic.run(c, lambda _: None)] == [*figures.values()] and len(server.asked) == n


def test_a_chat_that_an_endpoint_refuses_ends_its_consultation_alone(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M2JAX_CACHE", str(tmp_path / "cache"))

    def behave(number: int, body: dict) -> dict | str:
        refused = body["model"] == "doctor" and "patient 1 " in body["messages"][0]["content"]
        return {"status": 400, "body": b"filtered"} if refused else plays(number, body)

    with serving(behave) as server:
        c = elsewhere(tmp_path, model, server.url)
        figures = {f.name: f for f in agentclinic.run(c, lambda _: None)}
    assert figures["AgentClinic accuracy"].each == (1.0, 0.0) and figures["messages of the doctor"].each == (3.0, 0.0)


def test_a_local_model_plays_all_four(tmp_path: Path, model: str) -> None:
    c = config(tmp_path, model, n=1)
    c.rounds = 1
    figures = {f.name: f for f in agentclinic.run(c, lambda _: None)}
    assert figures["AgentClinic accuracy"].value == 0 and figures["messages of the doctor"].value == 1
    (row,) = (json.loads(line) for line in (Path(c.workdir) / "consultations.jsonl").read_text().splitlines()[1:])
    assert [line["who"] for line in row["dialogue"]] == ["doctor", "patient"] and all(
        x["text"] for x in row["dialogue"]
    )


def test_a_consultation_without_room_for_another_message_ends(tmp_path: Path) -> None:
    """Driven by hand: two messages, then the doctor's chat is too long."""
    said = {"doctor": iter(["Where?", None]), "patient": iter(["Here."])}

    def say(role, chat):
        return next(said[role])
        yield

    dialogue = agentclinic.consult(agentclinic.Osce("a", "b", "c", "d"), say, 5)
    with pytest.raises(StopIteration) as ended:
        next(dialogue)
    row = ended.value.value
    assert [line["text"] for line in row["dialogue"]] == ["Where?", "Here."] and row["right"] is row[
        "diagnosis"
    ] is None


@pytest.mark.parametrize(
    ("verdict", "right"),
    [("yes", True), ("Yes.", True), ("**Yes**, they are.", True), ("NO", False), ("No, it is not.", False)]
    + [("", None), ("Perhaps yes", None), ("Yesterday", None)],
)
def test_the_moderator_is_read_by_its_first_word(verdict: str, right: bool | None) -> None:
    assert decided(verdict) is right


def test_a_diagnosis_without_a_verdict_is_wrong_and_counted() -> None:
    rows = [{"dialogue": [{"who": "doctor", "text": "x"}], "diagnosis": "x", "right": r} for r in (True, False, None)]
    cases = [agentclinic.Osce("", "", "", diagnosis) for diagnosis in ("a", "b", "c")]
    accuracy = agentclinic.figures_of(rows, cases)[0]
    assert accuracy.of not in ("", agentclinic.figures_of(rows, cases[::-1])[0].of)  # other cases, or another order
    assert accuracy.each == (1.0, 0.0, 0.0) and accuracy.note == "1 without a verdict count as wrong"


def test_a_case_that_is_none_is_named(tmp_path: Path) -> None:
    bad = case(1)
    del bad["OSCE_Examination"]["Correct_Diagnosis"]
    (tmp_path / "a.jsonl").write_text(json.dumps(case(0)) + "\n" + json.dumps(bad) + "\n")
    with pytest.raises(ValueError, match=r"a.jsonl:2: the case has no \['Correct_Diagnosis'\]"):
        load(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text('{"OSCE_Examination": []}\n')
    with pytest.raises(ValueError, match="b.jsonl:1: OSCE_Examination is no object"):
        load(tmp_path / "b.jsonl")
