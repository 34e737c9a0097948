"""The conditions: what the data promise, and that bad data are named by file, condition and field."""

from __future__ import annotations

import re
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest

from m2jax.clinic.condition import conditions, load_conditions

FOLDER = Path(str(resources.files("m2jax.clinic") / "conditions"))


def test_counts_promised() -> None:
    """60 conditions over 12 specialties, common ones and those that must not be missed."""
    assert len(conditions()) >= 60
    assert len({c.specialty for c in conditions()}) >= 12
    assert sum(c.must_not_miss for c in conditions()) >= 20
    assert sum(c.prevalence >= 20 for c in conditions()) >= 20


def test_split_holds_out_about_a_quarter_of_every_specialty() -> None:
    """Both splits know every specialty, and no condition by name or synonym stands in both."""
    heldout = [c for c in conditions() if c.split == "heldout"]
    train = [c for c in conditions() if c.split == "train"]
    assert 0.2 <= len(heldout) / len(conditions()) <= 0.3
    assert {c.specialty for c in heldout} == {c.specialty for c in train}
    assert not {c.name for c in heldout} & {name.lower() for c in train for name in (c.name, *c.names)}


@pytest.mark.parametrize("condition", conditions(), ids=lambda c: c.id)
def test_a_condition_is_whole(condition) -> None:
    """What the issue asks of each: findings, negatives, signs, tests, advice, sources."""
    findings = condition.symptoms + condition.history
    assert len(condition.symptoms) >= 6
    assert sum(f.likely <= 0.15 and bool(f.no) for f in findings) >= 1, "no discriminating negative"
    assert condition.exam
    assert len(condition.management) >= 3
    assert len(condition.avoid) >= 2
    assert len(condition.differentials) >= 4
    assert len(condition.sources) >= 2
    assert all(len(source) > 6 for source in condition.sources)
    assert any(f.tells == "volunteers" for f in condition.symptoms)
    assert len(condition.complaint.yes) >= 2


@pytest.mark.parametrize("condition", conditions(), ids=lambda c: c.id)
def test_what_is_volunteered_goes_on_after_i_have(condition) -> None:
    """Noun phrases alone: "Cold sweats.", not "Sweats a lot." or "No fever."."""
    verbs = (
        "Has|Is|Was|Had|Are|Feels?|Takes?|Needs?|Can|Cannot|Does|Drinks|Eats|Sees|Sleeps|Wakes|Comes|Goes|Came|Took"
        "|Never|Not|No(?! appetite| strength)|Vomited|Cries|Coughs|Coughed|Felt|Lost|Saw|Ate|The"
    )
    told = [condition.complaint, *(f for f in condition.symptoms if f.tells == "volunteers")]
    for text in (text for f in told for text in f.yes):
        assert not re.match(rf"(?:{verbs})\b", text), text


def test_right_options_have_no_telling_length() -> None:
    """Neither the longest nor the shortest of the options is right much more often than chance."""
    lists = [options for c in conditions() for options in c.items.values()]
    longest = sum(len(options[0]) == max(map(len, options)) for options in lists) / len(lists)
    shortest = sum(len(options[0]) == min(map(len, options)) for options in lists) / len(lists)
    assert longest < 0.5
    assert shortest < 0.4


def test_sources_are_documents_of_known_publishers() -> None:
    """A source is the name of a guidance document; the publishers are few."""
    words = Counter(source.split()[0] for c in conditions() for source in c.sources)
    assert words["NHS"] >= 60
    assert words["NICE"] >= 50


GOOD = (FOLDER / "emergency.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('split = "train"', 'split = "test"', "anaphylaxis: split: 'test'"),
        ("prevalence = 2", "prevalance = 2", "unknown fields ['prevalance']"),
        ("prevalence = 2\n", "", "lacks the fields ['prevalence']"),
        ("ages = [3, 8, 45, 72]", "ages = [8, 3, 45, 72]", "ages: [8, 3, 45, 72]"),
        ("likely = 0.9, tells", "likely = 9, tells", "symptoms: breathing-or-throat.likely: 9"),
        ("character = [", "charakter = [", "unknown fields ['charakter']"),
        ("that came up {onset}", "that came up {onsett}", "the slot 'onsett'"),
        ("risks = { asthma", "risks = { astma", "'astma' is no background id"),
        ('follows = "breathing-or-throat"', 'follows = "breathing"', "follow ['breathing']"),
        ('words = ["adrenaline", ', 'words = ["*adrenaline", ', "a * goes at the end"),
        ("risks = { asthma = 0.35", "risks = { coronary-disease = 0.35", "['coronary-disease'] are risks and excluded"),
        ('cues = ["fever", "temperature"]', 'cues = ["Fever"]', "write it in lower case"),
        ('urgency = "emergency"', 'urgency = "emergency', "emergency.toml: Illegal character"),
        ('avoid = ["Standing the patient up", ', 'avoid = ["Oxygen", ', "an option stands twice"),
    ],
)
def test_bad_data_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    """One thing is wrong in the first condition of a good file."""
    assert old in GOOD
    path = tmp_path / "emergency.toml"
    path.write_text(GOOD.replace(old, new, 1), "utf-8")
    with pytest.raises(ValueError) as error:
        load_conditions(path)
    assert said in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
