"""What the report of a supervised run or of mid-training shows in place of scores: the loss on held-out texts, and by
topic. Of mid-training, whose rows have a `kl`, the headline is of the medical ones.
"""

from __future__ import annotations

from m2jax.report import SIDES, Run, described, learned
from m2jax.report.markup import table, text


def title_and_lede(run: Run) -> tuple[str, str]:
    """The page's title and its first sentences, in HTML."""
    told = [learned(getattr(run, name)) for name, _ in SIDES]
    sides = [described(rows) for rows in told]
    what = "medical document" if any("kl" in row for rows in told for row in rows) else "conversation"
    asked = f"On {len(told[1] or told[0])} {what}s kept out of training"
    if not any(sides):
        return "No held-out loss yet", f"No held-out {what} was measured in this run."
    if not all(sides):
        (label, side) = next((label, side) for (_, label), side in zip(SIDES, sides, strict=True) if side)
        said = f"{asked}, the model wavered between {side['perplexity']:.2f} equally likely next tokens."
        return f"{label} training: perplexity {side['perplexity']:.2f}", f"{said} The other half is missing."
    before, after = sides
    title = f'Held-out perplexity <span class="num">{before["perplexity"]:.2f} → {after["perplexity"]:.2f}</span>'
    lede = (
        f"{asked}, the model wavered between {before['perplexity']:.2f} equally likely next tokens before training and "
        f"{after['perplexity']:.2f} after: a loss of {before['loss']:.4f} and {after['loss']:.4f} nats a token. "
    )
    fall, low, high = (run.summary["gain"].get(key) for key in ("mean", "low", "high"))
    if None not in (fall, low, high):
        lede += f"The loss of a {what} fell by {fall:.4f} on average (95% interval {low:.4f} to {high:.4f})."
    return title, lede.replace("-", "−")


def by_topic(run: Run) -> str:
    """A table of the loss of each topic, before and after; where it was measured, how far the model has moved from its
    start, KL in nats a token.
    """
    topics = sorted({str(row.get("topic") or "") for row in (*run.before, *run.after)})
    if not topics:
        return "<p>No losses were saved.</p>"
    rows, constrained = [], any("kl" in row for row in run.after)
    for topic in topics:
        own = [[row for row in getattr(run, name) if str(row.get("topic") or "") == topic] for name, _ in SIDES]
        cells = [described(side).get("loss") for side in own]
        if constrained:
            cells.append(described([row | {"loss": row.get("kl")} for row in own[1]]).get("loss"))
        said = "".join(f'<td class="num">{"" if loss is None else f"{loss:.4f}"}</td>' for loss in cells)
        count = max(map(len, own))
        rows.append(f'<tr><th scope="row">{text(topic or "all")}</th><td class="num">{count}</td>{said}</tr>')
    head = ["Kind", "Documents"] if constrained else ["Topic", "Conversations"]
    return table("losses", "", [*head, "Loss before", "Loss after", *(["KL after"] if constrained else [])], rows)
