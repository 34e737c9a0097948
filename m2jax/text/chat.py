"""Chats to tokens: the only place where a conversation becomes token ids.

The model's own Jinja chat template lays the conversation out. How text is kept from becoming a control token:
- Before rendering, every content is framed by two marks: private-use characters that occur nowhere in the
  conversation, chosen afresh for each call. In it, characters that can begin a control are swapped for
  private stand-ins, so that no cutting and joining by the template can spell one; strings the template itself
  looks for (`</think>`) are left. A content of token ids is a single mark.
- After rendering, control tokens are read only from text that lies outside all contents, then marks and
  stand-ins are undone. What lies between two controls is encoded as one stretch of plain text, by
  `Tokenizer.encode`, which cannot produce a control; so benign text gets the ids Hugging Face gives it.
- Token ids are spliced in where their mark is. They are never decoded.

The outer whitespace of a content stays outside its marks, so that a template's `trim` works; it counts as
scaffolding. A token that straddles scaffolding and content counts as content.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise
from os.path import commonprefix
from typing import Any

import jinja2
import numpy as np

from m2jax.text.template import run_template, sought
from m2jax.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Message:
    """One message: plain text, or the token ids of a policy's own output, which are used verbatim.

    trained: whether the content, and the end-of-turn token after it, are trained on.
    """

    role: str
    content: str | Sequence[int]
    trained: bool = False


@dataclass(frozen=True)
class Rendered:
    """A conversation of T tokens.

    tokens: int32 [T].
    roles: int32 [T], the index of the message a token belongs to, -1 for the template's scaffolding. The
        control right after a content ends that message's turn and belongs to it.
    trained: bool [T].
    """

    tokens: np.ndarray
    roles: np.ndarray
    trained: np.ndarray


def render(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    add_generation_prompt: bool = True,
    *,
    chat_template: str | None = None,
    **template_kwargs: Any,
) -> Rendered:
    """Lay out `messages` with the tokenizer's chat template, or with `chat_template`.

    `template_kwargs` reach the template (`enable_thinking=False`); text in them is plain text too. If token
    ids end with the very control that the template writes after them, it appears once. A template may drop or
    alter text; what is left of it keeps its message's index. Raises ValueError if there is no template, if it
    does not parse or refuses, for a role that is no word, and for token ids that do not appear exactly once.
    """
    template = chat_template if chat_template is not None else tokenizer.chat_template
    if template is None:
        raise ValueError("the model has no chat template: pass chat_template=, such as CHATML of m2jax.text.template")
    for i, message in enumerate(messages):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", message.role):
            raise ValueError(f"message {i} has the role {message.role!r}: a role is a word, like user or assistant")
        if not isinstance(message.content, str) and any(token < 0 for token in message.content):
            raise ValueError(f"message {i} ({message.role}) has a negative token id {min(message.content)}")
    frame = _frame(tokenizer, messages, template, template_kwargs)
    text_of = {i: text for text, i in tokenizer.controls.items()}
    named = {"bos_token": tokenizer.bos_id, "eos_token": next(iter(tokenizer.eos_ids), None)}
    named = {name: text_of[i] for name, i in named.items() if i in text_of}
    variables = {"tools": None, "documents": None, **named, **_map_strings(template_kwargs, frame.guard)}
    variables["messages"] = [{"role": m.role, "content": frame.mark(i, m)} for i, m in enumerate(messages)]
    variables["add_generation_prompt"] = add_generation_prompt
    try:
        laid_out = run_template(template, variables)
    except (jinja2.TemplateError, TypeError) as error:
        raise ValueError(f"the chat template failed: {frame.undo(str(error))}") from error
    layout = _read_marks(laid_out, frame, messages)
    return _to_tokens(layout, tokenizer, messages)


# --- Marks -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Frame:
    """The private characters of one call: message i lies between opens[i] and closes[i]."""

    opens: str
    closes: str
    stand_ins: dict[str, str]  # character that can begin a control -> private character
    begins: re.Pattern[str]
    sought: re.Pattern[str]  # what is left as it is: strings the template looks for
    controls: re.Pattern[str]
    starts: re.Pattern[str]  # where a control is spelt, also inside the spelling of another one

    def guard(self, text: str) -> str:
        """`text` in which no part can be, or be joined to, the spelling of a control."""
        kept = {i for match in self.sought.finditer(text) for i in range(*match.span())}
        kept -= {match.start() for match in self.starts.finditer(text)}
        return self.begins.sub(lambda m: m[0] if m.start() in kept else self.stand_ins[m[0]], text)

    def mark(self, i: int, message: Message) -> str:
        """What the template gets to see as the content of message i."""
        if not isinstance(message.content, str):
            return self.opens[i]
        core = message.content.strip()
        if not core and not message.trained:  # leave an empty content empty: templates ask whether it is
            return message.content
        before, _, after = message.content.partition(core) if core else (message.content, "", "")
        return before + self.opens[i] + self.guard(core) + self.closes[i] + after

    def undo(self, text: str) -> str:
        """`text` without marks and stand-ins."""
        originals = {private: c for c, private in self.stand_ins.items()}
        return text.translate(str.maketrans(originals | dict.fromkeys(self.opens + self.closes, "")))


def _frame(tokenizer: Tokenizer, messages: Sequence[Message], template: str, kwargs: dict[str, Any]) -> _Frame:
    contents = [message.content for message in messages if isinstance(message.content, str)]
    used = set("".join([template, json.dumps(kwargs, ensure_ascii=False, default=str), *contents]))
    fresh = (chr(code) for plane in (0xF, 0x10) for code in range(plane << 16, (plane << 16) + 0xFFFE))
    controls, n = tuple(tokenizer.controls), len(messages)
    begins = sorted({text[0] for text in controls})
    taken = list(islice((c for c in fresh if c not in used), 2 * n + len(begins)))
    if len(taken) < 2 * n + len(begins):
        raise ValueError(
            "the conversation holds so many of the private-use characters from U+F0000 on that none is left"
        )
    return _Frame(
        opens="".join(taken[:n]),
        closes="".join(taken[n : 2 * n]),
        stand_ins=dict(zip(begins, taken[2 * n :], strict=True)),
        begins=_any_of(tuple(begins)),
        sought=_any_of(sought(template, controls)),
        controls=_any_of(controls),
        starts=_any_of(controls, "(?=%s)"),  # a look-ahead consumes nothing
    )


@lru_cache(maxsize=64)
def _any_of(texts: tuple[str, ...], form: str = "%s") -> re.Pattern[str]:
    """Matches the longest of `texts` at a place; with none, nothing."""
    return re.compile(form % ("|".join(re.escape(t) for t in sorted(texts, key=len, reverse=True)) or "(?!)"))


def _map_strings(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_map_strings(k, change): _map_strings(v, change) for k, v in value.items()}
    return [_map_strings(item, change) for item in value] if isinstance(value, list | tuple) else value


# --- From the laid-out text to tokens --------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """The conversation as text of C characters, without its marks."""

    text: str
    guarded: str  # the same with stand-ins: where it spells a control, the template means one
    owners: np.ndarray  # int32 [C], message index or -1
    cuts: list[int]  # where a mark was: no control spans these
    ends: dict[int, int]  # position -> message whose content ends there
    splices: dict[int, list[int]]  # position -> messages whose token ids belong there


def _read_marks(laid_out: str, frame: _Frame, messages: Sequence[Message]) -> _Layout:
    marks = {c: (i, True) for i, c in enumerate(frame.opens)} | {c: (i, False) for i, c in enumerate(frame.closes)}
    pieces = re.split(f"([{frame.opens}{frame.closes}])", laid_out) if marks else [laid_out]
    bare = "".join(pieces[::2])
    owners = np.full(len(bare), -1, np.int32)
    cuts, ends, splices, opened, position = [], {}, {}, {}, len(pieces[0])
    for mark, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        i, opens = marks[mark]
        cuts.append(position)
        if not isinstance(messages[i].content, str):
            splices.setdefault(position, []).append(i)
            ends[position] = i
        elif opens:
            opened[i] = position
        else:
            start = opened.pop(i, None)
            if start is None:  # the template cut the beginning off: what is left ends here
                since = max((match.end() for match in frame.controls.finditer(bare, 0, position)), default=0)
                start = position - _shared_end(bare[since:position], frame.guard(messages[i].content.strip()))
            owners[start:position] = i
            ends[position] = i
        position += len(piece)
    for i, start in opened.items():  # the template cut the end off: what is left starts here
        until = frame.controls.search(bare, start)
        left = bare[start : until.start() if until else len(bare)]
        length = len(commonprefix([left, frame.guard(messages[i].content.strip())]))
        owners[start : start + length] = i
        ends[start + length] = i
    found = Counter(i for group in splices.values() for i in group)
    for i, message in enumerate(messages):
        if not isinstance(message.content, str) and found[i] != 1:
            raise ValueError(
                f"the chat template shows message {i} ({message.role}) {found[i]} times, but token ids must "
                "appear exactly once: drop the message or use another template"
            )
    return _Layout(frame.undo(bare), bare, owners, cuts, ends, splices)


def _shared_end(text: str, content: str) -> int:
    """Length of what `text` ends with of `content`; the whitespace a cut leaves in front is not counted."""
    length = len(commonprefix([text[::-1], content[::-1]]))
    return length if length == len(content) else len(content[len(content) - length :].lstrip())


def _find_controls(layout: _Layout, tokenizer: Tokenizer) -> list[tuple[int, int, int]]:
    """(start, end, id) of the controls the template wrote: outside all contents, and across no mark."""
    changes = np.flatnonzero(np.diff(layout.owners)) + 1
    edges = sorted({0, len(layout.text), *layout.cuts, *changes.tolist()})
    spelling = _any_of(tuple(tokenizer.controls))
    return [
        (start + match.start(), start + match.end(), tokenizer.controls[match.group()])
        for start, end in pairwise(edges)
        if layout.owners[start] < 0
        for match in spelling.finditer(layout.guarded[start:end])
    ]


def _to_tokens(layout: _Layout, tokenizer: Tokenizer, messages: Sequence[Message]) -> Rendered:
    """Controls and spliced ids in their places, and each stretch of text between them encoded in one go."""
    tokens: list[int] = []
    roles: list[int] = []

    def text(start: int, end: int) -> None:
        ids, offsets = tokenizer.encode_with_offsets(layout.text[start:end], at_start=not tokens)
        tokens.extend(ids)
        owners = layout.owners[start:end].tolist()
        roles.extend(next((i for i in owners[first:last] if i >= 0), -1) for first, last in offsets)

    events = [(start, end, None, token) for start, end, token in _find_controls(layout, tokenizer)]
    events += [(position, position, i, -1) for position, group in layout.splices.items() for i in group]
    events.sort(key=lambda event: event[:2])
    done = 0
    for start, end, i, token in events:
        text(done, start)
        if i is not None:
            ids = [int(token) for token in messages[i].content]
            tokens.extend(ids)
            roles.extend([i] * len(ids))
        else:
            owner, verbatim = _ended_turn(layout, tokenizer, messages, done, start, token)
            if not verbatim:
                tokens.append(token)
                roles.append(owner)
        done = end
    text(done, len(layout.text))
    owners = np.array(roles, np.int32)
    flags = np.array([message.trained for message in messages] + [False])  # the last one is for index -1
    return Rendered(np.array(tokens, np.int32), owners, flags[owners])


def _ended_turn(
    layout: _Layout, tokenizer: Tokenizer, messages: Sequence[Message], since: int, start: int, token: int
) -> tuple[int, bool]:
    """Which message's turn the control at `start` ends (-1: none), and whether its token ids hold it already.

    It has to follow a content that ended at or after `since`: at once, or, if it is an eos, after whitespace.
    """
    position = start
    while position > since and position not in layout.ends and layout.text[position - 1].isspace():
        position -= 1
    if position not in layout.ends or (position < start and token not in tokenizer.eos_ids):
        return -1, False
    owner = layout.ends[position]
    content = messages[owner].content
    held = not isinstance(content, str) and position == start and len(content) > 0 and content[-1] == token
    return owner, held
