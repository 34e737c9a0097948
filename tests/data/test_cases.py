"""Splits, and a stream that shows every case once an epoch and goes on exactly where it stood."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from configs import rl_stage1, rl_stage2, rl_stage3
from m2jax.clinic.condition import conditions
from m2jax.clinic.names import names_of
from m2jax.data.cases import OF_HELDOUT, CaseStream, check_enough, load
from m2jax.train import values
from m2jax.verifier.rubric import Case, parse_case


def line(name: str, split: str = "train") -> dict:
    rubric = [{"text": "Advises a doctor", "points": 5, "dimension": "safety", "check": {"words": ["doctor"]}}]
    return {"id": name, "topic": "cough", "split": split, "question": "I cough.", "rubric": rubric}


def write(file: Path, lines: list[dict]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in lines))
    return str(file)


def cases(n: int) -> list[Case]:
    return [parse_case(line(f"case-{i}")) for i in range(n)]


def ids(stream: CaseStream, n: int) -> list[list[str]]:
    return [[case.id for case in batch] for batch in islice(stream, n)]


def test_the_bundled_questions_have_both_splits():
    train, heldout = load()
    assert len(train) > 50 and len(heldout) > 20
    assert {case.split for case in train} == {"train"} and {case.split for case in heldout} == {"heldout"}
    assert not {case.topic for case in train} & {case.topic for case in heldout}


def test_beside_the_clinic_no_question_is_of_a_condition_that_it_holds_out():
    (alone, _), (beside, _) = load(), load(clinic=5)
    left = {case.id for case in alone} - {case.id for case in beside}
    assert left == set(OF_HELDOUT) and len(beside) == len(alone) - len(left) + 5
    held = [c for c in conditions() if c.split == "heldout"]
    for case in beside:
        due = " ".join(c.text.lower() for c in case.rubric if c.points > 0 and c.dimension == "accuracy")
        assert not [c.id for c in held if any(name.lower() in due for name in names_of(c))], case.id


def test_skipping_leaves_only_what_a_machine_decides():
    (train, _), (checked, _) = load(), load(skip_unchecked=True)
    assert [case.id for case in checked] == [case.id for case in train]
    assert all(c.check is not None for case in checked for c in case.rubric)
    assert any(c.check is None for case in train for c in case.rubric)
    for before, after in zip(train, checked, strict=True):
        assert after.rubric == tuple(c for c in before.rubric if c.check is not None)


def test_a_case_that_only_a_judge_can_pay_is_named(tmp_path: Path):
    unpaid = line("unpaid")
    unpaid["rubric"] = [
        {"text": "Is kind", "points": 5, "dimension": "tone"},
        {**unpaid["rubric"][0], "points": -5},
    ]
    file = write(tmp_path / "cases.jsonl", [unpaid, line("b", "heldout")])
    assert [len(split) for split in load(file)] == [1, 1]
    with pytest.raises(ValueError, match="case unpaid has no positive criterion with a check; .*'judge'"):
        load(file, skip_unchecked=True)


@pytest.mark.parametrize(("there", "missing"), [("train", "heldout"), ("heldout", "train")])
def test_a_missing_split_is_named(tmp_path: Path, there: str, missing: str):
    file = write(tmp_path / "cases.jsonl", [line("a", there)])
    with pytest.raises(ValueError, match=f"cases.jsonl has no case with split '{missing}'"):
        load(file)


@pytest.mark.parametrize("batch", [1, 3, 12])
def test_every_case_comes_once_an_epoch_in_another_order(batch: int):
    everyone = sorted(case.id for case in cases(12))
    per_epoch = 12 // batch
    seen = ids(CaseStream(cases(12), batch, seed=0), 3 * per_epoch)
    assert {len(b) for b in seen} == {batch}
    epochs = [sum(seen[e * per_epoch : (e + 1) * per_epoch], []) for e in range(3)]
    assert all(sorted(epoch) == everyone for epoch in epochs)
    assert len({tuple(epoch) for epoch in [everyone, *epochs]}) == 4


def test_no_case_is_lost_where_the_batch_does_not_divide():
    seen = sum(ids(CaseStream(cases(7), 3, seed=0), 7), [])
    assert sorted(seen) == sorted(3 * [case.id for case in cases(7)])
    assert sorted(seen[:7]) == sorted(case.id for case in cases(7))


def test_the_seed_fixes_the_order():
    one, same, other = (ids(CaseStream(cases(12), 4, seed), 6) for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_saved_position_is_gone_on_with_exactly(taken: int):
    stream = CaseStream(cases(7), 3, seed=1)
    ids(stream, taken)
    state = json.loads(json.dumps(stream.get_state()))
    want = ids(stream, 6)
    fresh = CaseStream(cases(7), 3, seed=1)
    fresh.set_state(state)
    assert ids(fresh, 6) == want
    stream.set_state(state)  # and back
    assert ids(stream, 6) == want


def test_a_batch_larger_than_the_data_is_named():
    assert len(ids(CaseStream(cases(3), 3, seed=0), 1)[0]) == 3
    with pytest.raises(ValueError, match="config.data.prompts_per_step is 4, but there are only 3 training"):
        CaseStream(cases(3), 4, seed=0)


@pytest.mark.parametrize("preset", ["smoke", "cpu", "chip", "0.5b", "7b", "32b"])
def test_every_preset_has_data_for_a_step_and_names_none_that_its_stage_passes_over(preset: str):
    for stage in (rl_stage1, rl_stage2, rl_stage3):
        values.check_data(stage.get_config(preset))
    c = rl_stage2.get_config(preset)
    bundled = load()[0]
    check_enough(bundled + cases(c.data.clinic), c.data.prompts_per_step)
    assert bool(c.data.clinic) == (c.data.prompts_per_step > len(bundled))
    tasks = rl_stage1.get_config(preset)
    assert tasks.tasks.train >= tasks.data.prompts_per_step


def test_patients_of_the_clinic_come_beside_and_none_is_held_out():
    (train, heldout), (more, same) = load(), load(clinic=40)
    asked, own = more[:-40], more[-40:]
    assert asked == [case for case in train if case.id not in OF_HELDOUT] and same == heldout
    assert len(own) == 40 == len({case.id for case in own}) and {case.split for case in own} == {"train"}
    assert not {case.id for case in own} & {case.id for case in load(clinic=40, first=40)[0]}
    checked = load(clinic=40, skip_unchecked=True)[0]
    assert [c.id for c in checked] == [c.id for c in more] and all(k.check for c in checked[-40:] for k in c.rubric)
