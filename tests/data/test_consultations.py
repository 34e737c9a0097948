"""Consultations to learn from: the doctor asks what the case needs, ends with a plan, and alone is learned."""

from __future__ import annotations

import pytest

from configs import sft
from m2jax.clinic.sample import condition_of
from m2jax.data.consultations import AT_ONCE, ROUNDS, consultations
from m2jax.data.made import make_chats
from m2jax.patient.disclosed import asked
from m2jax.patient.gate import gate
from m2jax.patient.outcome import open_facts, outcome
from m2jax.patient.script import sample_script
from m2jax.train.sft import read_chats

N = 60


@pytest.fixture(scope="module", params=["train", "heldout"])
def made(request: pytest.FixtureRequest):
    chats = consultations(request.param, N, 100)
    return request.param, chats, [sample_script(100 + i, request.param).record for i in range(N)]


def test_first_replies_ask_for_what_is_told_only_when_asked_for(made):
    _, chats, records = made
    asks = [
        bool(open_facts(record) & set(asked(chat.messages[1].content, record).facts))
        for chat, record in zip(chats, records, strict=True)
    ]
    assert sum(asks) >= 0.95 * sum(bool(open_facts(record)) for record in records)


def test_every_consultation_ends_with_diagnosis_plan_and_safety_net(made):
    _, chats, records = made
    for chat, record in zip(chats, records, strict=True):
        said = tuple(m.content for m in chat.messages if m.role == "assistant")
        reached = outcome(record, said)
        assert reached.safety_net == 1 and condition_of(record).name in said[-1]
        assert gate(said, 99).stop and not any(gate(said[:i], 99).stop for i in range(1, len(said)))
        assert all(text.count("?") <= AT_ONCE[1] + 1 for text in said[:-1]) and len(said) <= ROUNDS + 1


def test_nothing_is_asked_twice_and_the_doctor_alone_is_learned(made):
    split, chats, _ = made
    assert len({chat.id for chat in chats}) == N and {chat.split for chat in chats} == {split}
    for chat in chats:
        assert [m.role for m in chat.messages] == ["user", "assistant"] * (len(chat.messages) // 2)
        assert [m.trained for m in chat.messages] == [m.role == "assistant" for m in chat.messages]
        questions = [m.content for m in chat.messages[1:-1:2]]
        assert len(set(questions)) == len(questions)


def test_they_are_made_by_name_and_by_seed():
    assert make_chats("consultations", 2, 1, 7) == make_chats("consultations", 2, 1, 7)
    assert make_chats("consultations", 2, 1, 7) != make_chats("consultations", 2, 1, 8)


@pytest.mark.parametrize(
    ("mixture", "n", "items"),
    [("items:1,consultations:1", 12, 6), ("items:3,consultations:1", 12, 9), ("items:1,consultations:2", 10, 4),
     ("items,consultations", 5, 3), ("consultations:1,items:99", 3, 2), ("items", 3, 3)],
)  # fmt: skip
def test_the_curriculum_learns_from_items_and_consultations_in_a_proportion(mixture: str, n: int, items: int):
    chats = [chat for chat in make_chats(mixture, n, max(2, n), 0) if chat.split == "train"]
    talks = [chat for chat in chats if chat.id.startswith("consultation")]
    assert (len(chats), len(chats) - len(talks)) == (n, items) and len({chat.id for chat in chats}) == n
    assert {chat.id for chat in talks} <= {chat.id for chat in consultations("train", n, 0)}


def test_the_sft_of_every_preset_has_all_three():
    for preset in ("smoke", "cpu", "7b", "32b"):
        config = sft.get_config(preset)
        train, heldout = read_chats(config if preset in ("smoke", "cpu") else sft.get_config("smoke"))
        assert config.data.made == "items:1,sums:1,consultations:3"
        for side in (train, heldout):
            assert len({chat.id.partition("-")[0] for chat in side if "sum" in chat.id or "cons" in chat.id}) == 2
            assert any(not chat.id.startswith(("sum-", "consultation-")) for chat in side)
