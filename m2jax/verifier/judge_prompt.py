"""The question a judge is asked about one criterion: does the doctor's last reply meet it, Yes or No.

Order, as in the paper's appendix A: task line, `# Conversation`, `# Rubric item`, instruction. The criterion
comes last, so that all criteria of one sign share everything before it, and a sampler computes that prefix
once. Positive and negative criteria are asked in different words ("does the reply do this", "does it make
this mistake"), since one wording made judges answer "is the reply good" to negative ones; these differ in the
first line, hence have different prefixes: batch them apart. In both, met means P(Yes) > P(No): for a negative
criterion, the bad thing is there. The answer is read off the next token's probabilities, not generated.

The conversation holds what patients and models wrote, so it must not be able to pass for a heading or for
another turn. Every content line starts with "> " and every heading with a letter or "#": no content can forge
one, at a cost of about a token a line (JSON quoting costs more, in tokens and in what a small judge
understands). Control tokens are the tokenizer's business: this text is data and is to be encoded as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources

from m2jax.verifier.rubric import Criterion

READ, REASON = "prompts", "prompts/reasoned"  # the answer is one word; a reason and then a verdict (`reasons`)

_HEADINGS = {"system": "Setting", "user": "Patient", "assistant": "Doctor"}


def judge_messages(
    case_messages: Sequence[dict[str, str]], reply_text: str, criterion: Criterion, prompts: str = READ
) -> list[dict[str, str]]:
    """The chat (one user message) that asks about `reply_text`, the doctor's answer to `case_messages`."""
    conversation = [(message["role"], message["content"]) for message in case_messages]
    prefix, suffix = judge_parts([*conversation, ("assistant", reply_text)], criterion, prompts)
    return [{"role": "user", "content": prefix + suffix}]


def judge_parts(conversation: Sequence[tuple[str, str]], criterion: Criterion, prompts: str = READ) -> tuple[str, str]:
    """(prefix, suffix) of the user message to the judge; the message is their sum.

    The prefix depends on the conversation and on the sign of the criterion's points only; the suffix on the
    criterion only. `conversation` is (role, text) pairs that end with the assistant's reply, else ValueError. prompts:
    READ or REASON.
    """
    if not conversation or conversation[-1][0] != "assistant":
        last = conversation[-1][0] if conversation else None
        raise ValueError(f"the conversation ends with the role {last!r}; it must end with the assistant's reply")
    head, middle, tail = _template(prompts, "positive" if criterion.points > 0 else "negative")
    turns = "\n".join(_turn(role, text) for role, text in conversation)
    return head + turns + middle, " " + " ".join(criterion.text.split()) + tail


def quoted(messages: Sequence[dict[str, str]]) -> str:
    """A conversation as a prompt shows it: who speaks, and what is said behind "> "."""
    return "\n".join(_turn(message["role"], message["content"]) for message in messages)


def _turn(role: str, text: str) -> str:
    if role not in _HEADINGS:
        raise ValueError(f"role is {role!r}; use one of {', '.join(_HEADINGS)}")
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]  # splitlines: every Unicode line end
    return "\n".join([f"{_HEADINGS[role]}:", *(f"> {line}" for line in lines or ["(nothing)"])])


@cache
def _template(folder: str, name: str) -> tuple[str, str, str]:
    """The text before the conversation, between it and the criterion, and after the criterion.

    The space before the criterion goes with the criterion: tokenizers join a space to the word that follows.
    """
    text = resources.files("m2jax.verifier").joinpath(folder, f"{name}.txt").read_text("utf-8").rstrip("\n")
    head, _, rest = text.partition("{conversation}")
    middle, _, tail = rest.partition(" {criterion}")
    return head, middle, tail
