"""HealthBench: scores worked out by hand, and evaluations that are interrupted."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from configs import eval_healthbench
from m2jax import adapters
from m2jax.evaluate import healthbench, healthbench_run
from m2jax.evaluate.healthbench import Example, Item, Label, by_group, clipped, load, load_meta, meta_figures, score
from m2jax.models import lora
from m2jax.outside.endpoint import Said
from m2jax.report import stages
from m2jax.weights.adapter import write_adapter
from m2jax.weights.load import read_config
from tests.conftest import REPOSITORY
from tests.outside.fake_server import last, serving
from tests.train.tiny_run import write_model

SHARED = Path(os.environ.get("M2JAX_SHARED", REPOSITORY.parent / "shared"))
SAMPLE = SHARED / "data" / "healthbench-sample" / "healthbench_100.jsonl"
ITEMS = (
    Item("Says to rest.", 5, ("axis:accuracy", "level:example")),
    Item("Asks about fever.", 3, ("axis:context_awareness",)),
    Item("Promises a cure.", -4, ("axis:accuracy",)),
    Item("Is rude.", -2, ("axis:communication_quality",)),
)


def row(number: int, items=ITEMS, tags=("theme:hedging",)) -> dict:
    return {
        "prompt_id": f"p{number}",
        "prompt": [{"role": "user", "content": f"I have a cold, number {number}."}],
        "rubrics": [{"criterion": i.text, "points": i.points, "tags": list(i.tags)} for i in items],
        "example_tags": list(tags),
        "ideal_completions_data": None,
    }


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_an_examples_score_is_met_points_over_positive_points():
    assert score(ITEMS, [True, False, False, False]) == 5 / 8
    assert score(ITEMS, [True, True, True, True]) == 2 / 8
    assert score(ITEMS, [False, False, True, True]) == -6 / 8
    assert score(ITEMS[2:], [True, False]) is None


def test_themes_are_of_examples_and_axes_of_criteria_with_a_tag():
    examples = [
        Example("a", (), ITEMS, ("theme:hedging",)),
        Example("b", (), ITEMS[:2], ("theme:hedging", "theme:global")),
        Example("c", (), ITEMS[2:], ("theme:global",)),  # nothing to earn: no score
    ]
    found = by_group(examples, [[True, False, True, True], [True, True], [True, True]])
    assert found == {
        "overall": {"a": -1 / 8, "b": 1.0},
        "theme:hedging": {"a": -1 / 8, "b": 1.0},
        "theme:global": {"b": 1.0},
        "axis:accuracy": {"a": 1 / 5, "b": 1.0},
        "level:example": {"a": 1.0, "b": 1.0},
        "axis:context_awareness": {"a": 0.0, "b": 1.0},
    }


def test_what_the_length_of_a_reply_costs_and_earns():
    assert healthbench.adjusted(0.5, "x" * 2000) == 0.5
    assert healthbench.adjusted(1.0, "x" * 2500) == pytest.approx(1 - 0.0147)
    assert healthbench.adjusted(-0.1, "") == pytest.approx(-0.1 + 4 * 0.0147)  # 2,000 characters fewer than 2,000


@pytest.mark.skipif(not SAMPLE.exists(), reason="the public sample of HealthBench is not here")
def test_figures_of_the_public_sample_are_those_of_the_published_formula():
    rows = [json.loads(line) for line in SAMPLE.read_text("utf-8").splitlines()]
    draw = np.random.default_rng(0)
    met = [draw.random(len(row["rubrics"])) < 0.6 for row in rows]

    def published(name: str) -> list[float]:
        """Of each example that has the tag all criteria, of others those that have it; where there are any to earn."""
        scores = []
        for row, verdicts in zip(rows, met, strict=True):
            whole = name == "overall" or name in row["example_tags"]
            points = np.array([c["points"] if whole or name in c["tags"] else 0 for c in row["rubrics"]])
            if (points > 0).any():
                scores.append(points[verdicts].sum() / points[points > 0].sum())
        return scores

    tags = {t for row in rows for t in row["example_tags"]} | {
        t for row in rows for c in row["rubrics"] for t in c["tags"]
    }
    expected = {name: scores for name in ("overall", *tags) if (scores := published(name))}
    groups = by_group(load(SAMPLE), [verdicts.tolist() for verdicts in met])
    assert groups.keys() == expected.keys() and len(groups["overall"]) == len(rows)
    figures = {name: clipped(name, scores) for name, scores in groups.items()}
    for name, scores in expected.items():
        assert [*groups[name].values()] == pytest.approx(scores), name
        assert figures[name].value == pytest.approx(min(1, max(0, sum(scores) / len(scores)))), name
    kinds = [name.split(":")[0] for name in expected]
    assert kinds.count("theme") >= 6 and kinds.count("axis") == 5
    assert any(score < 0 for score in expected["overall"]) and 0 < figures["overall"].value < 1
    draws = [np.clip(draw.choice(expected["overall"], len(rows)).mean(), 0, 1) for _ in range(1000)]
    said = float(figures["overall"].note.removeprefix("bootstrap sd "))
    assert said == pytest.approx(np.std(draws), rel=0.1)  # of other resamples: 1,000 of them tell it to 2%


def test_the_mean_is_clipped_and_not_the_examples():
    low = clipped("x", {"a": -0.9, "b": -0.5, "c": 0.2})
    assert low.value == 0 and low.low == 0 and low.n == 3
    mixed = clipped("x", {"a": -0.5, "b": 1.0, "c": 0.7})
    assert mixed.value == pytest.approx(0.4) and 0 <= mixed.low < 0.4 < mixed.high <= 1
    same = clipped("x", dict.fromkeys("abcdefghi", 0.25))
    assert (same.value, same.low, same.high, same.n, same.note) == (0.25, 0.25, 0.25, 9, "bootstrap sd 0.0000")


def test_two_models_are_paired_by_example():
    before, after, other = (
        {"HealthBench overall": dataclasses.asdict(clipped("HealthBench overall", dict(zip(ids, scores, strict=True))))}
        for ids, scores in (("abc", (0.1, -0.2, 0.4)), ("abc", (0.3, 0.2, 0.4)), ("abd", (0.3, 0.2, 0.4)))
    )
    assert "<br>+0.200 (+0.000 to +0.400)" in stages.table({"a": before, "b": after})
    assert "<br>" not in stages.table({"a": before, "b": other})


def test_a_grader_is_paired_with_every_physician():
    user = ({"role": "user", "content": "Hello."},)
    said = lambda category, labels: Label(user, "Hi.", Item("Greets.", 1), category, labels)  # noqa: E731
    rows = [said("a", (True, True)), said("a", (True, False)), said("a", (False, False)), said("b", (False,))]
    a, b, mean = meta_figures(rows, [True, True, False, False])
    # category a: pairs (T,T) (T,T) (T,T) (T,F) (F,F) (F,F): F1 of yes 6/7, of no 4/5
    assert a.value == pytest.approx((6 / 7 + 4 / 5) / 2) and a.n == 3
    assert b.value == pytest.approx(1 / 2)  # no "met" on either side counts as 0
    assert mean.value == pytest.approx((a.value + b.value) / 2)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "hb.jsonl:2: Expecting"),
        ('{"prompt_id": "x"}', "hb.jsonl:2: not a row of HealthBench: KeyError"),
        (json.dumps(row(1) | {"prompt": [{"role": "assistant", "content": "Hi."}]}), "hb.jsonl:2: .*must be the user"),
        (json.dumps(row(1, (Item("x", "5"),))), "hb.jsonl:2: points is '5'"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, what: str):
    path = tmp_path / "hb.jsonl"
    path.write_text(json.dumps(row(0)) + "\n" + text + "\n")
    with pytest.raises(ValueError, match=what):
        load(path)


def test_verdicts_are_read_from_what_endpoints_say():
    good = {"met": True, "explanation": "so"}
    text = '{"explanation": "so", "criteria_met": true}'
    assert healthbench_run.verdict_of(Said(text)) == good
    assert healthbench_run.verdict_of(Said(f"```json\n{text}\n```")) == good
    for bad in ("", "yes", "[1]", '{"criteria_met": "true"}', '{"explanation": "x"}'):
        assert healthbench_run.verdict_of(Said(bad)) is None


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("model")))


def config(tmp_path: Path, model: str, n: int = 3):
    c = eval_healthbench.get_config("smoke")
    c.model, c.workdir, c.n, c.longest = model, str(tmp_path / "run"), n, 4096
    c.data = str(write(tmp_path / "hb.jsonl", [row(i) for i in range(n)]))
    return c


def test_a_local_grader_and_an_interruption(tmp_path: Path, model: str):
    c = config(tmp_path, model)
    told: list[str] = []
    figures = {f.name: f for f in healthbench_run.run(c, told.append)}
    assert figures["HealthBench overall"].n == figures["HealthBench theme:hedging"].n == 3
    assert len(figures["tokens of a reply"].each) == 3 and not figures["tokens of a reply"].note
    assert "replies: 3 of 3 to do" in told and "verdicts: 3 of 3 to do" in told
    files = [Path(c.workdir) / name for name in ("replies.jsonl", "verdicts.jsonl")]
    whole = [file.read_text() for file in files]
    verdicts = [json.loads(line)["verdicts"] for line in whole[1].splitlines()[1:]]
    assert all(0 <= v["probability"] <= 1 and v["met"] == (v["probability"] > 0.5) for vs in verdicts for v in vs)
    met = [[v["met"] for v in vs] for vs in verdicts]
    assert figures["HealthBench overall"].value == np.clip(np.mean([score(ITEMS, m) for m in met]), 0, 1)
    replies = [json.loads(line)["reply"] for line in whole[0].splitlines()[1:]]
    costs = [score(ITEMS, m) - 0.0147 * (len(r) / 500 - 4) for m, r in zip(met, replies, strict=True)]
    adjusted = figures["HealthBench overall, adjusted for length"]
    assert adjusted.value == pytest.approx(np.clip(np.mean(costs), 0, 1))

    files[1].write_text("\n".join(whole[1].splitlines()[:3]) + '\n{"id": "2", "verd')  # killed while it wrote
    told.clear()
    again = {f.name: f for f in healthbench_run.run(c, told.append)}
    assert again == figures and "verdicts: 1 of 3 to do" in told and not any("replies" in t for t in told)
    assert files[1].read_text().startswith("\n".join(whole[1].splitlines()[:3]) + "\n")  # what was there stays
    assert len(files[1].read_text().splitlines()) == 4

    c.max_tokens = 8
    with pytest.raises(ValueError, match="begun with other values of max_tokens"):
        [*healthbench_run.run(c, told.append)]


def test_an_adapter_grades(tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch):
    c = config(tmp_path, model, n=2)
    cfg = read_config(Path(model))
    zero = lora.init(cfg, jax.random.key(0), 4, 8.0, stacked=False)
    for name, seed in (("grader", 1), ("own", 2)):
        key = jax.random.key(seed)
        made = jax.tree.map(lambda x, key=key: x if x.any() else jax.random.normal(key, x.shape), zero)
        write_adapter(cfg, made, tmp_path / f"{name}.safetensors")
    write_adapter(cfg, zero, tmp_path / "zero.safetensors")
    (tmp_path / "grader.json").write_text("{}")
    monkeypatch.setattr(adapters, "path", lambda name: tmp_path / f"{name}.safetensors")

    def graded(adapter: str) -> list[float]:
        c.judge.adapter = adapter
        verdicts, told = Path(c.workdir) / "verdicts.jsonl", []
        verdicts.unlink(missing_ok=True)
        figures = [*healthbench_run.run(c, told.append)]
        assert figures[0].n == 2 and ("replies: 2 of 2 to do" in told) == (not adapter)  # the replies are the model's
        rows = {row["id"]: row for row in map(json.loads, verdicts.read_text().splitlines()[1:])}
        return [v["probability"] for i in "01" for v in rows[i]["verdicts"]]

    plain = graded("")
    assert graded(str(tmp_path / "zero.safetensors")) == pytest.approx(plain, abs=1e-6)
    shipped, own = graded("grader"), graded(str(tmp_path / "own.safetensors"))
    for one, other in ((shipped, plain), (own, plain), (own, shipped)):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 1e-3

    for wrong in ("nurse", str(tmp_path), str(tmp_path / "none.safetensors")):
        c.judge.adapter, c.model = wrong, "no model"  # it is said before anything is loaded
        with pytest.raises(ValueError, match=r"config\.judge\.adapter is .*give one of grader, a file"):
            [*healthbench_run.run(c, lambda _: None)]
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))
    c.judge.adapter = str(tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match="lora_alpha 8 and r 4"):
        [*healthbench_run.run(c, lambda _: None)]


def judged_by(url: str, tmp_path: Path, model: str):
    """Two examples, an endpoint for a grader."""
    c = config(tmp_path, model, n=2)
    c.judge.url, c.judge.model = url, "grader"
    return c


def test_an_endpoint_grades_each_criterion_once_and_is_asked_again_where_it_gives_no_verdict(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("M2JAX_CACHE", str(tmp_path / "cache"))
    tries: dict[str, int] = {}

    def behave(number: int, body: dict) -> str:
        asked = last(body)
        tries[asked] = tries.get(asked, 0) + 1
        if "[3] Asks about fever." in asked:
            return "I cannot say."
        return json.dumps({"explanation": "because", "criteria_met": "[5] Says to rest." in asked})

    with serving(behave) as server:
        c = judged_by(server.url, tmp_path, model)
        figures = {f.name: f for f in healthbench_run.run(c, lambda _: None)}
        assert figures["HealthBench overall"].value == 5 / 8
        assert "2 criteria without a verdict" in figures["HealthBench overall"].note
        asked = len(server.asked)
        assert [*healthbench_run.run(c, lambda _: None)] == [*figures.values()] and len(server.asked) == asked
    assert all("user: I have a cold" in text and "assistant:" in text for text in tries)
    assert server.asked[0]["response_format"]["json_schema"]["schema"] == json.loads(healthbench_run.SCHEMA)


def test_what_an_endpoint_refuses_has_no_verdict_and_the_rest_goes_on(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("M2JAX_CACHE", str(tmp_path / "cache"))

    def behave(number: int, body: dict) -> dict | str:
        if "[3] Asks about fever." in last(body):
            return {"status": 400, "body": b"filtered"}
        return json.dumps({"explanation": "because", "criteria_met": "[5] Says to rest." in last(body)})

    with serving(behave) as server:
        c = judged_by(server.url, tmp_path, model)
        figures = {f.name: f for f in healthbench_run.run(c, lambda _: None)}
        assert len([body for body in server.asked if "[3] Asks about fever." in last(body)]) == 2  # of each reply, once
    assert figures["HealthBench overall"].value == 5 / 8
    assert "2 criteria without a verdict" in figures["HealthBench overall"].note


def test_what_has_changed_since_is_asked_again(tmp_path: Path, model: str):
    c = config(tmp_path, model, n=2)
    [*healthbench_run.run(c, lambda _: None)]
    rows = [json.loads(line) for line in Path(c.data).read_text().splitlines()]
    rows[1]["prompt"][0]["content"] = "I have a fever, for three days."
    write(Path(c.data), rows)
    told: list[str] = []
    [*healthbench_run.run(c, told.append)]
    assert "replies: 1 of 2 to do" in told and "verdicts: 1 of 2 to do" in told


def test_the_grader_is_held_against_physicians(tmp_path: Path, model: str):
    rows = [
        {
            "prompt": [{"role": "user", "content": "I cough."}],
            "completion": "Rest.",
            "rubric": "Says to rest.",
            "category": f"c{i % 2}",
            "binary_labels": [True, i == 0],
        }
        for i in range(4)
    ]
    c = config(tmp_path, model)
    c.data, c.meta = "", str(write(tmp_path / "meta.jsonl", rows))
    figures = [*healthbench_run.run(c, lambda _: None)]
    assert [f.name for f in figures] == [f"physicians{x}: macro F1" for x in (", c0", ", c1", "")]
    assert all(0 <= f.value <= 1 for f in figures)
    write(tmp_path / "meta.jsonl", [rows[0] | {"binary_labels": []}])
    with pytest.raises(ValueError, match="binary_labels is"):
        load_meta(c.meta)


def test_a_long_criterion_is_graded(tmp_path: Path, model: str):
    c = config(tmp_path, model, n=1)
    long = Item("Says all of this: " + "rest and drink, " * 60, 4)
    c.data = str(write(tmp_path / "hb.jsonl", [row(0, (long, *ITEMS))]))
    assert [f.n for f in healthbench_run.run(c, lambda _: None) if f.name == "HealthBench overall"] == [1]


def test_what_cannot_be_is_said_at_the_start(tmp_path: Path, model: str):
    c = config(tmp_path, model)
    c.longest = 16
    with pytest.raises(ValueError, match=r"config\.longest is 16: raise it"):
        [*healthbench_run.run(c, lambda _: None)]
    c.data = ""
    with pytest.raises(ValueError, match=r"either config\.data"):
        [*healthbench_run.run(c, lambda _: None)]
