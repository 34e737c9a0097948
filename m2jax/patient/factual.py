"""Factual Unit: judges a draft claim by claim, rewrites it once, and else falls back to the neutral reply.

Rules judge first; what they leave open a judge reads off as Yes or No. Without a judge, open is invented. A reply is
sent only if every claim is good and the whole gives no kept fact away. The neutral reply, in the persona's manner, also
takes the place of one that says nothing wrong because it does not answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from typing import Any

import numpy as np

from m2jax.patient import claims
from m2jax.patient.claims import Claim, Known
from m2jax.patient.prompt import fill, listed, quoted
from m2jax.patient.reference import in_manner, neutral_reply, tell
from m2jax.patient.script import Dialogue, Script
from m2jax.text.chat import Message
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.ask import ask, ask_yes
from m2jax.verifier.grader import Judge


@dataclasses.dataclass(frozen=True)
class Checked:
    """What became of a draft. rewrite: None where the draft was good. source of `final`: draft, rewrite or neutral."""

    claims: tuple[Claim, ...]
    rewrite: str | None
    rewrite_claims: tuple[Claim, ...]
    final: str
    source: str


def factual(
    script: Script,
    dialogue: Dialogue,
    known: Known,
    draft: str,
    tokenizer: Tokenizer | None,
    role: str,
    judge: Judge | None,
    max_tokens: int,
) -> Generator[Any, Any, Checked]:
    """Checks a draft that answers the last line of the dialogue."""
    doctor = dialogue[-1].text
    found = yield from judged(draft, doctor, known, judge)
    if found and all(claim.good for claim in found):
        if claims.evades(found, known, dialogue):
            return Checked(found, None, (), _neutral(script, dialogue, known), "neutral")
        return Checked(found, None, (), draft, "draft")
    facts = listed(tell(fact, script.record) for fact in known.tellable)
    prompt = fill(
        "rewrite", doctor=quoted(doctor), facts=facts, draft=quoted(draft), faults=listed(claims.reasons(found))
    )
    rewrite = yield from ask(tokenizer, role, [Message("user", prompt)], max_tokens)
    again = yield from judged(rewrite, doctor, known, judge)
    if again and all(claim.good for claim in again) and not claims.evades(again, known, dialogue):
        return Checked(found, rewrite, again, rewrite, "rewrite")
    return Checked(found, rewrite, again, _neutral(script, dialogue, known), "neutral")


def _neutral(script: Script, dialogue: Dialogue, known: Known) -> str:
    """The neutral reply in the persona's manner, where the rules allow that."""
    plain = neutral_reply(script, dialogue)
    rng = np.random.default_rng([len(dialogue), *script.record.id.encode()])
    coloured = in_manner(plain, script, dialogue, rng)
    good = all(claim.good for claim in claims.judge(coloured, known)) and claims.leaks(coloured, known) is None
    return coloured if good else plain


def judged(text: str, doctor: str, known: Known, judge: Judge | None) -> Generator[Any, Any, tuple[Claim, ...]]:
    """The claims of a text, none of them open; with the whole text as a last one where it gives a kept fact away."""
    found = claims.judge(text, known)
    still = [i for i, claim in enumerate(found) if claim.label == "open"]
    if still and judge is None:
        for i in still:
            found[i] = dataclasses.replace(found[i], label="invented")
    elif still:
        facts = listed(tell(fact, known.record) for fact in known.tellable)
        prefix, _, tail = fill("supported", facts=facts, doctor=quoted(doctor)).rpartition("{claim}")
        suffixes = [quoted(found[i].text) + tail for i in still]
        for i, p in zip(still, (yield from ask_yes(judge, prefix, suffixes)), strict=True):
            found[i] = dataclasses.replace(found[i], label="supported" if p > 0.5 else "invented", by="model", p=p)
    if all(claim.good for claim in found) and (fact := claims.leaks(text, known)):
        found.append(Claim(text, "leak", fact=fact.id))
    return tuple(found)
