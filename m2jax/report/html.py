"""report.html: what a run did, on one self-contained page for a reader who is not a programmer.

Nothing is loaded from anywhere: the page's own content security policy forbids it. Text of models, users and
configs enters the page only through `markup.text`, which escapes it. Scores are shown from 0 to 100; curves keep
their own units. The skeleton, styles and script are in `page.html` beside this file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shlex
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template

from m2jax.evaluate.stats import dimension_scores
from m2jax.metrics import duration
from m2jax.report import SIDES, Row, Run, losses, number, read_run
from m2jax.report.markup import of_100, signed, table, text
from m2jax.report.transcripts import transcripts

MAIN_CURVES = {  # shown first, each with what it is
    "reward/score": "Mean rubric score of the training replies. 1 is the best.",
    "rollout/length": "Mean length of the training replies, in tokens.",
    "rollout/entropy": "How open the choice of the next token was. Near 0: every reply comes out the same.",
    "update/perplexity": "How many next tokens seemed as likely as the true one, in the chats that were learned from.",
    "update/grad_norm": "Size of the gradient. Sudden jumps: training was unstable.",
}
WIDTH, HEIGHT = 600, 100  # of a curve, in its own units; the page stretches it
MAX_POINTS = 600
MAX_CRITERIA = 60
CONSULTATIONS = (
    ("share", "Share of the key facts asked for"),
    ("diagnosis", "Diagnosis named"),
    ("safety_net", "Safety net given"),
    ("messages", "Messages of the doctor"),
)
FLUENCY = (  # key of the summary, name, format, what to watch for
    ("base_logp", "Log-probability under the start model", "{:.2f}", "Average of a token. A steep fall: odd text."),
    ("distinct3", "Distinct three-word runs", "{:.0%}", "A steep fall: the same phrases again and again."),
    ("tokens", "Length of a reply", "{:.0f} tokens", "Whether a better score came with longer replies."),
)


def write_report(workdir: Path) -> Path:
    """Write `workdir/report.html` from what the run folder holds and return its path.

    Missing or partial files become sentences on the page (see `m2jax.report`). The file is replaced in one
    move. Raises FileNotFoundError where `workdir` is not a folder.
    """
    run = read_run(Path(workdir))
    page = Template(resources.files(__package__).joinpath("page.html").read_text("utf-8"))
    script = re.search("<script>(.*?)</script>", page.template, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"
    title = f"Run report: {text(run.summary.get('model') or run.config.get('model') or Path(workdir).name)}"
    path = Path(workdir) / "report.html"
    spare = path.with_name(path.name + ".tmp")
    content = page.substitute(policy=f"{policy}; form-action 'none'", title=title, body=_body(run))
    spare.write_bytes(content.encode("utf-8", "replace"))
    os.replace(spare, path)
    return path


def _body(run: Run) -> str:
    supervised = run.config.get("stage", "rl") != "rl"
    sections = {
        "dimensions": ("What changed", losses.by_topic(run) if supervised else _dimensions(run)),
        **({"consultations": ("Consultations", held)} if (held := _consultations(run.summary)) else {}),
        **({"criteria": ("Criteria that came and went", _criteria(run.criteria))} if run.criteria else {}),
        "curves": ("Training curves", _curves(run.metrics)),
        **({} if supervised else {"transcripts": ("Replies before and after", transcripts(run))}),
        "settings": ("Settings", _settings(run.config)),
        "reproduce": ("How to reproduce", _reproduce(run.config)),
    }
    links = "".join(f'<a href="#{key}">{title}</a>' for key, (title, _) in sections.items())
    parts = [f'<section id="{key}"><h2>{title}</h2>{body}</section>' for key, (title, body) in sections.items()]
    title, lede = losses.title_and_lede(run) if supervised else _title_and_lede(run)
    return (
        f'<header>{_headline(run, title, lede)}<nav aria-label="Sections">{links}</nav>{_notes(run.notes)}</header>\n'
        f"<main>{'' if supervised else _fluency(run.summary)}{''.join(parts)}</main>"
    )


def _title_and_lede(run: Run) -> tuple[str, str]:
    summary = run.summary
    before, after = (summary[name].get("score") for name, _ in SIDES)
    gain, low, high = (summary["gain"].get(key) for key in ("mean", "low", "high"))
    questions = len({str(row.get("id")) for row in run.after or run.before})
    asked = f"On {questions} patient questions" if questions else "On patient questions"
    asked += " kept out of training"
    if before is None and after is None:
        title, lede = "No held-out score yet", "No held-out reply was scored in this run."
    elif before is None or after is None:
        name, score = ("Before", before) if after is None else ("After", after)
        title = f"{name} training: {of_100(score)} of 100"
        lede = (
            f"{asked}, replies earned {of_100(score)} of 100 on their rubrics {name.lower()} training. "
            "The other half of the comparison is missing, so nothing can be said about what was learned."
        )
    else:
        title = f'Held-out score <span class="num">{of_100(before)} → {of_100(after)}</span>'
        lede = (
            f"{asked}, replies earned {of_100(before)} of 100 on their rubrics before training and "
            f"{of_100(after)} after. {_gain_sentence(gain, low, high)}"
        )
    return title, lede


def _headline(run: Run, title: str, lede: str) -> str:
    summary = run.summary
    facts = [summary.get("model") or run.config.get("model"), summary.get("device")]
    if (steps := number(summary.get("steps")) or len(run.metrics)) > 0:
        facts.insert(1, f"{steps:.0f} training steps")
    if (seconds := number(summary.get("seconds"))) is not None:
        facts.append(f"{duration(seconds)} of training")
    meta = " · ".join(text(fact) for fact in facts if fact)
    bars = _bars([(label, name, summary[name]) for name, label in SIDES if "score" in summary[name]])
    hint = '<p class="hint">The thin lines are 95% intervals.</p>' if bars else ""
    return f'<p class="meta">{meta}</p><h1>{title}</h1><p class="lede">{lede}</p>{bars}{hint}'


def _gain_sentence(gain: float | None, low: float | None, high: float | None) -> str:
    if gain is None:
        return "The two were not compared question by question."
    said = f"That is {signed(gain)} points"
    if low is None or high is None:
        return f"{said}; how sure that is was not worked out."
    said += f" (95% interval {signed(low)} to {signed(high)}). "
    if low > 0:
        return said + "The whole interval is above zero, so the choice of questions is unlikely to explain it."
    if high < 0:
        return said + "The whole interval is below zero: the replies got worse."
    return said + "The interval includes zero, so the difference may be chance."


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{text(note)}</li>" for note in notes)
    return f'<div class="notes"><p>What is missing or wrong</p><ul>{items}</ul></div>'


def _fluency(summary: Row) -> str:
    """Three facts that show whether the replies are still language."""
    items = []
    for key, label, shape, hint in FLUENCY:
        values = [summary[name].get(key) for name, _ in SIDES]
        if values != [None, None]:
            said = " → ".join("?" if v is None else shape.format(v).replace("-", "−") for v in values)
            value = f'<span class="value">{said}</span><span class="hint">{hint}</span>'
            items.append(f"<div><dt>{label}</dt><dd>{value}</dd></div>")
    if not items:
        return ""
    return f'<section><h2>Still fluent?</h2><dl class="facts">{"".join(items)}</dl></section>'


def _dimensions(run: Run) -> str:
    scores = {name: dimension_scores(row["criteria"] for row in getattr(run, name)) for name, _ in SIDES}
    names = sorted(scores["before"].keys() | scores["after"].keys())
    if not names:
        return "<p>No graded criteria were saved, so there is no score per rubric dimension.</p>"
    blocks = []
    for dimension in names:
        rows = [(label, name, {"score": scores[name][dimension]}) for name, label in SIDES if dimension in scores[name]]
        blocks.append(f"<div><h3>{text(dimension.replace('_', ' ').capitalize())}</h3>{_bars(rows)}</div>")
    hint = "Score on the criteria of each rubric dimension alone, from 0 to 100, over all held-out replies."
    return f'<p class="hint">{hint}</p><div class="dimensions">{"".join(blocks)}</div>'


def _consultations(summary: Row) -> str:
    """What whole consultations with held-out patients came to, where a run is trained on them."""
    rows, held = [], summary.get("consultations")
    for key, label in CONSULTATIONS:
        found = held.get(key) if isinstance(held, dict) else None
        values = [
            number(found.get(name) if isinstance(found, dict) else None)
            for name in ("before", "after", "gain", "low", "high")
        ]
        if None not in values:
            before, after, *gain = values
            said = "{:+.3f} ({:+.3f} to {:+.3f})".format(*gain).replace("-", "−")
            cells = "".join(f'<td class="num">{value}</td>' for value in (f"{before:.3f}", f"{after:.3f}", said))
            rows.append(f'<tr><th scope="row">{label}</th>{cells}</tr>')
    return table("losses", "", ["A patient", "Before", "After", "Gain (95% interval)"], rows) if rows else ""


def _criteria(criteria: Sequence[Row]) -> str:
    """The dynamic criteria: those that are paid first, then those that are watched, then those that are gone."""
    order = {"active": ("paid", 0), "candidate": ("watched", 1), "retired": ("gone", 2)}
    known = [row for row in criteria if row["state"] in order]
    rows = []
    for row in sorted(known, key=lambda row: (order[row["state"]][1], -(row["rate"] or 0.0)))[:MAX_CRITERIA]:
        shown = order[row["state"]][0] + (f", for {row['case']} alone" if row["case"] else "")
        points, rate = (
            "?" if v is None else s.format(v) for v, s in ((row["points"], "{:+.0f}"), (row["rate"], "{:.0%}"))
        )
        cells = f'<td>{text(shown)}</td><td class="num">{points}</td><td class="num">{rate}</td>'
        rows.append(f'<tr><th scope="row">{text(row["text"])}</th>{cells}</tr>')
    counts = ", ".join(f"{sum(row['state'] == s for row in known)} {name}" for s, (name, _) in order.items())
    said = f"Criteria beside those of the rubrics, as the policy's replies called for them: {counts} at the end."
    heads = ["Criterion", "State", "Points", "Violated of late"]
    return f'<p class="hint">{said}</p>' + table("losses", "", heads, rows)


def _bars(rows: Sequence[tuple[str, str, Row]]) -> str:
    """One bar a (label, "before" | "after", {"score", "low", "high"}), with its number."""
    cells = []
    for label, name, side in rows:
        whisker = ""
        if side.get("low") is not None and side.get("high") is not None:
            low, high = _percent(side["low"]), _percent(side["high"])
            whisker = f'<b style="left:{low:.2f}%;width:{high - low:.2f}%"></b>'
        cells.append(
            f'<span class="label">{label}</span><span class="track {name}" aria-hidden="true">'
            f'<i style="width:{_percent(side["score"]):.2f}%"></i>{whisker}</span>'
            f'<span class="num">{of_100(side["score"])}</span>'
        )
    return f'<div class="bars">{"".join(cells)}</div>' if cells else ""


def _curves(metrics: Sequence[Row]) -> str:
    """A curve for every numeric key: the main ones first, the others folded under their group."""
    series: dict[str, list[tuple[float, float]]] = {}
    for index, row in enumerate(metrics):
        step = number(row.get("step"))
        for key, value in row.items():
            if key != "step" and (value := number(value)) is not None:
                series.setdefault(key, []).append((float(index) if step is None else step, value))
    if not series:
        return "<p>No training step was recorded.</p>"
    main = [_curve(key, series[key]) for key in MAIN_CURVES if key in series]
    groups: dict[str, list[str]] = {}
    for key in (key for key in series if key not in MAIN_CURVES):
        groups.setdefault(key.split("/")[0] if "/" in key else "run", []).append(_curve(key, series[key]))
    folded = [
        f"<details><summary>{text(group)} ({len(curves)})</summary>"
        f'<div class="curves">{"".join(curves)}</div></details>'
        for group, curves in groups.items()
    ]
    return (f'<div class="curves main">{"".join(main)}</div>' if main else "") + "".join(folded)


def _curve(key: str, points: Sequence[tuple[float, float]]) -> str:
    """One figure: the values faint and their running mean strong, with the range in words beside it."""
    points = sorted(points)
    stride = -(-len(points) // MAX_POINTS)
    chunks = [points[i : i + stride] for i in range(0, len(points), stride)]
    steps = [sum(step for step, _ in chunk) / len(chunk) for chunk in chunks]
    values = [sum(value for _, value in chunk) / len(chunk) for chunk in chunks]
    half = len(values) // 30
    smooth = [_mean(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]
    low, high = min(values), max(values)

    def path(heights: Sequence[float]) -> str:
        across, up = max(steps[-1] - steps[0], 1e-9), high - low
        xs = [(step - steps[0]) / across * WIDTH for step in steps]
        ys = [HEIGHT - ((height - low) / up if up else 0.5) * HEIGHT for height in heights]
        xy = [f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True)]
        return "M" + "L".join(xy if len(xy) > 1 else [xy[0], f"{WIDTH} {xy[0].split()[1]}"])

    raw = f'<path class="raw" d="{path(values)}"/>' if half else ""
    said = f"{points[0][1]:.4g} → {points[-1][1]:.4g}".replace("-", "−")
    span = f"{points[0][0]:.0f} to {points[-1][0]:.0f}"
    hint = f'<p class="hint">{MAIN_CURVES[key]}</p>' if key in MAIN_CURVES else ""
    return (
        f'<figure><figcaption><b>{text(key)}</b><span class="num">{said}</span></figcaption>'
        f'<div class="axis num"><span>{high:.4g}</span></div><div class="plot">'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{text(key)}, '
        f'steps {span}: {said}">{raw}<path d="{path(smooth)}"/></svg></div>'
        f'<div class="axis num"><span>{low:.4g}</span><span>steps {span}</span></div>{hint}</figure>'
    )


def _settings(config: Row) -> str:
    if not config:
        return "<p>The settings of this run were not saved.</p>"
    rows = [f'<tr><th scope="row">{text(k)}</th><td>{text(v)}</td></tr>' for k, v in flat(config)]
    return f"<details><summary>All settings</summary>{table('config', '', ['Setting', 'Value'], rows)}</details>"


def flat(config: Row, prefix: str = "") -> list[tuple[str, str]]:
    """(dotted name, value) of every leaf of a nested dict, in its order."""
    rows = []
    for key, value in config.items():
        if isinstance(value, dict) and value:
            rows += flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return rows


def _reproduce(config: Row) -> str:
    command = config.get("command")
    if not command:
        return "<p>The command of this run was not saved with its settings.</p>"
    line = shlex.join(map(str, command)) if isinstance(command, list) else command
    said = "The same command with the same settings and seed, on the same kind of machine, gives the same run:"
    return f"<p>{said}</p><pre><code>{text(line)}</code></pre>"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _percent(score: float) -> float:
    return 100 * min(max(score, 0.0), 1.0)
