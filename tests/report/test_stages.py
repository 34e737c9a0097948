"""The table and the figure of the curriculum, on numbers worked out by hand."""

from __future__ import annotations

from xml.etree import ElementTree

from m2jax.report import stages


def figure(*each: float) -> dict:
    mean = sum(each) / len(each)
    return {"value": mean, "low": mean - 0.1, "high": mean + 0.1, "each": list(each), "of": ""}


STAGES = {
    "start": {"score": figure(0.0, 0.0, 0.5, 0.5), "turns <6>": figure(6.0, 6.0)},
    "sft": {"score": figure(0.5, 0.5, 1.0, 1.0), "turns <6>": figure(6.0, 5.0)},
    "rl": {"score": figure(0.5, 0.5, 1.0)},
}


def test_gains_are_paired_and_those_beyond_doubt_are_marked():
    header, rule, score, turns = stages.table(STAGES).splitlines()
    assert header == "|  | start | sft | rl |" and rule == "| --- | --- | --- | --- |"
    cells = [cell.strip() for cell in score.strip("|").split("|")]
    assert cells[:2] == ["score", "0.250 (0.150 to 0.350)"]
    assert cells[2] == "0.750 (0.650 to 0.850)<br>**+0.500** (+0.500 to +0.500)"  # every record gained 0.5
    assert cells[3] == "0.667 (0.567 to 0.767)"  # other records: no gain can be paired
    assert "<br>-0.500 (-1.000 to +0.000)" in turns  # one of two records: may be chance
    assert turns.rstrip().endswith("|  |")
    other = {"score": STAGES["sft"]["score"] | {"of": "others"}}
    assert "<br>" not in stages.table({"start": STAGES["start"], "other": other})  # as many, but not the same


def test_figures_without_values_by_record_stand_alone():
    f = {"value": 0.5, "low": 0.25, "high": 0.75, "each": [], "of": ""}
    assert stages.table({"a": {"F1": f}, "b": {"F1": f}}).endswith(
        "| F1 | 0.500 (0.250 to 0.750) | 0.500 (0.250 to 0.750) |\n"
    )


def test_the_figure_has_a_panel_for_each_measure_and_a_point_for_each_stage():
    drawn = ElementTree.fromstring(stages.figure(STAGES))
    of = lambda tag: [e for e in drawn.iter() if e.tag.endswith("}" + tag)]  # noqa: E731
    assert len(of("g")) == 2 and len(of("circle")) == 5 and len(of("polyline")) == 2
    assert {"score", "turns <6>", "start", "sft", "rl"} <= {e.text for e in of("text")}
    y = [float(e.get("cy")) for e in of("circle")][:3]
    assert y[0] > y[2] > y[1]  # higher values higher up
