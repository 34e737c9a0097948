"""Packed attention in blocks of queries, with its written-out gradient, against one softmax over all keys."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m2jax.models import attention


def all_at_once(q, k, v, segments, branches):
    """Softmax attention over every key, those that may not be seen at minus infinity."""
    T = q.shape[1]
    seen = (segments[:, :, None] == segments[:, None, :]) & np.tri(T, dtype=bool)
    seen &= (branches[:, None, :] == 0) | (branches[:, :, None] == branches[:, None, :])
    scores = jnp.einsum("btkgh,bskh->bkgts", q, k) * q.shape[-1] ** -0.5
    probs = jax.nn.softmax(jnp.where(seen[:, None, None], scores, -jnp.inf))
    return jnp.einsum("bkgts,bskh->btkgh", probs, v)


@pytest.mark.parametrize("T", [9, 256, 300])  # a part of a block of queries, one, and one with a rest
def test_blocks_of_queries_and_their_gradient_are_those_of_one_softmax(T):
    assert attention.QUERIES == 256
    rng = np.random.default_rng(T)
    q, k, v, d_out = (
        jnp.asarray(rng.normal(size=s), jnp.float32)
        for s in ((2, T, 2, 3, 8), (2, T, 2, 8), (2, T, 2, 8), (2, T, 2, 3, 8))
    )
    segments = np.stack([np.arange(T) // (T // 3) + 1, np.minimum(np.arange(T) // (T // 2), 1)]).astype(np.int32)
    branches = np.stack([np.arange(T) % (T // 3) // 2, np.zeros(T)]).astype(np.int32)
    attend = attention.packed(jnp.asarray(segments), jnp.asarray(branches))
    want, want_back = jax.vjp(lambda *x: all_at_once(*x, segments, branches), q, k, v)
    got, got_back = jax.vjp(lambda *x: attend(*x, None)[0], q, k, v)
    np.testing.assert_allclose(got, want, atol=2e-6)
    for mine, wanted in zip(got_back(d_out), want_back(d_out), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=2e-5)
