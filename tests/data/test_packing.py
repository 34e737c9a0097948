"""Packing: every chat once, little waste, and arrays that say of each token what it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2jax.data.chats import Chat
from m2jax.data.packing import fill, pack, segments, trained_tokens
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from tests.train import tiny_run


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(tiny_run.write_model(tmp_path_factory.mktemp("tiny") / "model"))


def chat(name: str, *texts: str, group: str = "") -> Chat:
    roles = ("user", "assistant") * len(texts)
    messages = tuple(Message(r, t, r == "assistant") for r, t in zip(roles, texts, strict=False))
    return Chat(name, messages, group=group)


CHATS = [
    chat("a", "I cough.", "Since when?", "A week.", "Any fever?"),
    chat("b1", "Is it red? It is warm.", "Yes", group="b"),
    chat("b2", "Is it red? It is a very cold one.", "No", group="b"),
    chat("b3", "Is it red? It", "Yes", group="b"),
    chat("c", "My head hurts.", "How long?"),
]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(50, 80))
def test_every_item_lies_in_one_row_that_holds_it(lengths: list[int], size: int):
    rows = pack(lengths, size)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    used = [sum(lengths[i] for i in row) for row in rows]
    assert max(used) <= size
    # best fit: two rows that would go into one are never left
    assert sum(2 * u <= size for u in used) <= 1


def test_best_fit_wastes_little():
    lengths = np.random.default_rng(0).integers(20, 400, 500).tolist()
    rows = pack(lengths, 1024)
    assert sum(lengths) / (1024 * len(rows)) > 0.97


def test_targets_are_the_trained_tokens_and_are_predicted_from_the_one_before(tokenizer: Tokenizer):
    for segment in segments(tokenizer, CHATS, 200):
        for i in set(segment.owners.tolist()):
            rendered = render(tokenizer, CHATS[i].messages, add_generation_prompt=False)
            own = segment.owners == i
            (branch,) = set(segment.branches[segment.at[own]].tolist()) - {0} or {0}
            seen = np.flatnonzero((segment.branches == 0) | (segment.branches == branch))
            np.testing.assert_array_equal(segment.tokens[seen], rendered.tokens)
            np.testing.assert_array_equal(segment.positions[seen], np.arange(len(seen)))
            trained = np.flatnonzero(rendered.trained)
            np.testing.assert_array_equal(segment.at[own], seen[trained - 1])
            np.testing.assert_array_equal(segment.targets[own], rendered.tokens[trained])
            said = {CHATS[i].messages[m].role for m in rendered.roles[trained]}
            assert len(trained) and said == {"assistant"}


def test_a_row_holds_its_segments_one_after_another(tokenizer: Tokenizer):
    made = segments(tokenizer, CHATS, 200)
    batch = fill(made, [[0, 2], [], [1]], (200, 64), 0.25, branched=True)
    a, c = made[0], made[2]
    n, k = len(a.tokens), len(a.at)
    for name in ("tokens", "positions", "branches"):
        want = np.concatenate([getattr(a, name), getattr(c, name)])
        np.testing.assert_array_equal(getattr(batch, name)[0, : len(want)], want)
    assert batch.segments[0].tolist() == [1] * n + [2] * len(c.tokens) + [0] * (200 - n - len(c.tokens))
    np.testing.assert_array_equal(batch.at[0, k : k + len(c.at)], c.at + n)
    np.testing.assert_array_equal(batch.targets[0, k : k + len(c.at)], c.targets)
    assert not batch.segments[1].any() and not batch.weight[1].any()
    assert [trained_tokens(made, row) for row in ([0, 2], [], [1])] == (batch.weight == 0.25).sum(1).tolist()
    assert fill(made, [[0]], (200, 64), 1.0, branched=False).branches is None


def test_a_group_is_computed_once_and_shares_nothing_that_is_trained(tokenizer: Tokenizer):
    grouped = segments(tokenizer, CHATS[1:4], 200)
    alone = segments(tokenizer, [dataclasses.replace(c, group="") for c in CHATS[1:4]], 200)
    (one,) = grouped
    shared = int((one.branches == 0).sum())
    assert shared > 10 and len(one.tokens) == sum(len(s.tokens) for s in alone) - 2 * shared
    assert sorted(one.targets.tolist()) == sorted(t for s in alone for t in s.targets.tolist())
    same = [chat("x", "Hi.", "Yes it is", group="g"), chat("y", "Hi.", "Yes it was", group="g")]
    (one,) = segments(tokenizer, same, 200)
    assert len(one.at) == sum(
        len(s.at) for s in segments(tokenizer, [dataclasses.replace(c, group="") for c in same], 99)
    )


def test_what_is_too_long_is_named(tokenizer: Tokenizer, tmp_path: Path):
    with pytest.raises(ValueError, match=r"chat a has \d+ tokens; config.data.row_tokens is 9"):
        segments(tokenizer, CHATS[:1], 9)
    with pytest.raises(ValueError, match=r"group b has \d+ tokens"):
        segments(tokenizer, CHATS[1:4], 9)
