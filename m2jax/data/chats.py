"""Chats to learn from, and their JSONL form.

One line of a file is one chat:

    {"id": "cough-01", "topic": "cough", "split": "train",
     "messages": [{"role": "user", "content": "I cough."}, {"role": "assistant", "content": "Since when?"}]}

`split` is "train" (the default) or "heldout", `topic` what the report groups by (default ""). What the assistant says
is trained on, other roles are not; a message may say otherwise by "trained": true or false. Blank lines are skipped;
anything unknown, missing or doubtful is an error that names the file and the line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from m2jax.data import jsonl
from m2jax.text.chat import Message
from m2jax.verifier.rubric import SPLITS


@dataclasses.dataclass(frozen=True)
class Chat:
    """A conversation, of which the messages marked as trained are learned. group: chats that follow one another with
    the same group (not "") begin alike, and what they share is computed once.
    """

    id: str
    messages: tuple[Message, ...]
    topic: str = ""
    split: str = "train"
    group: str = ""

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"split is {self.split!r}; write one of {', '.join(SPLITS)}")
        if not any(message.trained for message in self.messages):
            raise ValueError("no message is trained on; add one of the assistant, or mark one with 'trained': true")


def load_chats(path: str | Path) -> list[Chat]:
    """The chats of a JSONL file in its order. ValueError is `file:line: what is wrong, with the value`."""
    return jsonl.load(path, "chat", parse_chat)


def parse_chat(raw: object) -> Chat:
    """The chat of one decoded JSON line. ValueError says what is wrong, without file and line."""
    fields = jsonl.fields("chat", raw, {"id", "messages"}, {"topic", "split"})
    for name in fields.keys() & {"id", "topic", "split"}:
        if not isinstance(fields[name], str) or (name == "id" and not fields[name].strip()):
            raise ValueError(f"{name} is {fields[name]!r}; give a text")
    if not isinstance(fields["messages"], list):
        raise ValueError(f"messages is {fields['messages']!r}; give a list of objects with 'role' and 'content'")
    messages = tuple(_message(i, item) for i, item in enumerate(fields["messages"]))
    return Chat(**fields | {"messages": messages})


def to_json(chat: Chat) -> dict[str, object]:
    """What `parse_chat` reads."""
    messages = [dataclasses.asdict(message) for message in chat.messages]
    return {"id": chat.id, "topic": chat.topic, "split": chat.split, "messages": messages}


def split_chats(chats: Sequence[Chat], where: str) -> tuple[list[Chat], list[Chat]]:
    """(training chats, held-out chats); ValueError names `where` they are from if a split is empty."""
    parts = tuple([chat for chat in chats if chat.split == split] for split in SPLITS)
    for name, part in zip(SPLITS, parts, strict=True):
        if not part:
            raise ValueError(f"{where} has no chat with split {name!r}; mark some, to learn from and to test on")
    return parts


def _message(index: int, raw: object) -> Message:
    fields = jsonl.fields(f"messages[{index}]", raw, {"role", "content"}, {"trained"})
    for name in ("role", "content"):
        if not isinstance(fields[name], str) or not fields[name].strip():
            raise ValueError(f"messages[{index}] {name} is {fields[name]!r}; give a text that is not empty")
    trained = fields.get("trained", fields["role"] == "assistant")
    if not isinstance(trained, bool):
        raise ValueError(f"messages[{index}] trained is {trained!r}; give true or false")
    return Message(fields["role"], fields["content"], trained)
