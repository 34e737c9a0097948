"""Dynamic criteria come when they are violated often, and go when they are not, or tell nothing."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2jax.verifier.checks import met, parse_check
from m2jax.verifier.dynamic import Rule, Tracked, graded, mine_phrases, observe
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
