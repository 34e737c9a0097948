"""Affective Unit: drafts the patient's reply in persona, from the facts that may be told and the dialogue."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from m2jax.patient.claims import Known
from m2jax.patient.persona import behaviour
from m2jax.patient.prompt import conversation, fill, listed
from m2jax.patient.reference import tell
from m2jax.patient.script import Dialogue, Script
from m2jax.text.chat import Message
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.ask import ask


def affective(
    script: Script, dialogue: Dialogue, known: Known, tokenizer: Tokenizer | None, role: str, max_tokens: int
) -> Generator[Any, Any, str]:
    """The draft; kept facts are not in the prompt."""
    prompt = fill(
        "affective",
        persona=listed(behaviour(script.persona)),
        conversation=conversation(dialogue),
        facts=listed(tell(fact, script.record) for fact in known.tellable),
    )
    return (yield from ask(tokenizer, role, [Message("user", prompt)], max_tokens))
