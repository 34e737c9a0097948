"""Quantities: numbers and units as replies write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2jax.rules.quantity import Quantity, met

CASES = [  # value, unit, reply, whether it is met
    (250, "mg", "The dose is 250 mg.", True),
    (250, "mg", "250mg", True),
    (250, "mg", "250-mg tablets", True),
    (250, "mg", "Give 0.25 g.", True),
    (250, "mg", "250,000 mcg", True),
    (250, "mg", "250 000 µg", True),
    (250, "mg", "**Answer: 250 mg**", True),
    (250, "mg", "The answer is **250** mg", True),
    (250, "mg", r"\boxed{250\text{ mg}}", True),
    (250, "mg", r"\boxed{250}", True),
    (250, "mg", "Answer: 250", True),
    (250, "mg", "250", True),
    (250, "mg", r"The answer is $2.5 \times 10^{2}\ \mathrm{mg}$.", True),
    (250, "mg", "2.5e2 milligrams", True),
    (250, "mg", "0.25 g (250 mg)", True),
    (250, "mg", "She weighs 50 kg, so at 5 mg/kg she needs:\n250 mg", True),
    (250, "mg", "50 kg x 5 mg/kg = 250 mg, so give it twice a day.\nThe dose is 250 mg every 12 hours.", True),
    (250, "mg", "about 251 mg", True),
    (250, "mg", "260 mg", False),
    (250, "mg", "250 mg or 500 mg", False),
    (250, "mg", "250 to 500 mg", False),
    (250, "mg", "250 mL", False),
    (250, "mg", "The dose you need is 250.", True),
    (250, "mg", "5 mg/kg x 50 kg = 250 mg", True),
    (250, "mg", "1000 - 750 = 250", True),
    (250, "mg", "250 mg = 300 mg", False),
    (250, "mg", "In 24 hours he takes 250", False),
    (250, "mg", "250 mg/kg", False),
    (250, "mg", "I would give 250 of it.", False),
    (250, "mg", "250 g", False),
    (250, "mg", "250 %", False),
    (250, "mg", "", False),
    (250, "mg", "The dose is high.", False),
    (250, "mg", "<think>250 mg</think>500 mg", False),
    (250, "mg", "two hundred and fifty mg", False),
    (1250, "mL", "1,250 mL", True),
    (1250, "mL", "1.25 L", True),
    (1250, "mL", "1,25 L", True),
    (1250, "ml", "1250 cc", True),
    (2.5, "mg", "2,5 mg", True),
    (5.5, "mmol/L", "5.5 mmol/L", True),
    (5.5, "mmol/L", "5500 µmol/L", True),
    (5.5, "mmol/L", "5.5 mmol per litre", True),
    (5.5, "mmol/L", "99 mg/dL", False),
    (126, "mg/dL", "126 mg/dL", True),
    (126, "mg/dL", "1.26 g/L", True),
    (126, "mg/dL", "126 mg/L", False),
    (5, "mcg/kg/min", "5 mcg/kg/min", True),
    (5, "mcg/kg/min", "0.3 mg/kg/hour", True),
    (100, "mL/h", "100 mL per hour", True),
    (100, "mL/h", "2.4 L/day", True),
    (100, "mL/h", "2.4 L a day", True),
    (72, "bpm", "72 beats per minute", True),
    (72, "bpm", "Heart rate: 72/min", True),
    (72, "bpm", "72 bpm", True),
    (16, "breaths/min", "16 breaths per minute", True),
    (93, "mmHg", "The answer is 93 mm Hg.", True),
    (93, "mmHg", "12.4 kPa", True),
    (37, "°C", "37 °C", True),
    (37, "°C", "98.6 °F", True),
    (37, "°C", "37.0 degrees Celsius", True),
    (37, "°C", r"$37^\circ\text{C}$", True),
    (37, "°C", "37 C", True),
    (37, "°C", "37 °F", False),
    (98.6, "°F", "37 °C", True),
    (14, "days", "2 weeks", True),
    (14, "days", "14 d", True),
    (12, "months", "one year: 1 year", True),
    (24, "hours", "1 day", True),
    (6, "weeks", "6-8 weeks", False),
    ([6, 8], "weeks", "6-8 weeks", True),
    ([6, 8], "weeks", "6–8 weeks", True),
    ([6, 8], "weeks", "between 6 and 8 weeks", True),
    ([6, 8], "weeks", "7 weeks", True),
    ([6, 8], "weeks", "42 to 56 days", True),
    ([6, 8], "weeks", "6 weeks to 2 months", False),
    ([6, 8], "weeks", "4-8 weeks", False),
    ([200, 300], "mg", "200 mg–300 mg", True),
    (95, "%", "95%", True),
    (95, "%", "95 percent", True),
    (95, "%", r"\boxed{95\%}", True),
    (95, "%", "0.95", False),
    (70, "kg", "154.3 lb", True),
    (22.5, "kg/m2", "BMI = 22.5 kg/m²", True),
    (60, "mL/min/1.73 m2", "eGFR is 60 mL/min/1.73 m²", True),
    (7, "", "The score is 7 points.", True),
    (7, "", "7", True),
    (7, "", "12 - 5 = 7", True),
    (7, "", "The score is 7 out of 10.", True),
    (7, "", "The answer is 7.", True),
    (7, "", "7 mg", False),
    (0.83, "", "The ratio is 0.83", True),
    (-5, "mEq/L", "The answer is -5 mEq/L", True),
    (-5, "mEq/L", "−5 mEq/L", True),
    (-5, "mEq/L", "5 mEq/L", False),
    (0, "mg", "0 mg", True),
    (0, "mg", "0.001 mg", False),
    (1e9, "", "10^9", True),
    (1.5e9, "/L", "1.5 × 10⁹/L", True),
    (1.5e9, "cells/L", "1.5 x 10^9 cells/L", True),
    (250, "mg", "250 ± 10 mg", True),
    (10, "units", "10 units of insulin", True),
    (10, "units", "10 IU", True),
    (42, "mg", "The answer is 42 mg (2 mg/kg x 21 kg).", True),
    (42, "mg", "The answer is 42 mg (21 kg x 2 mg/kg).", True),
    (42, "mg", "The answer is 42 mg of ibuprofen for a child of 21 kg.", True),
    (42, "mg", "The answer is 84 mg (2 x 42 mg).", False),
    (42, "mg", "The answer is 42 mg (or 84 mg).", False),
    (42, "mg", "The answer is 42 mg (84 mg).", False),
    (42, "mg", "The answer is 42 mg, 84 mg.", False),
    (1200, "mg", "The answer is 1200 mg in 3 doses of 400 mg each.", True),
    (400, "mg", "The answer is 1200 mg in 3 doses of 400 mg each.", False),
    (1200, "mg", "The answer is 1200 mg in 3 doses of 400 mg or 600 mg.", False),
    (9, "mL", "The answer is 9 mL (20 mg per 1 mL).", True),
    (3, "days", "The answer is 3 days, a dose every 8 hours.", True),
    (3, "days", "The answer is 3 days (about 0.4 weeks).", True),
    (3, "days", "The answer is 3 days. No, 6 days.", False),
    (3, "days", "The answer is 3 to 9 days for a child.", False),
    (3, "days", "The answer is 3 or 6 days.", False),
]


@pytest.mark.parametrize(("value", "unit", "reply", "right"), CASES)
def test_as_replies_write_them(value, unit, reply, right):
    assert met(Quantity(value, unit), reply) is right


def test_tolerance_is_relative():
    assert met(Quantity(100, "mg", 0.05), "105 mg")
    assert not met(Quantity(100, "mg", 0.05), "105.1 mg")
    assert met(Quantity([100, 200], "mg", 0.05), "95 to 210 mg")
    assert met(Quantity(100, "mg", 0), "0.1 g")


@given(
    st.floats(0.001, 1e6),
    st.sampled_from([("mg", "g", 1e-3), ("mL", "L", 1e-3), ("h", "min", 60), ("mg/dL", "g/L", 0.01)]),
)
def test_conversion_goes_both_ways(value, units):
    one, other, factor = units
    assert met(Quantity(value, one, 1e-5), f"{value * factor:.9g} {other}")
    assert met(Quantity(value, other, 1e-5), f"{value / factor:.9g} {one}")
    assert not met(Quantity(value, one, 1e-5), f"{value * factor * 1.01:.9g} {other}")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"value": "250"}, "value is '250'; give a number, or a range"),
        ({"value": [2, 1]}, r"value is \[2, 1\]"),
        ({"value": float("nan")}, "value is nan"),
        ({"value": 1, "unit": "parsec"}, "unit is 'parsec'; give one such as 'mg'"),
        ({"value": 1, "tolerance": 1}, "tolerance is 1; give a share of the value"),
    ],
)
def test_what_is_wrong_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Quantity(**fields)
