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

from m2jax.verifier.checks import met
from m2jax.verifier.phrases import criterion
from m2jax.verifier.rubric import Criterion, Rubric

OPENING = 3  # words that count as a reply's opening
_ITEM = r"^[ \t]*(?:[-*•]|\d{1,2}[.)])[ \t][^\n]*"
_HABITS = (  # of form: what the criterion says, and the pattern of its check
    ("Writes a list of four points or more.", "(?m)" + r"\n+".join([_ITEM] * 4)),
    ("Is divided by headings.", r"(?m)^#{1,6} \S|^\*\*[^*\n]{3,80}\*\*:?[ \t]*$"),
    ("Says the same sentence twice.", r"(?<![^.?!\n]) ?([^.?!\s][^.?!\n]{20,200}[.?!])(?=[\s\S]{0,800}\1)"),
)

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


def mine(replies: Sequence[str], *, share: float = 0.5) -> list[Criterion]:
    """What the policy's own replies to different patients have in common, as negative criteria with checks, each of
    what is in at least `share` of them: stock phrases, the same opening, and habits of form. None from fewer than
    four replies. Whether such a criterion is paid for is decided by watching it (`observe`).
    """
    if len(replies) < 4:
        return []
    found = mine_phrases(replies, share=share)
    openings = Counter(tuple(_spoken(reply)[:OPENING]) for reply in replies)
    for gram, n in sorted(openings.items(), key=lambda item: (-item[1], item[0])):
        said, pairs = " ".join(gram), [" ".join(gram[i : i + 2]) for i in range(OPENING - 1)]
        charged = any(pair in c.text for c in found for pair in pairs)
        if n >= share * len(replies) and len(gram) == OPENING and not charged:
            check = {"pattern": rf"\A\W*{_regex(gram)}", "negated": "either"}
            found.append(criterion(f'Opens with "{said}", as so many replies.', -2, "communication", check))
    found += [criterion(text, -2, "clarity", {"pattern": p, "negated": "either"}) for text, p in _HABITS]
    return [c for c in found if sum(met(c.check, reply) for reply in replies) >= share * len(replies)]


def mine_phrases(replies: Sequence[str], *, share: float = 0.5, size: int = 6, points: int = -3) -> list[Criterion]:
    """Stock phrases of the policy: `size` words that stand in at least `share` of replies to different patients, each
    as a negative criterion with a check. Of phrases that overlap the first alone; none from fewer than four replies.
    """
    if len(replies) < 4:
        return []
    counts: Counter[tuple[str, ...]] = Counter()
    for reply in replies:
        spoken = _spoken(reply)
        counts.update({tuple(spoken[i : i + size]) for i in range(len(spoken) - size + 1)})
    found: list[tuple[str, ...]] = []
    for gram, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        overlaps = any(_overlap(gram, other) for other in found)
        if n >= share * len(replies) and not overlaps:
            found.append(gram)
    return [_stock(gram, points) for gram in found]


def _spoken(reply: str) -> list[str]:
    """The words of a reply, small."""
    return re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", reply.lower())


def _regex(gram: tuple[str, ...]) -> str:
    return r"\b" + r"[^\w]+".join(re.escape(word) for word in gram) + r"\b"


def _overlap(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """Whether one phrase goes on where the other is in the middle, by two words or more."""
    return any(a[i:] == b[: len(b) - i] or b[i:] == a[: len(a) - i] for i in range(len(a) - 1))


def _stock(gram: tuple[str, ...], points: int) -> Criterion:
    return criterion(
        f'Uses the stock phrase "{" ".join(gram)}".',
        points,
        "communication",
        {"pattern": _regex(gram), "negated": "either"},
    )
