"""The scripted doctor: what it asks is what it says it asks, by seed, and it comes to an end."""

from __future__ import annotations

import pytest

from m2jax.clinic.doctor import moves
from m2jax.clinic.sample import sample_record


def test_a_script_is_the_same_for_a_seed_and_ends_with_the_message_that_ends_it():
    for seed in range(30):
        record = sample_record(seed, "heldout")
        script = moves(record, seed, 6)
        assert script == moves(record, seed, 6) and len(script) == 6
        assert [m.ends for m in script] == [False] * 5 + [True]
        assert all(m.asks and m.asks <= {f.id for f in record.facts} for m in script[:-1])
        hidden = {f.id for f in record.facts if f.disclosure == "hidden"}
        assert not any(m.asks & hidden for m in script)


def test_what_is_private_is_asked_for_in_some_and_only_by_its_own_question():
    private = 0
    for seed in range(40):
        record = sample_record(seed, "heldout")
        kept = {f.id: f for f in record.facts if f.disclosure == "private"}
        for move in moves(record, seed, 6):
            asked = move.asks & set(kept)
            private += bool(asked)
            assert len({kept[i].id.split(".")[1] for i in asked}) <= 1, move
    assert private > 20


def test_too_few_rounds_are_refused():
    with pytest.raises(ValueError, match="rounds is 1"):
        moves(sample_record(0, "heldout"), 0, 1)
