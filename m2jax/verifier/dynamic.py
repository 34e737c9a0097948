"""Core and dynamic criteria (Baichuan-M3, arXiv 2602.06570): a small state machine, pure.

The core of a rubric stays. A dynamic criterion is mined from the policy's own recent replies and watched: it is
admitted once it is violated often, and retired once it hardly is any more, or once it turns out never to tell two
replies of a group apart. Violated means not met where its points are positive, met where they are negative.

    candidate ── rate >= admit ──► active ── rate <= retire ──► retired
        └── window full, rate still below admit ──────────────────► retired
    either   ── `groups` groups of replies, none of them split ──► retired
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from m2jax.verifier.phrases import criterion
from m2jax.verifier.rubric import Criterion, Rubric

State = Literal["candidate", "active", "retired"]


@dataclasses.dataclass(frozen=True)
class Rule:
    """When criteria come and go. The report gives no numbers: these are ours. Rates are over the last `window`
    verdicts, and count once there are `least`.
    """

    admit: float = 0.3
    retire: float = 0.05
    least: int = 16
    window: int = 64
    groups: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.retire < self.admit <= 1 or not 1 <= self.least <= self.window or self.groups < 1:
            raise ValueError(f"{self} cannot be: give 0 <= retire < admit <= 1, 1 <= least <= window, groups >= 1")


@dataclasses.dataclass(frozen=True)
class Tracked:
    """A dynamic criterion and what is known of it. recent: whether it was violated, the latest last; alike: how many
    groups since the last that it split.
    """

    criterion: Criterion
    state: State = "candidate"
    recent: tuple[bool, ...] = ()
    alike: int = 0

    @property
    def rate(self) -> float:
        """The share of recent verdicts that were violations; 0 where there are none."""
        return sum(self.recent) / max(1, len(self.recent))


def observe(tracked: Tracked, met_R: Sequence[bool], rule: Rule) -> Tracked:
    """The criterion after the verdicts on one group's replies. A retired one stays as it is."""
    if tracked.state == "retired" or not met_R:
        return tracked
    violated = [bool(met) != (tracked.criterion.points > 0) for met in met_R]
    recent = (*tracked.recent, *violated)[-rule.window :]
    split = len(set(violated)) == 2
    now = dataclasses.replace(tracked, recent=recent, alike=0 if split else tracked.alike + 1)
    return dataclasses.replace(now, state=_next(now, rule))


def _next(tracked: Tracked, rule: Rule) -> State:
    if tracked.alike >= rule.groups:
        return "retired"
    if len(tracked.recent) < rule.least:
        return tracked.state
    if tracked.state == "active":
        return "retired" if tracked.rate <= rule.retire else "active"
    if tracked.rate >= rule.admit:
        return "active"
    return "retired" if len(tracked.recent) == rule.window else "candidate"


def graded(core: Rubric, dynamic: Sequence[Tracked]) -> Rubric:
    """What replies are paid by: the core and the active criteria."""
    return (*core, *(t.criterion for t in dynamic if t.state == "active"))


def mine_phrases(replies: Sequence[str], *, share: float = 0.5, size: int = 6, points: int = -3) -> list[Criterion]:
    """Stock phrases of the policy: `size` words that stand in at least `share` of replies to different patients, each
    as a negative criterion with a check. Of phrases that overlap the first alone; none from fewer than four replies.
    """
    if len(replies) < 4:
        return []
    counts: Counter[tuple[str, ...]] = Counter()
    for reply in replies:
        spoken = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", reply.lower())
        counts.update({tuple(spoken[i : i + size]) for i in range(len(spoken) - size + 1)})
    found: list[tuple[str, ...]] = []
    for gram, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        overlaps = any(_overlap(gram, other) for other in found)
        if n >= share * len(replies) and not overlaps:
            found.append(gram)
    return [_stock(gram, points) for gram in found]


def _overlap(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """Whether one phrase goes on where the other is in the middle, by two words or more."""
    return any(a[i:] == b[: len(b) - i] or b[i:] == a[: len(a) - i] for i in range(len(a) - 1))


def _stock(gram: tuple[str, ...], points: int) -> Criterion:
    regex = r"\b" + r"[^\w]+".join(re.escape(word) for word in gram) + r"\b"
    return criterion(
        f'Uses the stock phrase "{" ".join(gram)}".', points, "communication", {"pattern": regex, "negated": "either"}
    )
