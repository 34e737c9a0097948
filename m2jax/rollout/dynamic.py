"""Dynamic criteria in the loop (arXiv 2602.06570): what a rubric is graded by beside its core, as the policy changes.

Two kinds, in one state by the case they are for:

    ""        of every case: mined from the policy's own replies to different patients, negative, with checks
    case id   of one case: proposed by the model that judges (`verifier.proposals`), without checks

All of them are looked at on every reply, which tells how often they are violated; those that are active by then are
also paid (`verifier.dynamic`). A step's replies are paid by the state before them. The state is JSON and goes into the
checkpoint.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from m2jax.rollout.single_turn import Reply, results_of
from m2jax.rules.final import answered
from m2jax.sampler.engine import Engine
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.dynamic import Rule, Tracked, graded, mine, observe
from m2jax.verifier.phrases import criterion, pattern
from m2jax.verifier.proposals import alike, propose, sift
from m2jax.verifier.rubric import Case, Criterion

SEED_OFFSET = 3_000_017  # no key of training's, the evaluation's or the watch's
PROPOSED_TOKENS = 200  # of a proposed criterion at most

State = dict[str, tuple[Tracked, ...]]


@dataclasses.dataclass(frozen=True)
class Settings:
    """every: draws are mined in every so many steps; 0: never. most: criteria of every case that are candidates or
    active at once. share: of the replies that must have something for it to be mined. proposals: for each case, asked
    of `role` (tokenizer None: it is an endpoint) when it first comes. rule: when criteria come and go.
    """

    every: int
    most: int
    share: float
    proposals: int
    role: str
    tokenizer: Tokenizer | None
    rule: Rule


def of(state: State, case: Case) -> tuple[Tracked, ...]:
    """The criteria for a case that are not retired."""
    return tuple(t for key in ("", case.id) for t in state.get(key, ()) if t.state != "retired")


def watched(case: Case, state: State) -> Case:
    """The case with all that is looked at: what is paid first, then the candidates."""
    own = of(state, case)
    candidates = (t.criterion for t in own if t.state == "candidate")
    return dataclasses.replace(case, rubric=(*graded(case.rubric, own), *candidates))


def settle(
    cases: Sequence[Case], groups: Sequence[Sequence[Reply]], state: State, rule: Rule
) -> tuple[list[Case], list[list[Reply]], State]:
    """Of the replies to the `watched` cases: the cases and verdicts that are paid, and the state after having seen all
    verdicts.
    """
    paid_cases, paid_groups, after = [], [], dict(state)
    for case, group in zip(cases, groups, strict=True):
        own = of(state, case)
        paid = dataclasses.replace(case, rubric=graded(case.rubric, own))
        looked_at = watched(case, state).rubric
        met = {c: [reply.verdicts[i].met for reply in group] for i, c in enumerate(looked_at)}
        for key in ("", case.id):
            now = after.get(key, ())
            # a criterion may be retired by an earlier group of these
            after[key] = tuple(observe(t, met.get(t.criterion, ()), rule) for t in now)
        paid_cases.append(paid)
        paid_groups.append([dataclasses.replace(r, verdicts=r.verdicts[: len(paid.rubric)]) for r in group])
    return paid_cases, paid_groups, {key: own for key, own in after.items() if own or key in state}


def mined(state: State, replies: Sequence[str], settings: Settings) -> State:
    """The state with what the replies, each to another patient, have in common as candidates. What was retired because
    it was no longer violated may come again; what never told two replies apart may not.
    """
    known = {t.criterion.text: t for t in state.get("", ())}
    for found in mine([answered(reply) for reply in replies], share=settings.share):
        before, live = known.get(found.text), sum(t.state != "retired" for t in known.values())
        gone = before is not None and before.state == "retired" and before.rate < settings.rule.admit
        if live < settings.most and (before is None or gone):
            known[found.text] = Tracked(found)
    return state | {"": tuple(known.values())}


def proposed(state: State, cases: Sequence[Case], engine: Engine, settings: Settings, seed: int) -> State:
    """The state with proposals for the cases that have none yet, sifted: as candidates."""
    new = list({case.id: case for case in cases if case.id not in state}.values()) if settings.proposals else []
    if not new:
        return state
    ask = [propose(None, case.messages, settings.role, settings.tokenizer, settings.proposals) for case in new]
    made = results_of(engine.run(ask, seed=seed + SEED_OFFSET))
    found = {}
    for case, criteria in zip(new, made, strict=True):
        sound = [c for c in sift(criteria, None, case.messages, case.rubric) if _short(c, settings.tokenizer)]
        found[case.id] = tuple(Tracked(c) for c in sound if not any(alike(c, t.criterion) for t in state.get("", ())))
    return state | found


def metrics(state: State) -> dict[str, float]:
    """How many criteria there are of each state, and how often the active ones are violated, in [0, 1]."""
    every = [t for own in state.values() for t in own]
    counts, active = Counter(t.state for t in every), [t.rate for t in every if t.state == "active"]
    told = {f"dynamic/{name}": float(counts[name]) for name in ("candidate", "active", "retired")}
    return told | ({"dynamic/violated": sum(active) / len(active)} if active else {})


def rows(state: State) -> list[dict[str, Any]]:
    """For a reader: each criterion with its case ("": all), its state, and how often it was violated of late."""
    return [
        {"case": key, "text": t.criterion.text, "points": t.criterion.points, "state": t.state, "rate": t.rate}
        for key, own in sorted(state.items())
        for t in own
    ]


def to_json(state: State) -> dict[str, list[dict[str, Any]]]:
    """The state as JSON values."""
    return {key: [_written(t) for t in own] for key, own in state.items()}


def from_json(raw: Mapping[str, Sequence[Mapping[str, Any]]]) -> State:
    """What `to_json` made, read back."""
    return {key: tuple(_read(row) for row in own) for key, own in raw.items()}


def _short(found: Criterion, tokenizer: Tokenizer | None) -> bool:
    return tokenizer is None or len(tokenizer.encode(found.text)) <= PROPOSED_TOKENS


def _written(t: Tracked) -> dict[str, Any]:
    c = t.criterion
    check = c.check and c.check.regex.pattern  # those that are mined are patterns, negated or not
    named = {"text": c.text, "points": c.points, "dimension": c.dimension, "pattern": check}
    return named | {"state": t.state, "recent": [int(v) for v in t.recent], "alike": t.alike}


def _read(row: Mapping[str, Any]) -> Tracked:
    named = row["text"], row["points"], row["dimension"]
    found = criterion(*named, pattern(row["pattern"])) if row["pattern"] else Criterion(*named)
    return Tracked(found, row["state"], tuple(map(bool, row["recent"])), row["alike"])
