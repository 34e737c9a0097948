"""The replies before and after training, each with its criteria, as a section of report.html."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from m2jax.report import SIDES, Row, Run, Transcript, choose_transcripts, number
from m2jax.report.markup import of_100, signed_points, table, text

ROLES = {"user": "Patient", "assistant": "Doctor", "system": "Instruction"}


def transcripts(run: Run) -> str:
    """The chosen questions as cards, with buttons to see only those that got better or worse."""
    chosen = choose_transcripts(run.before, run.after)
    if not chosen:
        return "<p>No held-out replies were saved.</p>"
    counts = {"all": len(chosen)} | {name: sum(_direction(t) == name for t in chosen) for name in ("better", "worse")}
    buttons = "".join(
        f'<button type="button" data-show="{name}" aria-pressed="{str(name == "all").lower()}">'
        f"{name.capitalize()} {count}</button>"
        for name, count in counts.items()
    )
    choice = f'<div class="filter" role="group" aria-label="Show replies" hidden>{buttons}</div>'
    if counts["better"] == counts["worse"] == 0:
        choice = ""
    limit = _token_limit(run.config)
    cards = "".join(_transcript(transcript, limit, opened=index == 0) for index, transcript in enumerate(chosen))
    return (
        f'<p class="hint">{len(chosen)} held-out questions, spread over topics and picked without regard to '
        "the scores; the biggest change is first. Of several replies to a question the first is shown, while the "
        "scores above are averages of all. A criterion is decided by a rule (check) or by the judge, which gives "
        "the probability that it is met. All that the run kept, and these replies in full: "
        "<code>python launch/view.py</code> and the run's folder.</p>"
        f"{choice}{cards}"
    )


def _direction(transcript: Transcript) -> str:
    """Of the change as it is shown, so that a difference of rounding is none."""
    change = None if transcript.change is None else round(transcript.change, 3)
    return "unknown" if change is None else "better" if change > 0 else "worse" if change < 0 else "same"


def _transcript(transcript: Transcript, limit: float, opened: bool) -> str:
    row = transcript.before or transcript.after
    asked = [str(m.get("content", "")) for m in row["messages"] if m.get("role") == "user"]
    direction, change = _direction(transcript), transcript.change
    tone = {"better": "good", "worse": "bad"}.get(direction, "")
    said = {"unknown": "no comparison", "same": "no change"}.get(direction, "")
    said = said or f"{'▲' if change > 0 else '▼'} {direction} by {of_100(abs(change))}"
    turns = "".join(
        f'<p class="who">{text(ROLES.get(str(m.get("role")), m.get("role", "unknown")))}</p>'
        f'<p class="text ask-full" dir="auto">{text(m.get("content", ""))}</p>'
        for m in row["messages"]
    )
    replies = "".join(_reply(getattr(transcript, name), name, label, limit) for name, label in SIDES)
    summary = (
        f'<h3>{text(transcript.topic)}</h3><span class="num {tone}">{said}</span>'
        f'<span class="ask">{text(asked[-1] if asked else "")}</span>'
    )
    return (
        f'<article data-change="{direction}"><details{" open" if opened else ""}><summary>{summary}</summary>'
        f'<div class="inside">{turns}<div class="replies">{replies}</div>{_criteria(transcript)}</div>'
        "</details></article>"
    )


def _reply(row: Row | None, name: str, label: str, limit: float) -> str:
    score = number(row.get("score")) if row else None
    body = "No reply was saved." if row is None else text(row["reply"]) or "(an empty reply)"
    said = "" if score is None else f'<span class="num">{of_100(score)} of 100</span>'
    title = f"<h4>{label} training {said}</h4>"
    full = row is not None and (number(row.get("tokens")) or 0) >= limit
    end = f'<p class="hint">The reply ended here, at the limit of {limit:.0f} tokens.</p>' if full else ""
    return f'<section class="{name}">{title}<div class="text" dir="auto">{body}</div>{end}</section>'


def _criteria(transcript: Transcript) -> str:
    sides = [dict(_by_text(row["criteria"] if row else [])) for row in (transcript.before, transcript.after)]
    if not any(sides):
        return "<p>No graded criteria were saved.</p>"
    rows = []
    for key, criterion in (sides[0] | sides[1]).items():
        points = criterion["points"]
        fault = "<small>a fault: points are lost if met</small>" if points < 0 else ""
        marks = "".join(_mark(side.get(key)) for side in sides)
        number_cell = f'<td class="points num">{signed_points(points)}</td>'
        rows.append(f'<tr><th scope="row">{text(key[0])}{fault}</th>{number_cell}{marks}</tr>')
    return table("", "<caption>Criteria</caption>", ["Criterion", "Points", "Before", "After"], rows)


def _by_text(criteria: list[Row]) -> Iterator[tuple[tuple[str, int], Row]]:
    """((text, how many before it have the same text), criterion): a rubric may say one thing twice."""
    seen: Counter[str] = Counter()
    for criterion in criteria:
        yield (criterion["text"], seen[criterion["text"]]), criterion
        seen[criterion["text"]] += 1


def _mark(criterion: Row | None) -> str:
    if criterion is None:
        return '<td class="mark">not graded</td>'
    met = criterion["met"]
    tone = "good" if met == (criterion["points"] >= 0) else "bad"
    sure = "" if criterion["probability"] is None else f" {criterion['probability']:.2f}"
    return (
        f'<td class="mark"><span class="{tone}"><span aria-hidden="true">{"✓" if met else "✗"}</span> '
        f"{'met' if met else 'not met'}</span><small>{text(criterion['by'])}{sure}</small></td>"
    )


def _token_limit(config: Row) -> float:
    """The longest reply, in tokens; infinite where the settings do not say."""
    sampling = config.get("sampling")
    limit = number(sampling.get("max_tokens")) if isinstance(sampling, dict) else None
    return math.inf if limit is None else limit
