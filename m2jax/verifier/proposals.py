"""Criteria of a slice by a model: proposed one by one as constrained JSON, then sifted (paper section 2).

Each proposal is one small JSON object, so that a small model always completes it, and all share the prompt. Half are
asked for what the reply should do, half for what it should not. `sift` drops what is broken, vague or said before.
`separating` tells which criteria ever tell two replies apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Sequence
from functools import cache
from importlib import resources
from typing import Any

from m2jax.records.record import Record
from m2jax.sampler.requests import Chat, Generate
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.generator import DIMENSIONS
from m2jax.verifier.judge_prompt import quoted
from m2jax.verifier.phrases import content
from m2jax.verifier.reasons import asked
from m2jax.verifier.rubric import MAX_POINTS, Criterion, Rubric

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "criterion": {"type": "string", "maxLength": 200},
            "dimension": {"enum": list(DIMENSIONS)},
            "points": {"enum": list(range(1, MAX_POINTS + 1))},
        },
        "required": ["criterion", "dimension", "points"],
        "additionalProperties": False,
    }
)
TOKENS = 120  # of a proposal
LEAST_WORDS = 4
ALIKE = 0.6  # Jaccard index of content words from which two criteria say the same
SHOULD = {True: "should do", False: "should not do, as it would be a mistake"}

VAGUE = (  # what fits every reply to everybody
    r"\b(?:good|appropriate|proper|suitable|high[- ]quality|correct|relevant|useful|helpful|comprehensive|adequate"
    r"|detailed|thorough|accurate)\b[^.]{0,20}\b(?:information|advice|care|answers?|responses?|repl(?:y|ies)"
    r"|explanations?|recommendations?|guidance|questions?|communication)\b",
    r"\b(?:is|be|sounds?|remains?|being) (?:\w+ )?(?:professional|polite|helpful|empathetic|clear|concise|respectful"
    r"|kind|friendly)\b",
    r"\b(?:address(?:es)?|considers?|understands?) (?:all )?(?:the )?(?:patient['’]s )?(?:needs|concerns|situation"
    r"|case)\b",
    r"\b(?:as needed|if necessary|etc|and so on|in general|overall)\b",
    r"\b(?:best practices?|standard of care|medical guidelines?|good manners)\b",
)
_VAGUE = re.compile("|".join(VAGUE), re.IGNORECASE)


def propose(
    record: Record | None, messages: Sequence[dict[str, str]], role: str, tokenizer: Tokenizer | None, n: int
) -> Generator[list[Generate] | list[Chat], list[Any], list[Criterion | None]]:
    """n proposals of `role`, half with positive and half with negative points; None where an answer is none.

    record: None where no more is known of the patient than the messages. tokenizer: of the role's model; None where the
    role is an endpoint. A role that draws at temperature 0 would say the same n times.
    """
    signs = [i % 2 == 0 for i in range(n)]
    chats = {sign: [{"role": "user", "content": proposal_prompt(record, messages, sign)}] for sign in (True, False)}
    if tokenizer is None:
        said = yield from asked([Chat(role, chats[sign], TOKENS, SCHEMA) for sign in signs])
        texts = [answer.text for answer in said]
    else:
        tokens = {s: render(tokenizer, [Message("user", c[0]["content"])]).tokens.tolist() for s, c in chats.items()}
        said = yield [Generate(role, tokens[sign], TOKENS, SCHEMA) for sign in signs]
        texts = [tokenizer.decode(completion.tokens) for completion in said]
    return [parse(text, sign) for text, sign in zip(texts, signs, strict=True)]


def parse(text: str, positive: bool) -> Criterion | None:
    """The criterion of a proposal's JSON; None where it is not of `SCHEMA`."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match raw:
        case {"criterion": str(words), "dimension": str(dimension), "points": int(points)}:
            sound = len(raw) == 3 and words.strip() and dimension in DIMENSIONS and 0 < points <= MAX_POINTS
            if sound and type(points) is int:
                return Criterion(" ".join(words.split()), points if positive else -points, dimension)
    return None


def sift(
    proposals: Sequence[Criterion | None],
    record: Record | None,
    messages: Sequence[dict[str, str]],
    already: Sequence[Criterion] = (),
) -> Rubric:
    """The sound ones, in their order: not vague, and none that says what one before it or `already` says."""
    of_record = [record.diagnosis, *(fact.text for fact in record.facts)] if record else []
    case = content(" ".join([*of_record, *(m["content"] for m in messages)]))
    kept: list[Criterion] = []
    for criterion in proposals:
        if criterion is None or vague(criterion.text, case) is not None:
            continue
        if not any(alike(criterion, other) for other in (*already, *kept)):
            kept.append(criterion)
    return tuple(kept)


def vague(text: str, case: set[str]) -> str | None:
    """Why a criterion says nothing of a case with these content words (`phrases.content`); None where it does."""
    if len(text.split()) < LEAST_WORDS:
        return f"fewer than {LEAST_WORDS} words"
    rest = content(_VAGUE.sub(" ", text))
    if not rest & case:
        return "a phrase that fits every case" if _VAGUE.search(text) else "no content word of the case"
    return None


def alike(a: Criterion, b: Criterion) -> bool:
    """Whether two criteria of one sign say the same, by their content words."""
    one, other = content(a.text), content(b.text)
    shared, both = len(one & other), len(one | other)
    return (a.points > 0) == (b.points > 0) and shared >= ALIKE * both


def proposal_prompt(record: Record | None, messages: Sequence[dict[str, str]], positive: bool) -> str:
    """The question of `propose`."""
    facts = "\n".join(f"- {' '.join(fact.text.split())}" for fact in record.facts) if record else "- (not known)"
    parts = {"{record}": facts, "{conversation}": quoted(messages), "{should}": SHOULD[positive]}
    # in one pass, so that no text of the record or the conversation is taken for a place
    return re.sub(r"\{(?:record|conversation|should)\}", lambda place: parts[place[0]], _template())


@cache
def _template() -> str:
    path = resources.files("m2jax.verifier").joinpath("prompts", "generator", "criterion.txt")
    return path.read_text("utf-8").rstrip("\n")
