"""Does a reply follow its prompt's instructions? Strictly, or loosely; and the accuracies of IFEval.

    check_instruction("keywords:frequency", {"keyword": "rest", "frequency": 2, "relation": "at least"})   # at load
    follows("keywords:frequency", {...}, reply)                                                            # True

Loosely (arXiv 2311.07911, section 2.2) an instruction is followed where one of eight variants of the reply follows it:
without its first line (an introduction), its last (an outro), both or neither, each with its stars (bold type) and
without. A blank reply follows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from m2jax.rules.instructions.kinds import KINDS


def check_instruction(instruction_id: str, kwargs: Mapping[str, Any], prompt: str = "") -> dict[str, Any]:
    """The kwargs with which the type is checked: None counts as absent (as tables of all types' kwargs have it), and a
    request to repeat that is not named is the prompt. Raises ValueError for an unknown id, and for kwargs that are
    missing, unknown or not what they must be.
    """
    kind = KINDS.get(instruction_id)
    if kind is None:
        raise ValueError(f"unknown instruction {instruction_id!r}: take one of {', '.join(KINDS)}")
    given = {name: value for name, value in kwargs.items() if value is not None}
    if "prompt_to_repeat" in kind.kwargs and prompt.strip():
        given.setdefault("prompt_to_repeat", prompt)
    for name, kwarg in kind.kwargs.items():
        if name not in given:
            raise ValueError(f"{instruction_id} needs {name!r}: give it {kwarg.is_a}")
        if not kwarg.holds(given[name]):
            raise ValueError(f"{instruction_id}: {name!r} is {given[name]!r}; it must be {kwarg.is_a}")
    if unknown := sorted(given.keys() - kind.kwargs.keys()):
        takes = ", ".join(kind.kwargs) or "none"
        raise ValueError(f"{instruction_id} does not take {', '.join(map(repr, unknown))}: remove it; kwargs: {takes}")
    if given.get("nth_paragraph", 0) > given.get("num_paragraphs", 0):
        raise ValueError(
            f"{instruction_id}: 'nth_paragraph' is {given['nth_paragraph']} of {given['num_paragraphs']} paragraphs;"
            " lower it to one that there is"
        )
    return given


def follows(instruction_id: str, kwargs: Mapping[str, Any], reply: str, prompt: str = "") -> bool:
    """Whether the reply as it stands follows one instruction. Raises ValueError as `check_instruction` does."""
    checked = check_instruction(instruction_id, kwargs, prompt)
    return bool(reply.strip()) and KINDS[instruction_id].met(reply, **checked)


def strict(
    instruction_ids: Sequence[str], kwargs: Sequence[Mapping[str, Any]], reply: str, prompt: str = ""
) -> list[bool]:
    """Of each instruction of a prompt, whether the reply follows it."""
    return [follows(name, given, reply, prompt) for name, given in zip(instruction_ids, kwargs, strict=True)]


def loose(
    instruction_ids: Sequence[str], kwargs: Sequence[Mapping[str, Any]], reply: str, prompt: str = ""
) -> list[bool]:
    """Of each instruction of a prompt, whether some variant of the reply follows it; never less than `strict`."""
    replies = variants(reply)
    pairs = zip(instruction_ids, kwargs, strict=True)
    return [any(follows(name, given, variant, prompt) for variant in replies) for name, given in pairs]


def variants(reply: str) -> list[str]:
    """The reply, and the seven others that count loosely."""
    lines = reply.split("\n")
    parts = [reply, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return parts + [part.replace("*", "") for part in parts]
