"""Sampling draws what it says it draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from m2jax.sampler.sampling import Knobs, Sampling, keys, sample

LOGITS = np.asarray([2.0, 1.5, 1.0, 0.0, -1.0, -2.0, 0.7, -30.0], np.float32)


def knobs(*rows):
    """One row of `Knobs` per `Sampling`."""
    return Knobs(
        jnp.asarray([how.temperature for how in rows], jnp.float32),
        jnp.asarray([how.top_k for how in rows], jnp.int32),
        jnp.asarray([how.top_p for how in rows], jnp.float32),
    )


ANY = knobs(*[Sampling()] * 256)


def some_keys(n, position=0):
    """Keys of n requests."""
    return keys(jnp.uint32(1), jnp.arange(n, dtype=jnp.uint32)[:, None], jnp.full(n, position))


def distribution(how):
    """The reference: sort, cut, renormalise, in float64."""
    p = np.exp(LOGITS.astype(np.float64) / how.temperature)
    p /= p.sum()
    order = np.argsort(-p)
    kept = order[: how.top_k or len(p)]
    share = p[kept] / p[kept].sum()
    kept = kept[: int((np.cumsum(share) - share < how.top_p).sum())]
    cut = np.zeros_like(p)
    cut[kept] = p[kept] / p[kept].sum()
    return p, cut


@pytest.mark.parametrize(
    "how",
    [
        Sampling(),
        Sampling(temperature=0.5),
        Sampling(top_k=3),
        Sampling(top_p=0.8),
        Sampling(top_k=5, top_p=0.7),
    ],
    ids=str,
)
def test_draws_follow_the_distribution(how):
    n = 20_000
    tokens, full, cut = jax.jit(sample)(jnp.tile(LOGITS, (n, 1)), some_keys(n), knobs(*[how] * n))
    p, q = distribution(how)
    counts = np.bincount(tokens, minlength=len(p))
    assert counts[q == 0].sum() == 0
    likely = q * n > 5
    assert chisquare(counts[likely], q[likely] / q[likely].sum() * counts[likely].sum()).pvalue > 1e-3
    np.testing.assert_allclose(full, np.log(p)[tokens], atol=1e-5)
    np.testing.assert_allclose(cut, np.log(q[tokens]), atol=1e-5)


@pytest.mark.parametrize("how", [Sampling(top_k=40), Sampling(top_p=0.9), Sampling(top_k=1000, top_p=0.5)], ids=str)
def test_a_large_vocabulary_is_cut_where_sorting_would_cut_it(how):
    logits = np.float32(3 * np.random.default_rng(0).standard_normal((4, 50_000)))
    logits[:, 7] = logits.max(-1)  # the best token twice
    allowed = np.ones_like(logits, bool)
    allowed[1] = np.arange(50_000) % 2 == 0
    _, full, cut = jax.jit(sample)(logits, some_keys(4), knobs(*[how] * 4), allowed)
    p = np.exp(logits.astype(np.float64))
    for row in range(4):
        share = np.sort(np.where(allowed[row], p[row], 0))[::-1][: how.top_k or None]
        kept = share[np.cumsum(share) - share < how.top_p * share.sum()].sum() / p[row].sum()
        assert full[row] - cut[row] == pytest.approx(np.log(kept), abs=2e-4)


def test_draws_from_a_large_flat_vocabulary_follow_the_distribution():
    logits = np.float32(0.5 * np.random.default_rng(1).standard_normal(49_152))
    n, bins = 4096, np.arange(49_152) * 7919 % 64  # tokens of every block in each bin
    tokens = np.concatenate([jax.jit(sample)(jnp.tile(logits, (256, 1)), some_keys(256, i), ANY)[0] for i in range(16)])
    p = np.bincount(bins, np.exp(logits.astype(np.float64)))
    assert chisquare(np.bincount(bins[tokens], minlength=64), p / p.sum() * n).pvalue > 1e-3
    assert len(set(tokens.tolist())) > 0.9 * n


def test_rounding_hardly_ever_moves_a_draw():
    rng = np.random.default_rng(2)
    logits = np.float32(2 * rng.standard_normal((256, 49_152)))
    rounded = logits + np.float32(1e-5 * rng.standard_normal(logits.shape))
    moved = [
        jax.jit(sample)(logits, some_keys(256, i), ANY)[0] != jax.jit(sample)(rounded, some_keys(256, i), ANY)[0]
        for i in range(8)
    ]
    assert np.mean(moved) < 1e-3  # a point in the running sum: 7e-3


def test_an_impossible_token_is_never_drawn():
    logits = jnp.tile(jnp.asarray([-jnp.inf, 0.0, -jnp.inf, -200.0, -jnp.inf, -jnp.inf]), (2000, 1))
    allowed = np.isin(np.arange(6), [3, 4])
    assert set(np.asarray(sample(logits, some_keys(2000), knobs(*[Sampling()] * 2000))[0])) == {1}
    tokens, full, drawn = sample(logits, some_keys(2000), knobs(*[Sampling()] * 2000), jnp.tile(allowed, (2000, 1)))
    assert set(np.asarray(tokens)) == {3}  # beside it nothing, though its own weight in the vocabulary underflows
    assert full[0] == -200 and drawn[0] == 0


def test_rows_of_one_batch_sample_each_in_its_own_way():
    hows = [Sampling(temperature=0), Sampling(top_k=2), Sampling(), Sampling(temperature=0.5, top_p=0.6)]
    logits, of_row = jnp.tile(LOGITS, (4, 1)), some_keys(4)
    together = sample(logits, of_row, knobs(*hows))
    for i, how in enumerate(hows):
        alone = sample(logits[i : i + 1], of_row[i : i + 1], knobs(how))
        np.testing.assert_allclose([x[i] for x in together], np.ravel(alone), atol=1e-6)
    assert together[0][0] == 0 and together[2][0] == 0  # greedy: the best, with probability one


def test_a_grammar_leaves_only_what_it_allows():
    n = 2000
    allowed = np.isin(np.arange(8), [1, 3, 7])
    tokens, full, drawn = sample(
        jnp.tile(LOGITS, (n, 1)), some_keys(n), knobs(*[Sampling()] * n), jnp.tile(allowed, (n, 1))
    )
    p = np.exp(LOGITS.astype(np.float64))
    assert set(np.asarray(tokens).tolist()) == {1, 3}
    np.testing.assert_allclose(full, np.log(p / p.sum())[tokens], atol=1e-5)
    np.testing.assert_allclose(drawn, np.log(p / p[allowed].sum())[tokens], atol=1e-5)


@pytest.mark.parametrize(
    "bad",
    [
        dict(temperature=-1),
        dict(temperature=float("nan")),
        dict(temperature=2e-38),
        dict(top_p=0),
        dict(top_p=1e-50),
        dict(top_p=1.1),
        dict(top_k=-1),
        dict(max_tokens=0),
    ],
)
def test_nonsense_is_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Sampling(**bad)
