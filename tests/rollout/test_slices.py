"""Consultations cut into cases: what counts as a fault, where a slice may end, who comes to the doctor."""

from __future__ import annotations

import dataclasses
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import AddedToken

from m2jax.evaluate import heldout
from m2jax.patient.gate import Gate
from m2jax.patient.interruption import Interruption, takes_up
from m2jax.patient.rubric import chat, rubric_after
from m2jax.patient.script import Line, sample_script
from m2jax.patient.simulate import Consultation, Round, Turn
from m2jax.rollout import dynamic, slices, watch
from m2jax.rollout.single_turn import prompt_tokens
from m2jax.sampler.requests import Completion
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from tests.text.fixtures import tiny_tokenizers as tiny

SCRIPT = sample_script(3, "train")
OPENING = "I have had a headache for two days."
PATIENT = ("It is worse in the morning.", "No, no fever.", "I take ibuprofen.", "No allergies.")
GOOD = ("When did the headache begin?", "Any fever?", "What medicines are you taking?", "Are you allergic to anything?")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    library = tiny.train_bpe()
    library.add_tokens([AddedToken(word, normalized=False) for word in ("Yes", "No")])
    return load_tokenizer(tiny.write_folder(tmp_path_factory.mktemp("bpe"), library))


def held(*doctor: str, stopped: bool = True) -> Consultation:
    """A consultation that the patient ends after the last message."""
    dialogue, rounds = (Line("patient", OPENING),), []
    for i, text in enumerate(doctor):
        ends = i == len(doctor) - 1
        completion = Completion(np.arange(3, dtype=np.int32), np.zeros(3), np.zeros(3), stopped)
        turn = Turn(Gate(ends, "limit" if ends else ""), (f"fact-{i}",), final="" if ends else PATIENT[i])
        rounds.append(Round([1], completion, text, turn))
        dialogue += (Line("doctor", text),)
        if not ends:
            dialogue += (Line("patient", PATIENT[i]),)
    return Consultation(SCRIPT, dialogue, tuple(rounds), ())


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        *((text, "") for text in GOOD[1:]),
        ("You said that it is worse in the morning. Is that every day?", ""),
        ("I'm a doctor, and I will help you. Is there a fever?", ""),
        ("Dr Miller will see you. Is there a fever?", ""),
        ("", "empty"),
        (" ... ", "empty"),
        ("Hello doctor, I have a headache. What should I do?", "role inversion"),
        ("I'm a 45-year-old woman with a headache.", "role inversion"),
        ("Is it sharp?\nPatient: yes, it is.", "role inversion"),
        ("When did the headache begin?", "repetition"),
        ("Drink some water. Drink some water. Drink some water. Drink some water.", "repetition"),
        ("You mentioned vomiting blood. Since when?", "causal nonsense"),
        ("As you told me, your knee swells.", "causal nonsense"),
        ("Your blood test shows an infection.", "causal nonsense"),
        ("A blood test may show an infection.", ""),
        ("When did the nausea begin?", ""),  # asked in the same words, and something else
        ("Based on what you have told me, the most likely cause is migraine.", ""),
        ("From what you told me migraine is likely.", ""),
        ("Given the symptoms you have described I am most concerned about migraine.", ""),
        ("As you said, this is hard to live with.", ""),
        ("Is the headache that you mentioned getting worse?", ""),
        ("When did the rash that you mentioned begin?", "causal nonsense"),
        ("I understand that you said your knee swells.", "causal nonsense"),
        ("If your blood tests are normal you can stay at home.", ""),
        ("If the pain eases, and your blood tests are normal, you can stay at home.", ""),
        ("You can go home once your ECG is normal.", ""),
        ("When it hurts, rest. Your blood test shows an infection.", "causal nonsense"),
        ("See someone:\n- Doctor: within a week.\n- Nurse: today.", ""),
        ("I see.\nDoctor, I have a headache.", "role inversion"),
    ],
)
def test_faults(text: str, fault: str):
    assert slices.fault(held(GOOD[0], text, GOOD[2]), 1) == fault


def test_one_thing_asked_after_another_is_no_repetition_and_the_same_with_a_word_more_is():
    one = "Do you have any fever?"
    for other in ("Do you have any cough?", "Have you had any night sweats?", "Does it hurt when you walk?"):
        assert slices.fault_of([OPENING, one, "No.", other], True) == ""
        assert slices.fault_of([OPENING, f"Thank you. {one}", "No.", f"Thank you. {other}"], True) == ""
    for again in (one, f"{one} {one}", f"I see. {one}"):
        assert slices.fault_of([OPENING, one, "No.", again], True) == "repetition"
    long = "When did the headache begin, and did it come on suddenly or over some hours? Is it on one side, or on both?"
    assert slices.fault_of([OPENING, long, "No.", f"{long} Any rash?"], True) == "repetition"


def test_a_reply_that_was_cut_off_is_a_fault():
    assert slices.fault(held(GOOD[0], stopped=False), 0) == "over-length"


def test_trimmed_it_ends_with_its_last_sentence(tokenizer: Tokenizer):
    doctor = ("When did it begin? Any fever? I would", "Is it 39.5 degrees or", "What else?")
    found = [
        slices.cut(held(*doctor, stopped=False), tokenizer, 10_000, np.random.default_rng(seed), trim=True)
        for seed in range(20)
    ]
    assert {f.kept for f in found} == {0, 1} and {f.fault for f in found} == {"over-length"}  # the second has no end
    kept = next(f for f in found if f.kept)
    assert [m["content"] for m in kept.case.messages[1:]] == ["When did it begin? Any fever?", PATIENT[0]]
    assert slices.cut(held(*doctor, stopped=False), tokenizer, 10_000, np.random.default_rng(1)).kept == 0


def test_a_thought_stands_in_no_slice(tokenizer: Tokenizer):
    doctor = ("When did it begin? Any fever? I would", "Is it 39.5 degrees or", "What else?")
    plain, thought = held(*doctor, stopped=False), "<think>Migraine? I ask."
    rounds = tuple(dataclasses.replace(r, text=f"{thought}</think>\n{r.text}") for r in plain.rounds)
    for whole in (plain, dataclasses.replace(plain, rounds=rounds)):
        cut = [slices.cut(whole, tokenizer, 10_000, np.random.default_rng(s), trim=True) for s in range(20)]
        assert next(c for c in cut if c.kept).case.messages[1]["content"] == "When did it begin? Any fever?"
    assert cut[0].held.rounds[0].text == f"{thought}</think>\nWhen did it begin? Any fever?"


def test_a_slice_ends_before_the_first_fault_and_where_the_doctor_speaks_next(tokenizer: Tokenizer):
    drawn = Counter()
    for seed in range(60):
        cut = slices.cut(held(*GOOD[:2], "", GOOD[3]), tokenizer, 10_000, np.random.default_rng(seed))
        assert (cut.fault, cut.rounds, cut.ended, cut.asked) == ("empty", 4, "limit", 4)
        assert len(cut.case.messages) == 2 * cut.kept + 1 and cut.case.messages[-1]["role"] == "user"
        assert [m["content"] for m in cut.case.messages[1::2]] == list(GOOD[: cut.kept])
        drawn[cut.kept] += 1
    assert set(drawn) == {0, 1, 2} and min(drawn.values()) > 8
    # nothing is wrong: but after the last message the patient does not answer
    kept = {slices.cut(held(*GOOD[:3]), tokenizer, 10_000, np.random.default_rng(i)).kept for i in range(40)}
    assert kept == {0, 1, 2}


def test_a_slice_fits_the_prompt(tokenizer: Tokenizer):
    longest = slices.cut(held(*GOOD), tokenizer, 10_000, np.random.default_rng(1))
    size = len(prompt_tokens(tokenizer, longest.case))
    assert longest.kept > 0
    shorter = slices.cut(held(*GOOD), tokenizer, size - 1, np.random.default_rng(1))
    assert shorter.kept == longest.kept - 1 and len(prompt_tokens(tokenizer, shorter.case)) < size


def test_an_opening_that_is_too_long_is_named_and_no_room_ends_a_consultation(tokenizer: Tokenizer):
    with pytest.raises(ValueError, match=r"the opening of .* is a prompt of \d+ tokens; config.data.max_prompt_tokens"):
        slices.cut(held(*GOOD), tokenizer, 5, np.random.default_rng(1))
    whole = held(*GOOD)
    last = dataclasses.replace(whole.rounds[-1], turn=Turn(Gate(False), final="No."))
    whole = dataclasses.replace(whole, rounds=(*whole.rounds[:-1], last))
    assert slices.cut(whole, tokenizer, 10_000, np.random.default_rng(1)).ended == "room"


def test_the_rubric_is_that_of_the_slice(tokenizer: Tokenizer):
    """It changes as the consultation goes on: what was asked is not asked for again."""
    whole = held(*GOOD)
    rubrics = [rubric_after(SCRIPT.record, whole.dialogue[: 2 * i + 1]) for i in range(4)]
    assert len(set(rubrics)) > 1
    cut = slices.cut(whole, tokenizer, 10_000, np.random.default_rng(1))
    assert cut.case.rubric == rubrics[cut.kept] and cut.case.messages == chat(whole.dialogue[: 2 * cut.kept + 1])
    with pytest.raises(ValueError, match="must end with the patient"):
        rubric_after(SCRIPT.record, whole.dialogue[:2])


def test_the_doctor_sees_the_interruption_and_has_to_take_it_up(tokenizer: Tokenizer):
    asks = Interruption(1, "Could it be cancer?")
    whole = dataclasses.replace(held(*GOOD), interruption=asks)
    cases = {c.kept: c for c in (slices.cut(whole, tokenizer, 10_000, np.random.default_rng(i)) for i in range(40))}
    assert set(cases) == {0, 1, 2, 3} and all(c.held.interrupted for c in cases.values())
    for kept, found in cases.items():
        said = " ".join(m["content"] for m in found.case.messages)
        assert (asks.snippet in said) == (kept >= 1)
        assert (takes_up(asks) in found.case.rubric) == (kept == 1)
        core = rubric_after(SCRIPT.record, whole.dialogue[: 2 * kept + 1])
        assert found.case.rubric[: len(core)] == core
    told = dataclasses.replace(held(GOOD[0], "You mentioned cancer. Why?", GOOD[2]), interruption=asks)
    assert slices.fault(told, 1) == "" and slices.fault(dataclasses.replace(told, interruption=None), 1)
    assert slices.told_of(list(cases.values()))["consult/interrupted"] == 1


def test_heldout_slices_are_of_heldout_conditions_and_fit(tokenizer: Tokenizer):
    limit = 700
    cases = slices.heldout_slices(24, 3, tokenizer, limit)
    assert cases == slices.heldout_slices(24, 3, tokenizer, limit) and len({c.id for c in cases}) == 24
    lengths = {len(c.messages) // 2 for c in cases}
    assert {c.split for c in cases} == {"heldout"} and 0 in lengths and max(lengths) in (2, 3)
    assert any(len(c.messages) > 1 for c in cases)
    assert all(len(prompt_tokens(tokenizer, c)) <= limit for c in cases if len(c.messages) > 1)


def test_what_is_told_of_a_step(tokenizer: Tokenizer):
    found = [slices.cut(c, tokenizer, 10_000, np.random.default_rng(0)) for c in (held(*GOOD), held(GOOD[0], GOOD[0]))]
    found = [dataclasses.replace(f, kept=i) for i, f in enumerate(found)]
    told = slices.told_of(found)
    assert (told["consult/rounds"], told["consult/asked_per_round"], told["consult/kept"]) == (3, 1, 0.5)
    assert (told["consult/fault/repetition"], told["consult/fault/empty"], told["consult/ended/limit"]) == (0.5, 0, 1)
    assert {key.rpartition("/")[2] for key in told if "ended" in key} == set(slices.ENDS)


def test_consultations_share_no_sample_with_the_replies_to_them():
    """Both have small numbers for keys."""
    seeds = []
    engine = SimpleNamespace(run=lambda dialogues, *, seed, keys, journal: seeds.append(seed) or [])
    assert slices.slices(engine, None, None, [0, 1], 100, seed=5) == []
    taken = (0, heldout.SEED_OFFSET, watch.SEED_OFFSET, dynamic.SEED_OFFSET)
    assert seeds[0] not in {5 + offset for offset in taken}
