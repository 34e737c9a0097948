"""Dynamic criteria in the loop: what is watched, what is paid, what comes and goes, and that a stopped run goes on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from m2jax import run as training
from m2jax.metrics import read_metrics
from m2jax.rollout import dynamic
from m2jax.rollout.dynamic import Settings
from m2jax.rollout.single_turn import Reply
from m2jax.sampler.requests import Completion
from m2jax.verifier.dynamic import Rule, Tracked
from m2jax.verifier.phrases import criterion, pattern
from m2jax.verifier.reward import Verdict, grade_checks
from m2jax.verifier.rubric import Case, Criterion
from tests.outside.fake_server import last, serving
from tests.train import tiny_run

RULE = Rule(least=4, window=8, groups=3)
SETTINGS = Settings(1, 2, 0.5, 0, "start", None, RULE)
SORRY, REST = (criterion(f'Says "{word}".', -3, "clarity", pattern(word)) for word in ("sorry", "rest"))
CORE = criterion("Names fever.", 5, "accuracy", pattern("fever"))
CASES = [Case(name, "cough", "train", ({"role": "user", "content": "I cough."},), (CORE,)) for name in "ab"]


def replies(case: Case, *texts: str) -> list[Reply]:
    none = np.zeros(1, np.float32)
    done = Completion(np.zeros(1, np.int32), none, none, True)
    return [Reply([1], done, text, list(grade_checks(case.rubric, text))) for text in texts]


def step(state: dynamic.State, *texts: str) -> tuple[list[Case], list[list[Reply]], dynamic.State]:
    watched = [dynamic.watched(case, state) for case in CASES]
    return dynamic.settle(CASES, [replies(case, *texts) for case in watched], state, RULE)


def test_a_candidate_is_watched_and_not_paid_until_it_is_admitted():
    state = {"": (Tracked(SORRY),), "b": (Tracked(REST),)}
    assert [len(dynamic.watched(case, state).rubric) for case in CASES] == [2, 3]
    cases, groups, state = step(state, "fever, sorry", "fever")
    assert [case.rubric for case in cases] == [(CORE,), (CORE,)]
    assert {len(reply.verdicts) for group in groups for reply in group} == {1}
    assert (state[""][0].state, state[""][0].rate) == ("active", 0.5)  # two of four verdicts, over both cases
    assert state["b"][0].recent == (False, False)
    cases, groups, state = step(state, "fever, sorry", "fever")
    assert cases[0].rubric == (CORE, SORRY)
    assert [[v.met for v in reply.verdicts] for reply in groups[0]] == [[True, True], [True, False]]
    for _ in range(3):
        *_, state = step(state, "fever", "fever")
    assert [t.state for t in state[""]] == ["retired"]
    assert dynamic.of(state, CASES[0]) == () and dynamic.watched(CASES[0], state) == CASES[0]


def test_what_was_retired_by_one_group_is_not_moved_by_the_next():
    almost = Tracked(SORRY, "active", (True,) * 4, alike=2)
    *_, state = step({"": (almost,)}, "sorry", "sorry")
    assert (state[""][0].state, state[""][0].alike) == ("retired", 3)


def test_replies_are_mined_up_to_the_most_and_what_came_back_may_come_again():
    said = ["Sorry to hear it, my friend. Drink water.", "Sorry to hear it, my friend. Sleep."] * 2
    state = dynamic.mined({}, said, SETTINGS)
    assert 1 <= len(state[""]) <= SETTINGS.most and {t.state for t in state[""]} == {"candidate"}
    assert dynamic.mined(state, said, SETTINGS) == state  # known by then
    thought = [f"<think>{text}</think>Drink tea." for text in said]
    assert {t.criterion.text for t in dynamic.mined({}, thought, SETTINGS)[""]} == {
        t.criterion.text for t in dynamic.mined({}, ["Drink tea."] * 4, SETTINGS)[""]
    }
    first = state[""][0]
    for rate, again in (((False,) * 4, "candidate"), ((True,) * 4, "retired")):
        gone = {"": (dataclasses.replace(first, state="retired", recent=rate), *state[""][1:])}
        assert dynamic.mined(gone, said, SETTINGS)[""][0].state == again
    assert dynamic.mined({}, said, dataclasses.replace(SETTINGS, most=1))[""] == (first,)


def test_the_state_is_json_and_comes_back_as_it_was():
    state = dynamic.mined({}, ["Sorry to hear it, my friend. Drink water."] * 4, SETTINGS)
    *_, state = step(state | {"b": (Tracked(Criterion("Asks about fever.", 2, "inquiry", CORE.check)),)}, "sorry", "no")
    back = dynamic.from_json(json.loads(json.dumps(dynamic.to_json(state))))
    assert back == state and back[""][0].criterion.check == state[""][0].criterion.check


def test_metrics_count_the_states():
    state = {"": (Tracked(SORRY, "active", (True, False)), Tracked(REST, "retired")), "a": (Tracked(CORE),)}
    assert dynamic.metrics(state) == {
        "dynamic/candidate": 1, "dynamic/active": 1, "dynamic/retired": 1, "dynamic/violated": 0.5
    }  # fmt: skip
    assert dynamic.rows(state)[0] == {
        "case": "", "text": SORRY.text, "points": -3, "state": "active", "rate": 0.5
    }  # fmt: skip


# ---- whole runs


VALUES = {"data.prompts_per_step": 4, "data.samples_per_prompt": 4, "dynamic.every": 1, "dynamic.proposals": 2}


def files_of(folder: Path) -> tuple[Path, Path]:
    """The tiny model, and its training cases twice."""
    model, cases = tiny_run.write_all(folder)
    rows = [json.loads(line) for line in cases.read_text().splitlines()]
    rows += [row | {"id": f"{row['id']}-again"} for row in rows if row["split"] == "train"]
    cases.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return model, cases


def timeless(folder: Path) -> list[dict]:
    rows = read_metrics(folder)
    return [{k: v for k, v in r.items() if "second" not in k and "_s" not in k and k != "compiles"} for r in rows]


def test_a_run_pays_by_what_it_mined_and_goes_on_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The model speaks noise: what is mined here is chosen so that it comes, tells replies apart, or never does. Its
    proposals have to fit the engine; they are sifted out, or watched.
    """
    model, cases = files_of(tmp_path)
    often, never = (criterion(f"Has {p}.", -5, "clarity", pattern(p)) for p in ("[a-m]{3}", "zzzz"))
    monkeypatch.setattr(dynamic, "mine", lambda replies, share: [often, never])
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with tiny_run.one_device(monkeypatch):
        training.run(tiny_run.config(model, cases, steps=3, **VALUES), whole)
        training.run(tiny_run.config(model, cases, steps=1, **VALUES), broken)
        training.run(tiny_run.config(model, cases, steps=3, **VALUES), broken)
    rows = timeless(whole)
    assert rows == timeless(broken)
    assert (whole / "criteria.jsonl").read_text() == (broken / "criteria.jsonl").read_text()
    assert rows[0]["dynamic/candidate"] >= 2 and rows[1]["dynamic/active"] >= 1
    read = map(json.loads, (whole / "criteria.jsonl").read_text().splitlines())
    states = {row["text"]: row["state"] for row in read if not row["case"]}
    assert states.keys() == {often.text, never.text}
    assert states[often.text] == "active" and states[never.text] in ("candidate", "retired")
    assert "Criteria that came and went" in (whole / "report.html").read_text()


def test_criteria_of_a_case_are_proposed_once_by_the_judge_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files, asked = tiny_run.write_all(tmp_path), []
    for name, value in (("M2JAX_CACHE", str(tmp_path / "cache")), ("NO_PROXY", "127.0.0.1")):
        monkeypatch.setenv(name, value)

    def behave(n: int, body: dict) -> str:
        if "# Rubric item" in (text := last(body)):
            sign = "unacceptable" if "unacceptable" in text else "acceptable"
            return json.dumps({"explanation": "I counted.", sign: text.count("e") % 2 == 0})
        asked.append(text)
        return json.dumps({"criterion": "Asks how bad the headache is.", "dimension": "inquiry", "points": 4})

    values = {"judge.url": "", "judge.model": "m", "dynamic.proposals": 2, "steps": 1}
    with serving(behave) as server, tiny_run.one_device(monkeypatch):
        training.run(tiny_run.config(*files, **values | {"judge.url": server.url}), tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "criteria.jsonl").read_text().splitlines()]
    assert {row["case"] for row in rows} <= {"case-0", "case-1", "case-2"} and len(rows) >= 2
    assert {row["points"] for row in rows} == {4, -4} and len(asked) == len(set(asked))
    assert all("not known" in text for text in asked)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"dynamic.every": -1}, "dynamic.every is -1"),
        ({"dynamic.every": 1}, "prompts_per_step=2 gives too few"),
        ({"dynamic.every": 1, "data.prompts_per_step": 4, "dynamic.share": 0.0}, "share 0.0"),
        ({"dynamic.proposals": 2, "reward.unchecked": "skip"}, "unchecked='skip'"),
        ({"dynamic.proposals": 2, "dynamic.admit": 0.01}, "0 <= retire < admit"),
    ],
)
def test_values_that_cannot_be(values: dict, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = tiny_run.write_all(tmp_path)
    with tiny_run.one_device(monkeypatch), pytest.raises(SystemExit, match=said):
        training.run(tiny_run.config(*files, **values), tmp_path / "run")


def test_verdicts_stay_with_their_criteria():
    """The order is that of the watched rubric: core, active, candidates."""
    state = {"": (Tracked(REST), Tracked(SORRY, "active"))}
    assert dynamic.watched(CASES[0], state).rubric == (CORE, SORRY, REST)
    verdicts = [Verdict(met, None, "check") for met in (True, False, True)]
    reply = dataclasses.replace(replies(CASES[0], "x")[0], verdicts=verdicts)
    cases, groups, _ = dynamic.settle(CASES[:1], [[reply]], state, RULE)
    assert cases[0].rubric == (CORE, SORRY) and [v.met for v in groups[0][0].verdicts] == [True, False]
