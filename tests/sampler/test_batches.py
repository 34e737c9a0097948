"""Rows as the arrays of a batch."""

from __future__ import annotations

from m2jax.sampler import batches
from m2jax.sampler.requests import Generate, Role
from m2jax.sampler.sampling import Sampling
from m2jax.sampler.scheduler import Row, Ticket


def test_rows_that_only_fill_a_batch_cost_no_argmax_and_no_cut():
    """Any greedy row makes all of them take an argmax, any cut one a floor."""
    row = Row(Ticket(0, 0, 0, 7), Generate("doctor", [4, 5]), Role(Sampling(temperature=0.5)), [4, 5], 1)
    draws = batches.draws_of([(row, 1)], 3, {row: 2}, 1, 9, constrained=False)
    assert draws.knobs.temperature_N.tolist() == [1, 0.5, 1]
    assert draws.knobs.top_p_N.tolist() == [1, 1, 1] and draws.knobs.top_k_N.tolist() == [0, 0, 0]
    assert draws.budget_B.tolist() == [0, 2, 0]
