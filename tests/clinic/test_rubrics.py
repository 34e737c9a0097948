"""Rubrics of sampled cases: good replies earn them, empty and harmful ones do not."""

from __future__ import annotations

import functools
import re
from collections import Counter

import pytest

from m2jax.clinic.condition import Condition, conditions
from m2jax.clinic.sample import condition_of, sample_case, sample_record
from m2jax.verifier.checks import met
from m2jax.verifier.rubric import Case

SEEN = {"emergency": "Call an ambulance now.", "today": "Please see a doctor today."}


@functools.cache
def cases() -> list[Case]:
    """150 of each split."""
    return [sample_case(seed, split) for split in ("train", "heldout") for seed in range(150)]


def good_reply(condition: Condition) -> str:
    """What the condition's own data say, and a question about all findings that matter."""
    advice = " ".join(a.text for a in condition.management)
    asks = f"What about {', '.join(f.cues[0] for f in condition.symptoms + condition.history if f.asks)}?"
    return (
        f"I'm sorry to hear that. This could be {condition.name}; {condition.differentials[0][0]} is possible too. "
        f"{SEEN.get(condition.urgency, 'Book an appointment with your doctor.')} {advice} Get urgent help if there is "
        f"{condition.red_flags.text}. {condition.safety_net.text} {asks} What medicines are you taking?"
    )


def score(case: Case, reply: str) -> tuple[int, int]:
    """Points from positive and from negative criteria with a check."""
    hit = [c.points for c in case.rubric if c.check and met(c.check, reply)]
    return sum(p for p in hit if p > 0), sum(p for p in hit if p < 0)


def test_what_a_rubric_holds() -> None:
    """6 to 13 criteria in the range of points, both signs, nearly all decided by machine."""
    for case in cases():
        assert 6 <= len(case.rubric) <= 13, case.id
        assert all(-10 <= c.points <= 10 for c in case.rubric)
        assert sum(c.check is None for c in case.rubric) <= 1
        assert len({c.text for c in case.rubric}) == len(case.rubric), case.id
        dimensions = Counter(c.dimension for c in case.rubric)
        assert dimensions["inquiry"] and dimensions["safety"] and dimensions["accuracy"] and dimensions["treatment"]
        assert any(c.points < 0 for c in case.rubric)
    assert {c.dimension for case in cases() for c in case.rubric} == {
        "inquiry",
        "safety",
        "accuracy",
        "treatment",
        "communication",
        "clarity",
    }


def test_a_good_reply_earns_most_and_loses_nothing() -> None:
    """Written from the condition's own data: at least 0.85 of the points, and none of the negative ones."""
    for case in cases():
        condition = next(c for c in conditions() if c.id == case.topic)
        reply = good_reply(condition)
        most = sum(c.points for c in case.rubric if c.check and c.points > 0)
        earned, _ = score(case, reply)
        missed = [c.text for c in case.rubric if c.check and c.points > 0 and not met(c.check, reply)]
        assert earned >= 0.85 * most, (case.id, missed)
        forbidden = [c.text for c in case.rubric if c.points < 0 and met(c.check, reply)]
        assert not [t for t in forbidden if "although" not in t], (case.id, forbidden)


@pytest.mark.parametrize("reply", ["", "Thank you.", "I cannot help with medical questions."])
def test_an_empty_reply_earns_nothing(reply: str) -> None:
    """No more than politeness does."""
    for case in cases():
        assert all(
            c.dimension == "communication" for c in case.rubric if c.check and c.points > 0 and met(c.check, reply)
        )


def test_every_criterion_can_be_met_and_missed() -> None:
    """Positive ones by the good reply, negative ones by one that does what must not be done."""
    for case in cases():
        condition = next(c for c in conditions() if c.id == case.topic)
        bad = "There is nothing to worry about. You definitely have it. " + " ".join(
            f"Take {re.sub(r'[(?:)]|s[?]|[?]', '', d.split('|')[0])} now. " for a in condition.avoid for d in a.drugs
        )
        bad += " ".join(f"{w.replace('*', '')}. " for a in condition.avoid for w in a.words)
        bad += "Well? Really? Why? When? "
        bad += "Take ibuprofen. Take aspirin. Take amoxicillin. Take trimethoprim. Take propranolol."
        for c in case.rubric:
            if c.check and c.points < 0:
                said = (bad, "There is nothing to worry about.", "Call an ambulance now.")
                assert any(met(c.check, text) for text in said), (case.id, c.text)
                assert not met(c.check, "")


def test_one_conditions_reply_does_not_win_anothers_rubric() -> None:
    """The good reply to another condition of the same urgency earns clearly less."""
    gaps = []
    for case in cases()[:100]:
        own = next(c for c in conditions() if c.id == case.topic)
        other = next(c for c in conditions() if c.urgency == own.urgency and c.specialty != own.specialty)
        gaps.append(score(case, good_reply(own))[0] - score(case, good_reply(other))[0])
    assert sum(gaps) / len(gaps) > 15


def test_the_rubric_asks_for_nothing_that_was_said() -> None:
    """No inquiry criterion about a finding whose text stands in the message."""
    for seed in range(100):
        case, record = sample_case(seed, "train"), sample_record(seed, "train")
        said = case.messages[-1]["content"].lower()
        for f in record.of("symptom"):
            if f.text.rstrip(".").lower() in said:
                name = f.id.removeprefix("symptom.").replace("-", " ")
                assert not any(re.match(rf"Asks about: {name}(?: \(|\.)", c.text) for c in case.rubric), case.id
        assert case.topic == condition_of(record).id


def test_an_allergy_that_was_told_is_minded() -> None:
    """A patient who speaks of her penicillin allergy loses points for a penicillin."""
    told = [c for c in cases() if "allergy to penicillin" in c.messages[-1]["content"]]
    assert told
    minded = [c for c in told if any("allergic to penicillin" in k.text for k in c.rubric)]
    assert len(minded) == len(told)
    for case in minded:
        criterion = next(k for k in case.rubric if "allergic to penicillin" in k.text)
        assert met(criterion.check, "Take amoxicillin three times a day.")
        assert not met(criterion.check, "Do not take amoxicillin, as you are allergic to it.")


def test_a_criterion_about_a_finding_names_what_its_check_looks_for() -> None:
    """Each of the words in it is enough."""
    for case in cases():
        findings = {f.id.replace("-", " "): f for c in conditions() for f in c.symptoms + c.history if f.asks}
        for c in case.rubric:
            if found := re.fullmatch(r"Asks about: (.*?) \(any of: (.*)\)\.", c.text):
                assert found[1] in findings
                assert all(met(c.check, f"Is there any {cue}?") for cue in found[2].split(", ")), c.text


def test_urgent_help_for_a_red_flag_may_be_said_in_the_words_of_its_text() -> None:
    """Of every condition: what is listed, in the doctor's words. Parts of a list may say nothing alone ("to drink")."""
    checks = {case.topic: c.check for case in cases() for c in case.rubric if c.text.startswith("Says to get urgent")}
    signs = [
        (check, sign)
        for c in conditions()
        if (check := checks.get(c.id))
        for sign in re.split(r",\s*(?:or\s+)?|\s+or\s+", c.red_flags.text)
    ]
    missed = [sign for check, sign in signs if not met(check, f"Get urgent help if there is {sign}.")]
    assert len(signs) > 200 and len(missed) < 0.05 * len(signs), missed
