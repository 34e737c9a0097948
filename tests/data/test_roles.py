"""Practice for the roles: in the prompts that the roles are asked, and right by the rules and the checks."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from m2jax.clinic.condition import conditions
from m2jax.clinic.sample import sample_case, sample_record
from m2jax.data import doctor_lines, explained, grading, replies, roles, stops
from m2jax.data.replies import load_replies
from m2jax.patient import claims
from m2jax.patient.disclosed import asked
from m2jax.patient.gate import question
from m2jax.patient.prompt import template
from m2jax.verifier.checks import met
from m2jax.verifier.judge_prompt import judge_messages


def by_prompt(chats):
    return {chat.messages[0].content: chat for chat in chats}


def test_the_conditions_of_the_splits_are_never_mixed():
    names = {split: {c.name for c in conditions() if c.split == split} for split in ("train", "heldout")}
    for split, other in (("train", "heldout"), ("heldout", "train")):
        for item in roles.drafts(split, 15, 0) + roles.rewrites(split, 15, 0):
            assert item.known.record.diagnosis in names[split] - names[other]
        for chat in grading.grader(split, 10, 0):
            assert chat.split == split


def test_a_draft_is_good_short_and_answers_in_the_units_prompt():
    head = template("affective").partition("{persona}")[0]
    for item in roles.drafts("train", 40, 0):
        assert item.prompt.startswith(head) and item.prompt.endswith("The patient's next reply:")
        assert roles.is_good(item.answer, item.known), item.answer
        assert len(roles._sentences(item.answer)) <= roles.MOST_SENTENCES + 1, item.answer
        for fact in item.known.kept:
            assert fact.disclosure == "volunteers" or fact.text.rstrip(".") not in item.answer


def test_a_rewrite_drops_what_is_wrong_and_invents_nothing():
    items = roles.rewrites("heldout", 40, 0)
    assert len(items) > 25
    for item in items:
        draft = item.prompt.partition("# The patient's reply\n")[2].partition("\n\n# Leave out\n")[0]
        faults = [c for c in claims.judge(draft.replace("\n> ", " ").removeprefix("> "), item.known) if not c.good]
        assert faults and roles.is_good(item.answer, item.known)
        assert not any(fault.text in item.answer for fault in faults)


def test_claims_are_balanced_and_share_their_beginning():
    chats = [c for c in roles.factual("train", 30, 0) if c.topic == "supported"]
    answers = Counter(c.messages[1].content for c in chats)
    assert answers["Yes"] == answers["No"] > 30
    for chat in chats:
        claim = chat.messages[0].content.partition("# The patient says\n> ")[2].partition("\n\n")[0]
        known = chat.messages[0].content.partition("# Known\n")[2].partition("\n\n")[0]
        assert (
            chat.messages[1].content == "No"
            or claim in known
            or claim.split()[0] in ("Well,", "Um,", "So,", "Oh,", "Hm,", "I", "As")
        )


def test_the_grader_is_asked_as_the_judge_is_and_told_what_the_checks_say():
    answers: dict[str, Counter] = {}
    for chat in grading.grader("heldout", 40, 3):
        answers.setdefault(chat.id.rpartition("-")[0], Counter())[chat.messages[1].content] += 1
    assert len(answers) == 40 and all(n["No"] >= n["Yes"] for n in answers.values())
    total = sum(answers.values(), Counter())
    assert 0.25 < total["Yes"] / total.total() < 0.5
    case, reply = sample_case(7, "heldout"), "Please see a doctor today. Have you had any fever?"
    prompts = by_prompt(grading._question(case, reply, c, "Yes", "x-0") for c in case.rubric)
    assert set(prompts) == {judge_messages(case.messages, reply, c)[0]["content"] for c in case.rubric}


def test_what_a_reply_is_said_to_state_stands_in_it_or_does_not():
    for seed in range(30):
        case, rng = sample_case(seed, "train"), np.random.default_rng(seed)
        reply = grading.composed_reply(case, rng)
        for criterion, answer in grading._statements(case, reply, rng):
            said = criterion.text.partition(" that ")[2].rstrip(".").lower()
            assert (said in reply.lower()) is (answer == "Yes"), (criterion.text, reply)


def test_an_explanation_makes_some_statements_and_leaves_others_out():
    for seed in range(40):
        case, reply, asked = explained.explanation("heldout", "x", np.random.default_rng(seed))
        condition = next(c for c in conditions() if c.id == case.topic)
        answers = Counter(answer for _, answer in asked)
        assert condition.split == "heldout" and answers["Yes"] == explained.ASKED and answers["No"] > 0
        for criterion, answer in asked:
            for name in condition.names[:2]:
                if criterion.text in (
                    f"States that another name for {condition.name} is {name}.",
                    f"States that {name} means the same as {condition.name}.",
                ):
                    assert (f"also called {name}." in reply) is (answer == "Yes"), (criterion.text, reply)


def test_the_gate_is_asked_about_messages_that_are_labelled_one_in_twenty_held_out():
    train, held = (roles.gate(split, 10_000, 0) for split in ("train", "heldout"))
    assert 0.9 < len(held) / (len(stops.labelled()) / stops.HELD_OUT) < 1.1 and len(train) > 15 * len(held)
    assert {c.messages[0].content for c in train}.isdisjoint(c.messages[0].content for c in held)
    assert 0.4 < np.mean([c.messages[1].content == "Yes" for c in held]) < 0.6
    yes = {question(row.messages) for row in stops.split_rows("train") if row.stop}
    for chat in train:
        assert (chat.messages[0].content in yes) is (chat.messages[1].content == "Yes")
    longest = max(Counter(c.group for c in train).values())
    assert 10 < longest < 200 and roles.gate("train", 30, 0) == train[:30]


def test_composed_replies_meet_criteria_and_miss_others():
    rng = np.random.default_rng(0)
    verdicts = []
    for seed in range(60):
        case = sample_case(seed, "train")
        reply = grading.composed_reply(case, rng)
        verdicts += [(c.points > 0, met(c.check, reply)) for c in case.rubric if c.check]
    share = {
        sign: sum(m for s, m in verdicts if s is sign) / sum(s is sign for s, _ in verdicts) for sign in (True, False)
    }
    assert 0.1 < share[True] < 0.6 and 0.02 < share[False] < 0.5


def test_a_doctors_line_mostly_asks_for_something_of_the_record():
    rng = np.random.default_rng(0)
    records = [sample_record(seed, "train") for seed in range(50)]
    lines = [(r, doctor_lines.doctor_line(r, rng)) for r in records for _ in range(4)]
    assert sum(bool(asked(line, record).facts) for record, line in lines) > 0.6 * len(lines)
    assert len({line for _, line in lines}) > 100


def test_questions_about_a_fact_ask_for_it_however_they_are_put():
    other = doctor_lines.NAMED_OTHERWISE, doctor_lines.OF_KIND_OTHERWISE
    right = []
    for seed in range(30):
        record = sample_record(seed, "train")
        for fact in (f for f in record.facts if f.disclosure in ("asked", "private")):
            lines = [*doctor_lines.questions_about(fact), *doctor_lines.questions_about(fact, *other)]
            right += [fact.id in asked(line, record).facts for line in lines]
    assert np.mean(right) > 0.97


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ('{"split": "train", "seed": 1}', "needs split"),
        ('{"split": "test", "seed": 1, "reply": "a"}', "needs split"),
        ('{"split": "train", "seed": "1", "reply": "a"}', "seed is '1'"),
    ],
)
def test_a_bad_line_of_replies_is_named(tmp_path, line, said):
    file = tmp_path / "replies.jsonl"
    file.write_text('{"split": "train", "seed": 1, "reply": "a"}\n' + line + "\n")
    with pytest.raises(ValueError, match=f"replies.jsonl:2: .*{said}"):
        load_replies("train", str(file))


def test_a_reply_may_hold_any_line_end_of_unicode(tmp_path):
    file, reply = tmp_path / "replies.jsonl", "Rest.\u2028Drink.\u0085Sleep."
    row = {"split": "train", "seed": 1, "reply": reply}
    file.write_text(json.dumps(row, ensure_ascii=False) + "\n", "utf-8")
    assert load_replies("train", str(file)) == [(1, reply)]


def test_a_writer_does_most_of_what_is_wished_for():
    did = []
    for seed in range(40):
        case, rng = sample_case(seed, "train"), np.random.default_rng(seed)
        wished = replies.wishes(case, rng)
        assert 1 <= len(wished) <= replies.WISHES and all(c.text in replies.request(case, wished) for c in wished)
        reply = grading.composed_reply(case, rng, wished)
        did += [met(c.check, reply) for c in wished if c.check]
    assert 0.6 < sum(did) / len(did) < 0.95
    (chat,) = grading.writer("heldout", 1, 0)
    assert chat.messages[1].trained and chat.split == "heldout"
