"""Chats from a file: what is trained on, and every error with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from m2jax.data.chats import load_chats, parse_chat, split_chats
from m2jax.data.made import MADE, make_chats

ASK, ANSWER = {"role": "user", "content": "I cough."}, {"role": "assistant", "content": "Since when?"}


def line(name: str, *messages: dict, **more: object) -> str:
    return json.dumps({"id": name, "messages": list(messages or (ASK, ANSWER)), **more}, ensure_ascii=False)


def test_the_assistant_is_trained_unless_a_message_says_otherwise(tmp_path: Path):
    file = tmp_path / "chats.jsonl"
    first = [ASK, ANSWER | {"trained": False}, ASK | {"trained": True}, ANSWER]
    file.write_text("\n".join([line("a", *first, topic="cough"), "", line("b", split="heldout")]) + "\n")
    a, b = load_chats(file)
    assert [m.trained for m in a.messages] == [False, False, True, True]
    assert (a.topic, a.split, b.topic, b.split) == ("cough", "train", "", "heldout")
    assert split_chats([a, b], "here") == ([a], [b])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting"),
        ("[]", r"chat is \[\]"),
        (line("a"), "id 'a' is also used on line 1"),
        (line("c", note=1), r"unknown keys \['note'\]"),
        ('{"id": "c"}', r"lacks the keys \['messages'\]"),
        (line("c", split="test"), "split is 'test'"),
        (line("c", topic=3), "topic is 3"),
        (line(" "), "id is ' '"),
        ('{"id": "c", "messages": {}}', "messages is {}"),
        (line("c", ASK), "no message is trained on"),
        (line("c", ASK, {"role": "assistant", "content": " "}), r"messages\[1\] content is ' '"),
        (line("c", ASK, ANSWER | {"trained": 1}), r"messages\[1\] trained is 1"),
        (line("c", ASK, {"role": "assistant"}), r"messages\[1\] lacks the keys \['content'\]"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, said: str):
    file = tmp_path / "chats.jsonl"
    file.write_text(f"{line('a')}\n\n{text}\n")
    with pytest.raises(ValueError, match=rf"chats.jsonl:3: .*{said}"):
        load_chats(file)


def test_a_file_without_chats_and_one_without_a_split_are_named(tmp_path: Path):
    file = tmp_path / "chats.jsonl"
    file.write_text("\n")
    with pytest.raises(ValueError, match="the file has no chats"):
        load_chats(file)
    with pytest.raises(ValueError, match="here has no chat with split 'heldout'"):
        split_chats([parse_chat(json.loads(line("a")))], "here")


@pytest.mark.parametrize("name", sorted(MADE))
def test_made_chats_have_both_splits_and_come_from_the_seed(name: str):
    train, heldout = split_chats(make_chats(name, 6, 4, seed=3), name)
    assert len(train) >= 6 and len(heldout) >= 4
    assert len({chat.id for chat in train}) == len(train)
    assert make_chats(name, 6, 4, seed=3) == [*train, *heldout] != make_chats(name, 6, 4, seed=4)
    for chat in (*train, *heldout):
        assert chat.messages[-1].role == "assistant" and [m.trained for m in chat.messages][-1]


def test_what_cannot_be_made_is_named():
    with pytest.raises(ValueError, match="config.data.made is 'jokes'; name one or several.*items"):
        make_chats("jokes", 1, 1, 0)
    with pytest.raises(ValueError, match="config.data.train 0"):
        make_chats("items", 0, 1, 0)
