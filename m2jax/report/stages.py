"""What each stage of the curriculum adds: one table (Markdown) and one figure (SVG), from the figures of each stage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import comb
from pathlib import Path
from typing import Any

from m2jax.evaluate.stats import paired_gain
from m2jax.report.markup import text

Figures = Mapping[str, Mapping[str, Any]]  # by name; as `evaluate.figures.Figure` in JSON
WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 120, 16, 34, 44  # of a panel, in pixels
COLUMNS = 2


def read(path: Path) -> dict[str, Any]:
    """The figures, by name, of a file that `launch/eval.py --json` printed. ValueError names file and line."""
    found = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            found[row["name"]] = {key: row[key] for key in ("value", "low", "high", "each")} | {"of": row.get("of", "")}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}:{number}: no figure of launch/eval.py --json: {error!r}") from error
    return found


def mcnemar(before: Sequence[float], after: Sequence[float]) -> float:
    """Two-sided p of McNemar's exact test (1947, doi:10.1007/BF02295996) of values 0 or 1 by record."""
    won = sum(a > b for b, a in zip(before, after, strict=True))
    lost = sum(a < b for b, a in zip(before, after, strict=True))
    n = won + lost
    return min(1.0, 2 * sum(comb(n, k) for k in range(min(won, lost) + 1)) / 2**n)


def table(stages: Mapping[str, Figures]) -> str:
    """One row per figure, one column per stage, each with its 95% interval; below a value its gain over the stage
    before, paired by record, in bold where the interval leaves out 0, and McNemar's p where values are right or wrong.
    """
    names = [*dict.fromkeys(name for figures in stages.values() for name in figures)]
    rows = [["", *stages], ["---"] * (len(stages) + 1)]
    for name in names:
        row, before = [name], None
        for figures in stages.values():
            f = figures.get(name)
            row.append(_cell(f, before) if f else "")
            before = f or before
        rows.append(row)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(f: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    said = f"{f['value']:.3f} ({f['low']:.3f} to {f['high']:.3f})"
    kept = [(len(one["each"]), one["of"]) for one in (before, f) if one and one["each"]]
    if len(kept) < 2 or kept[0] != kept[1]:
        return said
    gain, low, high = paired_gain(before["each"], f["each"])
    mark = "**" if low > 0 or high < 0 else ""
    found = f"{said}<br>{mark}{gain:+.3f}{mark} ({low:+.3f} to {high:+.3f})"
    if {*before["each"], *f["each"]} <= {0.0, 1.0}:
        found += f", p = {mcnemar(before['each'], f['each']):.2g}"
    return found


def figure(stages: Mapping[str, Figures]) -> str:
    """A panel for each figure: its value with the interval at each stage."""
    names = [*dict.fromkeys(name for figures in stages.values() for name in figures)]
    panels = [_panel(name, [(stage, figures.get(name)) for stage, figures in stages.items()]) for name in names]
    placed = []
    for i, panel in enumerate(panels):
        x, y = i % COLUMNS * (WIDTH + 2 * GAP) + GAP, i // COLUMNS * (HEIGHT + TOP + GAP)
        placed.append(f'<g transform="translate({x} {y})">{panel}</g>')
    w, h = COLUMNS * (WIDTH + 2 * GAP), -(-len(panels) // COLUMNS) * (HEIGHT + TOP + GAP)
    style = "text{font:12px sans-serif;fill:#333}line,polyline{stroke:#2458a6;fill:none}circle{fill:#2458a6}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}">'
        f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(placed)}</svg>\n'
    )


def _panel(name: str, points: Sequence[tuple[str, Mapping[str, Any] | None]]) -> str:
    there = [f for _, f in points if f]
    low, high = min(f["low"] for f in there), max(f["high"] for f in there)
    span = high - low or 1.0
    y = lambda value: TOP + HEIGHT * (1 - (value - low) / span)  # noqa: E731
    x = lambda i: LEFT + i * (WIDTH - 2 * LEFT) / max(1, len(points) - 1)  # noqa: E731
    out = [f'<text x="0" y="18" font-weight="bold">{text(name)}</text>']
    out += [f'<text x="-6" y="{y(v):.0f}" text-anchor="end">{v:.2f}</text>' for v in dict.fromkeys((low, high))]
    for i, (stage, f) in enumerate(points):
        out.append(f'<text x="{x(i):.0f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{text(stage)}</text>')
        if f:
            out.append(f'<line x1="{x(i):.0f}" x2="{x(i):.0f}" y1="{y(f["low"]):.1f}" y2="{y(f["high"]):.1f}"/>')
            out.append(
                f'<circle cx="{x(i):.0f}" cy="{y(f["value"]):.1f}" r="3.5"><title>{f["value"]:.3f}</title></circle>'
            )
    line = " ".join(f"{x(i):.0f},{y(f['value']):.1f}" for i, (_, f) in enumerate(points) if f)
    return "".join([*out, f'<polyline points="{line}"/>'])
