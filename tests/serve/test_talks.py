"""A person's talk with the model, one request a turn; the page comes with a policy that fits its script."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

from m2jax import adapters
from m2jax.patient import shown
from m2jax.patient.script import sample_script
from m2jax.sampler.requests import Completion, Role, Score
from m2jax.serve import talks
from m2jax.serve.models import Served
from m2jax.verifier.calibration import calibrate, of_card
from tests.serve.site import Site


def turn(site: Site, role: str, dialogue: list, **more: object) -> tuple[int, dict]:
    lines = [{"who": who, "text": text} for who, text in zip(["patient", "doctor"] * 9, dialogue, strict=False)]
    response = site.client.post("/talk", json={"role": role, "seed": 3, "dialogue": lines, **more})
    return response.status_code, response.json()


def test_a_person_is_the_doctor_and_sees_the_rubric(site: Site):
    _, first = turn(site, "patient", [])
    record = sample_script(3, "heldout").record
    assert first["text"] == shown.opening(record, 3)
    status, answer = turn(site, "patient", [first["text"], "How long have you had this?"])
    assert status == 200 and answer["text"] and answer["marks"] and "gate" in answer["units"]
    assert turn(site, "patient", [first["text"], "How long have you had this?"])[1] == answer
    weights = [abs(mark["points"]) for mark in answer["marks"]]
    assert weights == sorted(weights, reverse=True) and {m["met"] for m in answer["marks"]} <= {True, False, None}
    _, end = turn(site, "patient", [first["text"], "Goodbye, and take care."])
    assert end["ended"] == "farewell" and record.diagnosis in end["reveal"]


def test_a_person_is_the_patient(site: Site):
    _, first = turn(site, "doctor", [])
    assert "You play this patient" in first["sheet"] and not first["text"]
    status, answer = turn(site, "doctor", ["I have a fever."])
    assert status == 200 and answer["marks"] and "units" not in answer
    assert turn(site, "doctor", ["I have a fever.", "x" * 1200, "And a cough."])[0] == 200  # of the model's own
    _, end = turn(site, "doctor", ["I have a fever."], over=True)
    assert "The diagnosis:" in end["reveal"]


@pytest.mark.parametrize("fits", [True, False])
def test_what_no_check_decides_the_judge_does(served: Served, fits: bool):
    engine = SimpleNamespace(roles=served.engine.roles | {"judge": Role(adapter="grader")})
    judged = SimpleNamespace(engine=engine, tokenizer=served.tokenizer, longest=served.longest)
    said = {"patient": "I have a fever.", "doctor": "Any cough?"}
    lines = [{"who": who, "text": said[who]} for who in ("patient", "doctor", "patient")]
    turn = talks.turn(judged, talks.read({"role": "doctor", "seed": 3, "dialogue": lines}))
    next(turn)
    asked = turn.send(Completion(np.asarray(served.tokenizer.encode("How long?")), None, None, True))
    assert {(type(one), one.role) for one in asked} == {(Score, "judge")}
    with pytest.raises(StopIteration) as end:
        if fits:
            turn.send([[(math.log(0.2), math.log(0.8))] * len(one.suffixes) for one in asked])
        else:
            turn.throw(ValueError("a prefix of 9999 tokens does not fit"))
    marks = end.value.value["marks"]
    n, p = sum(len(one.suffixes) for one in asked), calibrate(0.2, of_card(adapters.card("grader")))
    found = [(mark["met"], mark["probability"]) for mark in marks]
    assert len(found) > n == found.count((p > 0.5, p) if fits else (None, None)) > 0
    assert fits == all(met is not None for met, _ in found)


@pytest.mark.parametrize(
    ("role", "dialogue", "param"),
    [
        ("nurse", [], "role"),
        ("patient", ["Hello"], "dialogue"),
        ("doctor", ["Hello", "Hello"], "dialogue"),
        ("doctor", [" \n "], "dialogue[0].text"),
        ("doctor", ["x" * 1001], "dialogue[0].text"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_talk_that_cannot_be(site: Site, role: str, dialogue: list, param: str):
    status, body = turn(site, role, dialogue)
    assert (status, body["error"]["param"]) == (400, param)


def test_the_page_runs_its_own_script_and_nothing_else(site: Site):
    response = site.client.get("/")
    script = re.search("<script>(.*?)</script>", response.text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in response.headers["content-security-policy"]
    assert "http://" not in response.text and "https://" not in response.text
