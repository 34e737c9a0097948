"""What is printed of a prediction."""

from __future__ import annotations

import dataclasses

import pytest

from m2jax.aot import cost, report, topology
from m2jax.train import step

CHIP = topology.CHIPS["v5p"]
GATHER = cost.Traffic(count=2, bytes=3e9, seconds=0.2, exposed=0.05)
COST = cost.Cost(2.0, 1.5, 0.2, 0.2, 0.05, 0.0, 3e14, 1e14, 0.0, {"all-gather": GATHER}, 0, {})


def test_every_printed_figure_says_predicted():
    row = report.figures(COST, CHIP.peak, CHIP)
    first, second = report.lines(row)
    assert "predicted 2 s, MFU 50.0%, 400 TFLOP a chip" in first
    assert "2 all-gather, predicted: 3 GB, 0.2 s, 75% hidden, 0.05 s exposed" in second
    assert "11%" in report.TRUST and "not validated" in report.TRUST


def test_bytes_between_slices_are_said_to_be_left_out():
    row = report.figures(dataclasses.replace(COST, dcn_bytes=1e9), 0, CHIP)
    said = report.lines(row)
    assert "1 GB" in said[-1] and "not predicted" in said[-1] and "MFU" not in said[0]


def test_a_flag_without_a_value_is_refused():
    options = step.compiler_options(("a=true", "b=1=2"))
    assert options == {"xla_tpu_scoped_vmem_limit_kib": "24576", "a": "true", "b": "1=2"}
    with pytest.raises(ValueError, match="'xla_fast'; write name=value"):
        step.compiler_options(("xla_fast",))
