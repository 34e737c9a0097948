"""Made tasks: their answers are met by what is right and by nothing near it, and the splits share nothing."""

from __future__ import annotations

import dataclasses
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from m2jax.clinic.condition import conditions
from m2jax.clinic.names import names_of, others
from m2jax.data import practice, tasks
from m2jax.rules.instructions.check import strict
from m2jax.rules.rule import parse_rule, reward
from m2jax.verifier.phrases import content

MADE = practice.make(tuple(practice.MADE), 240, "train")
BY_NAME = {c.name: c for c in conditions()}


def of(kind: str) -> list[tasks.Task]:
    return [task for task in MADE if task.topic == kind]


def question(task: tasks.Task) -> str:
    return task.messages[-1]["content"]


def test_kinds_come_in_turn_and_by_seed():
    assert [task.topic for task in MADE[:8]] == [*practice.MADE] * 2
    assert len({task.id for task in MADE}) == len(MADE)
    assert practice.make(("choice", "quantity"), 4, "train") == [MADE[0], MADE[2], MADE[4], MADE[6]]
    assert not {question(t) for t in MADE} & {question(t) for t in practice.make(tuple(practice.MADE), 240, "heldout")}


def test_the_right_letter_and_no_other_is_paid():
    for task in of("choice"):
        paid = {letter: reward(task.rule, f"The answer is {letter}.") for letter in task.rule.options}
        assert paid == {letter: float(letter == task.rule.answer) for letter in task.rule.options}, task
        assert all(f"{letter}. {text}" in question(task) for letter, text in task.rule.options.items())


def test_a_diagnosis_is_paid_by_any_of_its_names_and_by_none_of_the_differential():
    for task in of("diagnosis"):
        names = task.rule.answers[0]
        assert BY_NAME[names[0]].split == "train" and practice.ASKS_DIAGNOSIS not in question(task)
        assert all(reward(task.rule, f"It fits well.\nDiagnosis: {name}") == 1 for name in names), task
        assert all(reward(task.rule, f"Diagnosis: {other}") == 0 for other in task.rule.others), task
        assert reward(task.rule, f"Diagnosis: {names[0]} or {task.rule.others[0]}") == 0, task


def test_no_diagnosis_is_hedged_by_two_conditions():
    """By any two names of a condition and of one of its differential, which may be the right one as well."""
    rules = {c.id: parse_rule({"kind": "set", "answers": [names_of(c)], "others": others(c)}) for c in conditions()}
    pairs = 0
    for one in (c for c in conditions() if c.split == "train"):
        listed = {name.lower() for names in one.differentials for name in names}
        for other in (c for c in conditions() if c.id != one.id and listed & {name.lower() for name in names_of(c)}):
            pairs += 1
            hedges = [f"Diagnosis: {a} and {b}" for a in names_of(one)[:3] for b in names_of(other)[:3]]
            assert not any(reward(rules[one.id], text) and reward(rules[other.id], text) for text in hedges), (
                one.id,
                other.id,
            )
    assert pairs > 100
    told = next(t for t in of("diagnosis") if t.rule.answers[0][0] == "kidney stone")
    history = dataclasses.replace(told.rule, others=others(BY_NAME[told.rule.answers[0][0]], "Woman, 40, with eczema."))
    text = f"Diagnosis: {told.rule.answers[0][0]}, in a woman with eczema"
    assert (reward(told.rule, text), reward(history, text)) == (0, 1)


def test_a_sum_is_paid_in_its_unit():
    for task in of("quantity"):
        value, unit = task.rule.value, task.rule.unit
        assert reward(task.rule, f"I work it out: 2 x 3. The answer is {value} {unit}.") == 1, task
        assert reward(task.rule, f"The answer is {value + 1} {unit}.") == (1.0 if value >= 100 else 0.0), task
        assert reward(task.rule, f"The answer is {2 * value} {unit}.") == 0, task
    assert {task.rule.unit for task in of("quantity")} == {"mg", "mL", "mL/h", "days"}


def test_the_sums_are_right():
    """Worked out from the text of the question."""
    for task in of("quantity"):
        a, b, *more = (float(n) for n in re.findall(r"\d+", question(task)))
        worked = {"child": a * b, "given": a * b, "syrup": b / a, "fluid": a / b, "tablets": a / np.prod([b, *more])}
        (kind,) = [k for k in worked if f" {k} " in question(task)]
        assert task.rule.value == pytest.approx(worked[kind]), question(task)


def test_a_sum_that_is_worked_out_is_paid():
    for i, task in enumerate(of("quantity")):
        asked, answer = practice.worked(i, "train")
        assert asked == question(task) and reward(task.rule, answer) == 1, answer
        left, right = answer.partition(". The")[0].split(" = ")
        a, sign, b = left.split()
        assert int(right) == (int(a) * int(b) if sign == "x" else int(a) / int(b)), answer


@pytest.mark.parametrize("pair", [*combinations(range(9), 2)])
def test_any_two_instructions_can_be_followed_at_once_and_broken_each(pair: tuple[int, int]):
    drawn = [practice._INSTRUCTIONS[i](np.random.default_rng(7)) for i in pair]
    ids, kwargs = [i for _, i, _ in drawn], [k for _, _, k in drawn]
    given = {i: next(iter(k.values()), "") for i, k in zip(ids, kwargs, strict=True)}
    lines = ["<<short note>>"]
    lines += [
        f"* {w}"
        for w in ("first", "second", "third", "fourth")[: given.get("detectable_format:number_bullet_lists", 0)]
    ]
    lines += [f"*mark {w}*" for w in ("one", "two", "three")]
    lines += given.get("keywords:existence", [])
    lines += [given.get("startend:end_checker", "good bye.")]
    good = "\n".join(line if line != "*mark one*" else " and *mark one*" for line in lines).replace(
        "\n*mark", "\nand *mark"
    )
    assert strict(ids, kwargs, good) == [True, True], (ids, kwargs, good)
    bad = "A SHORT note, " + "word " * 100 + "it should may important however"
    assert strict(ids, kwargs, bad) == [False, False], (ids, kwargs)


def obeying(task: tasks.Task) -> str:
    """A reply that follows any two instructions and says nothing."""
    given = dict(zip(task.rule.instruction_ids, task.rule.kwargs, strict=True))
    lines = ["<<rest>> *fluids* *days* *symptoms* the doctor and you are fine with it"]
    lines += ["- it is so"] * given.get("detectable_format:number_bullet_lists", {}).get("num_bullets", 0)
    return "\n".join([*lines, given.get("startend:end_checker", {}).get("end_phrase", "")]).strip()


def test_form_alone_is_not_paid_and_an_answer_is():
    drawn = practice.make(("instructions",), 60, "train")
    advice = [" ".join(a.text for a in c.management[:2]) for c in conditions()]
    for task in drawn:
        form = obeying(task)
        assert strict(task.rule.instruction_ids, task.rule.kwargs, form) == [True, True]
        assert reward(task.rule, form) == 0
        assert reward(dataclasses.replace(task.rule, about=()), form) == 1
        told = f"{form.splitlines()[0]} {' '.join(task.rule.about[:2])}\n" + "\n".join(form.splitlines()[1:])
        assert reward(task.rule, told.strip()) == 1
        assert max(len(content(text) & content(" ".join(task.rule.about))) for text in advice) >= 2
    generic = (
        "see your doctor, rest, drink water and take paracetamol. call an ambulance if it gets worse, or with fever"
    )
    assert sum(reward(task.rule, generic) > 0 for task in drawn) <= 3


def test_a_file_holds_what_was_made(tmp_path: Path):
    tasks.write_tasks(tmp_path / "t.jsonl", [*MADE[:8], *practice.make(("choice",), 1, "heldout")])
    train, heldout = tasks.load(str(tmp_path / "t.jsonl"))
    assert [(t.id, t.messages, t.topic) for t in train] == [(t.id, t.messages, t.topic) for t in MADE[:8]]
    assert len(heldout) == 1
    for mine, read in zip(MADE, train, strict=False):
        assert tasks.to_json(mine) == tasks.to_json(dataclasses.replace(read, messages=tuple(read.messages)))
    tasks.write_tasks(tmp_path / "t.jsonl", MADE[:8])
    with pytest.raises(ValueError, match="no task with split 'heldout'"):
        tasks.load(str(tmp_path / "t.jsonl"))


@pytest.mark.parametrize(("kinds", "split"), [((), "train"), (("choices",), "train"), (("choice",), "test")])
def test_what_is_not_there_is_named(kinds: tuple[str, ...], split: str):
    with pytest.raises(ValueError, match="name some of choice|split is 'test'"):
        practice.make(kinds, 1, split)
