"""What several replies agree on: each reply's own final answer becomes the rule, which says what others have it too.

    rule, share = consensus(parse_rule({"kind": "choice", "options": {...}, "answer": "B"}), replies)

So two answers are the same where the rule would pay one for the other: a letter and its option, 250 mg and 0.25 g, 1/2
and 0.5. The reference answer of `rule` plays no part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from m2jax.rules import answer, choice, mathematics, quantity
from m2jax.rules.rule import Rule, rewards

KINDS = (choice.Choice, quantity.Quantity, mathematics.Mathematics, answer.Exact)  # that ask for one answer


def consensus(rule: Rule, replies: Sequence[str]) -> tuple[Rule | None, float]:
    """The rule of the answer that most replies give, of several the first, and the share of all replies that give it;
    (None, 0) where none gives an answer.
    """
    candidates: list[Rule] = []
    for own in (own_answer(rule, reply) for reply in replies):
        if own is not None and own not in candidates:
            candidates.append(own)
    paid = rewards([(own, reply) for own in candidates for reply in replies])
    n = len(replies)
    votes = [sum(paid[i * n : (i + 1) * n]) for i in range(len(candidates))]
    if not candidates:
        return None, 0.0
    best = max(range(len(candidates)), key=lambda i: votes[i])
    return candidates[best], votes[best] / n


def own_answer(rule: Rule, reply: str) -> Rule | None:
    """The rule with the reply's own final answer for the reference; None where it gives none, or more than one.
    ValueError for a kind that does not ask for one answer.
    """
    match rule:
        case choice.Choice():
            letters = choice.committed(rule.options, reply)
            return dataclasses.replace(rule, answer=letters.pop()) if len(letters) == 1 else None
        case quantity.Quantity():
            values = quantity.said(rule, reply)
            own = dataclasses.replace(rule, value=values[0]) if values else None
            return own if own and all(quantity.close(own, value) for value in values) else None
        case mathematics.Mathematics():
            given = mathematics.said(reply)
            return mathematics.Mathematics(given) if given else None
        case answer.Exact():
            named = answer.said(reply)
            return answer.Exact((named,)) if 0 < len(named.split()) <= answer.WORDS else None
    raise ValueError(f"{rule} does not ask for one answer, on which replies could agree")
