"""Dynamic criteria come when they are violated often, and go when they are not, or tell nothing."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2jax.verifier.checks import met, parse_check
from m2jax.verifier.dynamic import Rule, Tracked, graded, mine, mine_phrases, observe
from m2jax.verifier.rubric import Criterion

RULE = Rule(admit=0.5, retire=0.1, least=4, window=10, groups=3)
GOOD = Criterion("Asks about warfarin.", 5, "inquiry")
BAD = Criterion("Uses a stock phrase.", -3, "communication")


def after(criterion: Criterion, *groups: str, rule: Rule = RULE) -> Tracked:
    """Groups as texts of v (violated) and o."""
    tracked = Tracked(criterion)
    for group in groups:
        tracked = observe(tracked, [(letter == "v") == (criterion.points < 0) for letter in group], rule)
    return tracked


@pytest.mark.parametrize("criterion", [GOOD, BAD], ids=["positive", "negative"])
def test_the_worked_example(criterion: Criterion) -> None:
    """Admitted at half of four; kept while one of the last ten is violated by more than a tenth; then retired."""
    assert after(criterion, "vo").state == "candidate"  # two verdicts are too few
    assert after(criterion, "vo", "vo").state == "active"
    tracked = after(criterion, "vo", "vo", "ov", "vo")
    assert (tracked.state, tracked.rate) == ("active", 0.5)
    tracked = after(criterion, "vo", "vo", "vo", "voooooo")  # two of the last ten, then one
    assert (tracked.state, tracked.rate) == ("active", 0.2)
    assert observe(tracked, [criterion.points > 0] * 3, RULE).state == "retired"


def test_what_is_seldom_violated_is_never_admitted() -> None:
    assert after(GOOD, "ov", "oooo").state == "candidate"
    assert after(GOOD, "ov", "oooo", "ovoo").state == "retired"  # ten verdicts, three tenths at most


@pytest.mark.parametrize("group", ["vvvv", "oo"])
def test_what_never_tells_two_replies_apart_goes(group: str) -> None:
    assert after(GOOD, group, group).state != "retired"
    assert after(GOOD, group, group, group).state == "retired"
    wide = dataclasses.replace(RULE, window=99)
    tracked = after(GOOD, group, group, "vovo", group, group, rule=wide)  # one that it split begins the count anew
    assert (tracked.alike, tracked.state != "retired") == (2, True)


def test_only_active_ones_are_paid() -> None:
    tracked = [Tracked(dataclasses.replace(GOOD, text=s), s) for s in ("candidate", "active", "retired")]
    assert [c.text for c in graded((BAD,), tracked)] == [BAD.text, "active"]


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=6), max_size=40))
def test_retired_is_for_good_and_the_window_bounded(groups: list[list[bool]]) -> None:
    tracked, states = Tracked(GOOD), ["candidate"]
    for group in groups:
        tracked = observe(tracked, group, RULE)
        states.append(tracked.state)
        assert len(tracked.recent) <= RULE.window and 0 <= tracked.rate <= 1
    order = {"candidate": 0, "active": 1, "retired": 2}
    assert [order[s] for s in states] == sorted(order[s] for s in states)
    assert observe(tracked, [], RULE) == tracked


@pytest.mark.parametrize("bad", [{"admit": 0.05}, {"least": 99}, {"groups": 0}, {"retire": -1.0}], ids=str)
def test_rules_that_cannot_be_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Rule(**bad)


def test_stock_phrases_are_mined_from_replies() -> None:
    stock = "as always, it is important to consult a healthcare professional"
    replies = [
        f"For your {x}, {y}. {stock.capitalize()}!" for x, y in zip("knee cough rash ear".split(), "abcd", strict=True)
    ]
    found = mine_phrases([*replies, "Since when does it hurt there? Show me the place."])
    assert found and all(c.points < 0 for c in found)
    for criterion in found:
        assert all(met(criterion.check, reply) for reply in replies)
        assert not met(criterion.check, "Since when does it hurt there?")
    assert len(found) == 1  # the others overlap it
    assert mine_phrases(replies[:3]) == [] and mine_phrases([f"Word{i} " * 9 for i in "abcdef"]) == []
    assert parse_check({"pattern": found[0].check.regex.pattern, "negated": "either"}) == found[0].check


LIST = "\n".join(f"{i}. Point {i} about this." for i in range(1, 6))
HABITS = {
    "list": (
        "Writes a list of four points or more.",
        f"Here is what to do for X:\n{LIST}",
        "1. Rest.\nOr walk.\n2. Eat.",
    ),
    "headings": (
        "Is divided by headings.",
        "X it is.\n## Plan\nRest.\n**Advice**\nSleep.",
        "Take **two** of X. #1 is rest.",
    ),
    "twice": (
        "Says the same sentence twice.",
        "You should rest X for a week. Drink. You should rest X for a week.",
        "You should rest X for a week. You should rest Y for a week.",
    ),
    "opening": ('Opens with "i am sorry", as so many replies.', "I am sorry: X hurts.", "X hurts, and I am sorry."),
}


@pytest.mark.parametrize("habit", HABITS)
def test_habits_of_form_and_openings_are_mined(habit: str) -> None:
    text, has, has_not = HABITS[habit]
    with_it = [has.replace("X", x) for x in ("knee", "cough", "rash", "ear")]
    without = [f"{y} {has_not.replace('X', y)}" for y in ("Ankle.", "Fever.", "Boil.", "Eye.", "Toe.")]
    found = {c.text: c for c in mine([*with_it, *without[:4]])}
    assert text in found, found
    assert [met(found[text].check, reply) for reply in (*with_it, *without)] == [True] * 4 + [False] * 5
    assert found[text].points < 0
    assert text not in {c.text for c in mine([*with_it, *without])}  # four of nine are too few
    assert mine(with_it[:3]) == []


def test_an_opening_that_is_part_of_a_stock_phrase_is_not_charged_twice() -> None:
    replies = [f"I am sorry to hear about your {x}." for x in ("knee", "cough", "rash", "ear")]
    (only,) = mine(replies)
    assert only.text.startswith("Uses the stock phrase")


@given(st.lists(st.text(max_size=200), min_size=4, max_size=8))
def test_what_is_mined_is_in_the_replies(replies: list[str]) -> None:
    for criterion in mine(replies):
        assert sum(met(criterion.check, reply) for reply in replies) >= len(replies) / 2
