"""The report as a reader's browser sees it: whole, closed to the outside, inert, and honest about gaps."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from m2jax.evaluate import heldout
from m2jax.report import choose_transcripts, read_run
from m2jax.report.html import write_report

VOID = {"meta", "link", "br", "hr", "img", "input"}
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&</style></pre></td>${body}\x00\ud800\u202e"


class Page(HTMLParser):
    """Checks balance while it reads, and keeps tags, attributes and the text of every element."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute of {tag} comes twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "path", f"<{tag}/> is not closed by itself in HTML"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.tags if t == tag and all(a.get(k) == v for k, v in wanted.items())]


def reply(index: int, side: str, score: float, sample: int = 0, words: str = "") -> dict[str, Any]:
    met = side == "after"
    return {
        "id": f"q{index}",
        "topic": f"topic {index % 5}",
        "messages": [{"role": "user", "content": f"question {index} {words}"}],
        "sample": sample,
        "reply": f"{side} reply {index} sample {sample} {words}",
        "tokens": 40,
        "score": score,
        "base_logp": -1.5,
        "criteria": [
            {"text": f"asks {words}", "points": 5, "dimension": f"history_taking {words}", "met": met}
            | {"probability": 0.875, "by": "judge"},
            {"text": "delays", "points": -4, "dimension": "safety", "met": not met}
            | {"probability": None, "by": "check"},
        ],
    }  # fmt: skip


def run_data(words: str = "", questions: int = 30) -> dict[str, Any]:
    """The contents of a complete run folder, by file name; `words` goes wherever outside text can."""
    scores = [(0.3, 0.3 + (0.02 * i if i % 3 else -0.02 * i)) for i in range(questions)]
    side = {"score": 0.3, "low": 0.25, "high": 0.36, "base_logp": -1.5, "distinct3": 0.9, "tokens": 40.0}
    return {
        "config.json": {
            "model": f"tiny {words}",
            "command": f"python launch/train.py {words}",
            "grpo": {"lr": 2e-6, "nested": {f"key {words}": [1, words]}, "empty": {}},
        },
        "metrics.jsonl": [
            {"step": i, "reward/score": 0.3 + i / 100, "update/grad_norm": 1 / (i + 1), "compiles": 3}
            | {f"judge/{words or 'seconds'}": 2.0, "phase": "rl"}
            for i in range(40)
        ],
        "eval_before.jsonl": [reply(i, "before", b, words=words) for i, (b, _) in enumerate(scores)],
        "eval_after.jsonl": [reply(i, "after", a, words=words) for i, (_, a) in enumerate(scores)],
        "summary.json": {
            "model": f"tiny {words}", "seconds": 720, "steps": 40, "device": f"cpu {words}",
            "before": side, "after": side | {"score": 0.42, "low": 0.37, "high": 0.48},
            "gain": {"mean": 0.12, "low": 0.05, "high": 0.19},
        },
    }  # fmt: skip


def save(workdir: Path, data: dict[str, Any]) -> Path:
    workdir.mkdir(exist_ok=True)
    for name, value in data.items():
        rows = value if name.endswith(".jsonl") else [value]
        (workdir / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return workdir


def page_of(workdir: Path) -> tuple[Page, str]:
    path = write_report(workdir)
    assert path == workdir / "report.html" and not path.with_name("report.html.tmp").exists()
    source = path.read_text("utf-8")
    return Page(source), source


def test_a_whole_run_is_told_in_full(tmp_path: Path) -> None:
    page, _ = page_of(save(tmp_path, run_data()))
    said = page.text
    assert "Held-out score 30.0 → 42.0" in said
    assert "On 30 patient questions kept out of training, replies earned 30.0 of 100" in said
    assert "+12.0 points (95% interval +5.0 to +19.0)" in said and "above zero" in said
    assert "−1.50 → −1.50" in said and "90% → 90%" in said and "40 tokens → 40 tokens" in said
    assert "tiny · 40 training steps · cpu · 12 min" in re.sub(r"\s+·", " ·", said)
    assert "History taking Before 0.0 After 100.0" in said  # 5 points, met only after
    assert "python launch/train.py" in said and "grpo.nested.key" in said
    assert "What is missing or wrong" not in said
    assert [a["aria-label"].split(",")[0] for a in page.all("svg")][:2] == [
        "reward/score",
        "update/grad_norm",
    ]


def test_the_page_is_one_file_that_asks_for_nothing(tmp_path: Path) -> None:
    page, source = page_of(save(tmp_path, run_data()))
    for tag, attrs in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        assert not {"src", "srcset", "action", "onclick", "onload"} & attrs.keys()
        assert attrs.get("href", "#").startswith("#")
    assert not re.search(r"https?:|url\(|@import|//[a-z]", source)
    targets = {a["href"] for a in page.all("a")}
    assert targets == {"#" + a["id"] for a in page.all("section") if "id" in a}


def test_only_its_own_script_may_run(tmp_path: Path) -> None:
    page, source = page_of(save(tmp_path, run_data(EVIL)))
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';") and f"script-src 'sha256-{digest}';" in policy


def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    tame, _ = page_of(save(tmp_path / "tame", run_data("plain")))
    page, source = page_of(save(tmp_path / "evil", run_data(EVIL)))
    # Hostile text gives the very same elements as plain text: none of it became markup.
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in tame.tags]
    assert [set(attrs) for _, attrs in page.tags] == [set(attrs) for _, attrs in tame.tags]
    assert len(page.all("script")) == 1 and "\x00" not in source
    for place in ("question 3", "before reply 3", "asks", "launch/train.py", "grpo.nested.key", "cpu"):
        assert re.search(re.escape(place) + r"( sample 0)? <script>alert\(1\)</script>", page.text), place


def test_twenty_transcripts_over_all_topics_biggest_change_first(tmp_path: Path) -> None:
    data = run_data()
    workdir = save(tmp_path, data)
    page, source = page_of(workdir)
    cards = page.all("article")
    assert len(cards) == 20
    chosen = choose_transcripts(data["eval_before.jsonl"], data["eval_after.jsonl"])
    changes = [abs(t.change) for t in chosen]
    assert changes == sorted(changes, reverse=True)
    assert all([t.topic for t in chosen].count(f"topic {i}") == 4 for i in range(5))
    counts = {name: [c["data-change"] for c in cards].count(name) for name in ("better", "worse")}
    assert counts["better"] and counts["worse"]
    assert f"All 20 Better {counts['better']} Worse {counts['worse']}" in page.text
    assert [b["aria-pressed"] for b in page.all("button")] == ["true", "false", "false"]
    card = source[source.index("<article") : source.index("</article>") + len("</article>")]
    told = Page(card).text
    assert "✗ not met judge 0.88" in told and "✓ met judge 0.88" in told
    assert "✓ met check" in told and "✗ not met check" in told and "a fault" in told
    assert "+5" in told and "−4" in told
    # A fault that is met is bad news, one that is not met is good news.
    fault = card[card.index("delays") :]
    assert re.findall(r'class="(good|bad)"', fault) == ["bad", "good"]


def test_the_choice_of_transcripts_does_not_look_at_scores() -> None:
    before = [reply(i, "before", 0.3) for i in range(60)]
    picks = [
        {t.before["id"] for t in choose_transcripts(before, [reply(i, "after", f(i)) for i in range(60)])}
        for f in (lambda i: i / 60, lambda i: 1 - i / 60, lambda i: 0.3)
    ]
    assert picks[0] == picks[1] == picks[2] and len(picks[0]) == 20


def test_the_first_sample_of_a_question_is_shown() -> None:
    before = [reply(0, "before", 0.1, sample=s) for s in (2, 0, 1)]
    after = [reply(0, "after", 0.2, sample=s) for s in (1, 0)]
    (only,) = choose_transcripts(before, after)
    assert (only.before["sample"], only.after["sample"]) == (0, 0)


def test_a_criterion_that_stands_twice_is_marked_twice(tmp_path: Path) -> None:
    data = run_data(questions=1)
    for name in ("eval_before.jsonl", "eval_after.jsonl"):
        again = data[name][0]["criteria"][0]
        data[name][0]["criteria"].append(again | {"points": 2, "met": not again["met"]})
    _, source = page_of(save(tmp_path, data))
    marked = re.findall(r'<th scope="row">asks </th><td class="points num">(..)</td>(.*?)</tr>', source)
    assert [(points, re.findall("[✓✗]", marks)) for points, marks in marked] == [("+5", ["✗", "✓"]), ("+2", ["✓", "✗"])]


def test_a_reply_that_hit_the_limit_is_said_to_end_there(tmp_path: Path) -> None:
    data = run_data(questions=1)
    data["config.json"]["sampling"] = {"max_tokens": 40}
    data["eval_after.jsonl"][0]["tokens"] = 39
    page, _ = page_of(save(tmp_path, data))
    assert page.text.count("at the limit of 40 tokens") == 1


def test_a_difference_of_rounding_is_no_change(tmp_path: Path) -> None:
    data = {f"eval_{side}.jsonl": [reply(0, side, s)] for side, s in (("before", 0.3), ("after", 0.1 + 0.2))}
    page, _ = page_of(save(tmp_path, data))
    assert [a["data-change"] for a in page.all("article")] == ["same"] and "no change" in page.text


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        ({"mean": 0.1, "low": 0.01, "high": 0.2}, "above zero"),
        ({"mean": 0.1, "low": -0.01, "high": 0.2}, "may be chance"),
        ({"mean": -0.1, "low": -0.2, "high": -0.01}, "got worse"),
    ],
)
def test_the_sentence_says_what_the_interval_allows(tmp_path: Path, gain: dict, said: str) -> None:
    data = run_data()
    data["summary.json"]["gain"] = gain
    page, _ = page_of(save(tmp_path, data))
    assert [s for s in ("above zero", "may be chance", "got worse") if s in page.text] == [said]


def test_an_empty_folder_gives_a_page_that_names_every_gap(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path)
    for name in run_data():
        assert f"{name} is missing" in page.text
    assert "No held-out score yet" in page.text
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_report(tmp_path / "nowhere")


def test_a_run_stopped_early_shows_what_it_has(tmp_path: Path) -> None:
    data = run_data()
    del data["eval_after.jsonl"], data["summary.json"]
    workdir = save(tmp_path, data)
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "rewar')
    page, _ = page_of(workdir)
    assert "Before training: 30.0 of 100" in page.text and "steps 0 to 39" in page.text
    assert "eval_after.jsonl is missing" in page.text and "No reply was saved." in page.text
    assert len(page.all("article", **{"data-change": "unknown"})) == 20
    assert page.all("button") == []  # nothing to choose between


def test_without_a_summary_the_numbers_come_from_the_replies(tmp_path: Path) -> None:
    data = run_data()
    del data["summary.json"]
    data["eval_after.jsonl"] = data["eval_after.jsonl"][:12]  # an evaluation that was cut off
    run = read_run(save(tmp_path, data))
    assert len(run.before) == len(run.after) == 12  # only questions both sides have are compared
    assert any("Only 12 of 30" in note for note in run.notes)
    changes = [a["score"] - b["score"] for a, b in zip(run.after, run.before, strict=True)]
    gain = run.summary["gain"]
    assert gain["mean"] == pytest.approx(sum(changes) / 12) and gain["low"] < gain["mean"] < gain["high"]
    assert run.summary["before"]["base_logp"] == -1.5 and run.summary["before"]["tokens"] == 40


def test_a_report_without_a_summary_counts_as_the_summary_does(tmp_path: Path) -> None:
    rows = {
        side: [
            reply(i, side, (i * step % 11) / 10, sample, "Take rest. Take rest.")
            for i in (2, 0, 1)
            for sample in (0, 1)
        ]
        for side, step in (("before", 3), ("after", 7))
    }
    workdir = save(tmp_path, {f"eval_{side}.jsonl": side_rows for side, side_rows in rows.items()})
    files = [workdir / f"eval_{side}.jsonl" for side in rows]
    summary = read_run(workdir).summary
    assert [summary[side] for side in rows] == [heldout.summarise(file) for file in files]
    assert summary["gain"] == pytest.approx(heldout.gain(*files))
    assert 0 < summary["before"]["distinct3"] < 1


def test_a_supervised_run_has_losses_and_no_replies(tmp_path: Path) -> None:
    """Of a run that goes on too; of mid-training the medical documents alone make the headline."""
    rows = [
        {"id": f"d{i}", "topic": topic, "loss": loss, "kl": 0.0, "tokens": 100}
        for i, (topic, loss) in enumerate((("notes", 2.0), ("general", 9.0)))
    ]
    side = {"loss": 2.0, "perplexity": 7.389, "tokens": 52_200}
    summary = {"before": side, "after": side, "gain": {"mean": 0.5, "low": 0.25, "high": 0.75}}
    workdir = save(tmp_path, {"config.json": {"stage": "midtrain"}, "eval_before.jsonl": rows})
    odd = [{"loss": 9.0, "tokens": n} for n in (-100, 0, "many", 10**400)]
    save(workdir, {"eval_before.jsonl": rows + odd})
    assert read_run(workdir).summary["before"] == {"loss": 2.0, "perplexity": pytest.approx(7.389, 1e-3)}
    page, _ = page_of(save(workdir, {"eval_after.jsonl": rows, "summary.json": summary}))
    assert "Held-out perplexity 7.39 → 7.39" in page.text and "fell by 0.5000" in page.text
    assert "Length of a reply" not in page.text


def test_damaged_files_and_nan_are_reported(tmp_path: Path) -> None:
    data = run_data()
    data["metrics.jsonl"][7]["update/loss"] = "nan"
    workdir = save(tmp_path, data)
    (workdir / "config.json").write_text("{half")
    (workdir / "summary.json").write_text("[]")
    (workdir / "eval_before.jsonl").write_text('{"id": "a"}\nrubbish\n{"id": "b"}\n')
    page, _ = page_of(workdir)
    for said in (
        "config.json could not be read",
        "summary.json is empty",
        "line 2",
        "At step 7, update/loss is nan",
    ):
        assert said in page.text


@pytest.mark.parametrize("steps", [1, 2, 29, 30, 5000])
def test_a_curve_is_drawn_for_any_number_of_steps(tmp_path: Path, steps: int) -> None:
    data = {"metrics.jsonl": [{"step": i, "a/rising": 2.0 * i, "a/flat": 3} for i in range(steps)]}
    page, _ = page_of(save(tmp_path, data))
    assert sorted(a["aria-label"].split(",")[0] for a in page.all("svg")) == ["a/flat", "a/rising"]
    for path in page.all("path"):
        points = [tuple(map(float, pair.split())) for pair in path["d"][1:].split("L")]
        assert 2 <= len(points) <= 601
        assert all(0 <= x <= 600 and 0 <= y <= 100 for x, y in points)
        assert [x for x, _ in points] == sorted(x for x, _ in points)


def paths(value: Any, at: tuple = ()) -> list[tuple]:
    """Every place in a nested value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] * bool(at) + [found for key, inner in items for found in paths(inner, (*at, key))]


SMALL = run_data(questions=3)
SMALL["metrics.jsonl"] = SMALL["metrics.jsonl"][:2]
junk = st.sampled_from([None, "nan", "text", 7, -1.5, True, [], {}, [1, None], {"a": {"b": None}}, "<b>"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(paths(SMALL)), junk), min_size=1, max_size=6))
def test_no_damage_inside_the_files_stops_the_report(tmp_path: Path, changes: list[tuple]) -> None:
    data = copy.deepcopy(SMALL)
    for place, value in changes:
        inside: Any = data
        for key in place[:-1]:
            try:
                inside = inside[key]
            except (KeyError, IndexError, TypeError):  # an earlier change removed this place
                break
        else:
            if isinstance(inside, dict) and not (len(place) == 1 and place[0].endswith(".jsonl")):
                inside[place[-1]] = value
            elif isinstance(inside, list) and inside and isinstance(place[-1], int):
                inside[place[-1] % len(inside)] = value
    page, _ = page_of(save(tmp_path, data))
    assert page.all("h1")


def test_an_alarm_of_the_watch_is_said(tmp_path: Path) -> None:
    rows = [
        {"step": 1, "watch/alarm": 0.0},
        {"step": 2},
        {"step": 3, "watch/alarm": 1.0},
        {"step": 5, "watch/alarm": 1.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert any("parted at step 3, 5: on held-out" in note for note in read_run(tmp_path).notes)
    (tmp_path / "metrics.jsonl").write_text(json.dumps(rows[0]) + "\n")
    assert not any("parted" in note for note in read_run(tmp_path).notes)
