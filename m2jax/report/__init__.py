"""Reading a run folder for the report, whole or partial: what was measured, and what is missing.

A run folder holds `config.json`, `metrics.jsonl`, `eval_before.jsonl`, `eval_after.jsonl` and `summary.json`.
A run that was stopped early lacks some of them; every gap becomes a sentence in `Run.notes` and no gap is an
error. All scores are shares of the rubric's range, 0 to 1 (below 0 is possible under HealthBench's
normalisation).
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from m2jax.evaluate.stats import bootstrap_ci, distinct_ngrams, paired_gain
from m2jax.metrics import METRICS_FILE, read_jsonl

Row = dict[str, Any]
SIDES = (("before", "Before"), ("after", "After"))  # field of Run, word for a reader
CRITERIA_FILE = "criteria.jsonl"
MISSING = {
    "config.json": "the settings of the run are not known.",
    METRICS_FILE: "no training step was recorded, so there are no curves.",
    "eval_before.jsonl": "the start model was not evaluated on held-out questions.",
    "eval_after.jsonl": "the trained model was not evaluated; the run probably stopped early.",
    "summary.json": "the run did not reach its end. Numbers here come from the replies that were saved.",
}


@dataclass(frozen=True)
class Run:
    """What a run folder holds; an empty dict or list stands for what is missing, and `notes` says why."""

    config: Row
    metrics: list[Row]  # one a step
    before: list[Row]  # one a held-out reply, "criteria" and "messages" cleaned
    after: list[Row]
    summary: Row  # with "before", "after", "gain": from summary.json, else worked out from the replies
    notes: list[str]
    criteria: list[Row] = field(default_factory=list)  # the dynamic ones, where a run has such


@dataclass(frozen=True)
class Transcript:
    """One held-out question with the reply before and after training; either may be None."""

    topic: str
    before: Row | None
    after: Row | None

    @property
    def change(self) -> float | None:
        """Score after − before, None where one of the two is missing."""
        scores = [number(row.get("score")) if row else None for row in (self.before, self.after)]
        return None if None in scores else scores[1] - scores[0]


def read_run(workdir: Path) -> Run:
    """Everything the report shows. Raises only FileNotFoundError, where `workdir` is not a folder."""
    workdir = Path(workdir)
    if not workdir.is_dir():
        raise FileNotFoundError(f"{workdir} is not a folder: give the folder of a run")
    notes: list[str] = []

    def read(name: str, reader: Callable[[Path], Any], kind: type) -> Any:
        try:
            value = reader(workdir / name)
        except FileNotFoundError:
            notes.append(f"{name} is missing: {MISSING[name]}")
        except (ValueError, OSError) as error:
            notes.append(f"{name} could not be read ({error}): {MISSING[name]}")
        else:
            if isinstance(value, kind) and value:
                return value
            notes.append(f"{name} is empty or of another form: {MISSING[name]}")
        return kind()

    config, summary = (read(name, _read_json, dict) for name in ("config.json", "summary.json"))
    metrics, before, after = (
        read(name, read_jsonl, list) for name in (METRICS_FILE, "eval_before.jsonl", "eval_after.jsonl")
    )
    notes += _not_finite(metrics) + _alarms(metrics)
    before, after = _same_questions(*([_clean_reply(row) for row in rows] for rows in (before, after)), notes)
    criteria = [_clean_criterion(row) for row in read_criteria(workdir / CRITERIA_FILE, notes)]
    return Run(config, metrics, before, after, _complete(summary, before, after), notes, criteria)


def read_criteria(path: Path, notes: list[str]) -> list[Row]:
    """The dynamic criteria of a run; none where it has none."""
    try:
        return read_jsonl(path) if path.exists() else []
    except (ValueError, OSError) as error:
        notes.append(f"{path.name} could not be read ({error}): the dynamic criteria are not shown.")
        return []


def choose_transcripts(before: list[Row], after: list[Row], limit: int = 20) -> list[Transcript]:
    """At most `limit` questions, spread over topics, biggest change of score first.

    Which questions are shown does not depend on the scores: within a topic they come in the order of a hash
    of their id, and topics take turns. Of several samples of a question the first is shown.
    """
    sides = [_first_samples(rows) for rows in (before, after)]
    topics: dict[str, list[Transcript]] = {}
    for name in sorted(sides[0] | sides[1], key=_shuffled):
        pair = [side.get(name) for side in sides]
        topic = str((pair[0] or pair[1]).get("topic") or "other")
        topics.setdefault(topic, []).append(Transcript(topic, *pair))
    chosen: list[Transcript] = []
    for turn in range(max(map(len, topics.values()), default=0)):
        chosen += [group[turn] for _, group in sorted(topics.items()) if turn < len(group)]
    return sorted(chosen[:limit], key=lambda t: -1.0 if t.change is None else abs(t.change), reverse=True)


def _shuffled(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()


def number(value: object) -> float | None:
    """`value` where it is a finite number, else None."""
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        return float(value) if real and math.isfinite(value) else None
    except OverflowError:  # an integer beyond all floats
        return None


def described(rows: Sequence[Row]) -> Row:
    """loss and perplexity over the tokens of evaluated texts; {} where none has a loss."""
    pairs = [(number(row.get("loss")), number(row.get("tokens"))) for row in rows]
    pairs = [(loss, tokens) for loss, tokens in pairs if loss is not None and (tokens or 0) > 0]
    if not pairs:
        return {}
    loss = sum(loss * tokens for loss, tokens in pairs) / sum(tokens for _, tokens in pairs)
    return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}


def learned(rows: Sequence[Row]) -> list[Row]:
    """Without the documents of mid-training that are there to hold the model where it began."""
    return [row for row in rows if "kl" not in row or row.get("topic") not in ("general", "mathematics")]


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _not_finite(metrics: list[Row]) -> list[str]:
    """A sentence on the first step with a metric that is NaN or infinite, if there is one."""
    for row in metrics:
        if found := [f"{key} is {value}" for key, value in row.items() if value in ("nan", "inf", "-inf")]:
            return [f"At step {row.get('step')}, {', '.join(found)}: from there on the numbers mean nothing."]
    return []


def _alarms(metrics: list[Row]) -> list[str]:
    """A sentence on the steps at which the reward-hacking watch gave alarm, if there are any."""
    steps = [str(row.get("step")) for row in metrics if row.get("watch/alarm") == 1]
    if not steps:
        return []
    return [
        f"The judge and the checks have parted at step {', '.join(steps)}: on held-out cases the judge's scores rose "
        "more than the checks confirm, so the reward may have been hacked. See watch/gap."
    ]


def _clean_reply(row: Row) -> Row:
    """The row with only well-formed criteria and messages, and a reply that is text."""
    criteria, messages = (
        [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
        for found in (row.get("criteria"), row.get("messages"))
    )
    graded = [
        {"text": str(c.get("text", "")), "dimension": str(c.get("dimension") or "other"), "points": points}
        | {"met": c["met"], "probability": number(c.get("probability")), "by": str(c.get("by") or "unknown")}
        for c in criteria
        if (points := number(c.get("points"))) is not None and isinstance(c.get("met"), bool)
    ]
    kept = {key: value for key, value in row.items() if key not in ("pieces", "logp")}
    return kept | {"criteria": graded, "messages": messages, "reply": str(row.get("reply") or "")}


def _clean_criterion(row: Row) -> Row:
    """With texts that are texts and numbers that are numbers, or None."""
    texts = {key: str(row.get(key) or "") for key in ("case", "text", "state")}
    return texts | {key: number(row.get(key)) for key in ("points", "rate")}


def _same_questions(before: list[Row], after: list[Row], notes: list[str]) -> tuple[list[Row], list[Row]]:
    """Both sides cut to the questions they share, with a note, so that no mean compares unlike sets."""
    ids = [{str(row.get("id")) for row in rows} for rows in (before, after)]
    shared, whole = ids[0] & ids[1], ids[0] | ids[1]
    if not shared or shared == whole:
        return before, after
    notes.append(f"Only {len(shared)} of {len(whole)} held-out questions have replies before and after.")
    kept = ([row for row in rows if str(row.get("id")) in shared] for rows in (before, after))
    return next(kept), next(kept)


def _first_samples(rows: list[Row]) -> dict[str, Row]:
    """The first sample of every question, by its id."""
    first: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: number(row.get("sample")) or 0.0):
        first.setdefault(str(row.get("id")), row)
    return first


def _scores_by_question(rows: list[Row]) -> dict[str, list[float]]:
    scores: dict[str, list[float]] = {}
    for row in rows:
        if (score := number(row.get("score"))) is not None:
            scores.setdefault(str(row.get("id")), []).append(score)
    return scores


def _complete(summary: Row, before: list[Row], after: list[Row]) -> Row:
    """The summary with "before", "after" and "gain" as dicts, each number it lacks from the replies."""
    sides = {"before": before, "after": after}
    scores = {name: _scores_by_question(rows) for name, rows in sides.items()}
    done = dict(summary)
    for name, rows in sides.items():
        given = _numbers(summary.get(name))
        done[name] = (
            given if {"score", "low", "high", "distinct3"} <= given.keys() else _describe(rows, scores[name]) | given
        )
    both = [question for question in scores["before"] if question in scores["after"]]
    found = dict.fromkeys(("mean", "low", "high")) | _numbers(summary.get("gain"))
    if both and None in found.values():
        gain = paired_gain(*([scores[name][question] for question in both] for name in sides))
        found = dict(zip(("mean", "low", "high"), gain, strict=True)) | _numbers(summary.get("gain"))
    done["gain"] = found
    return done


def _describe(rows: list[Row], scores: dict[str, list[float]]) -> Row:
    """score, low, high, base_logp, distinct3, tokens of a set of replies; loss and perplexity of texts; {} for none."""
    if not scores:
        return _numbers(described(learned(rows)))
    score, low, high = bootstrap_ci(list(scores.values()))
    means = {}
    for key in ("base_logp", "tokens"):
        values = [value for row in rows if (value := number(row.get(key))) is not None]
        means[key] = statistics.fmean(values) if values else None
    distinct = distinct_ngrams(row["reply"] for row in rows)
    return {"score": score, "low": low, "high": high, "distinct3": distinct} | means


def _numbers(given: object) -> Row:
    found = given.items() if isinstance(given, dict) else ()
    return {key: number(value) for key, value in found if number(value) is not None}
