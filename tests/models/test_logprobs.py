"""Blockwise log-probabilities and KL against the plain log-softmax: values, entropy, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m2jax.models import logprobs


def plain(hidden, unembed, targets, temperature):
    logp = jax.nn.log_softmax(jnp.einsum("btd,vd->btv", hidden, unembed) / temperature)
    return jnp.take_along_axis(logp, targets[..., None], -1)[..., 0], -(jnp.exp(logp) * logp).sum(-1)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("block", [8, 12, 48, 100])
def test_equals_log_softmax(monkeypatch, block, temperature):
    monkeypatch.setattr(logprobs, "BLOCK", block)
    k = jax.random.split(jax.random.key(block), 4)
    hidden, unembed = 3 * jax.random.normal(k[0], (2, 5, 7)), jax.random.normal(k[1], (48, 7))
    targets, cotangent = jax.random.randint(k[2], (2, 5), 0, 48), jax.random.normal(k[3], (2, 5))

    def weighed(f, hidden, unembed):
        return (f(hidden, unembed, targets, temperature)[0] * cotangent).sum()

    for ours, theirs in zip(
        logprobs.token_logprobs(hidden, unembed, targets, temperature),
        plain(hidden, unembed, targets, temperature),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    ours = jax.grad(lambda *a: weighed(logprobs.token_logprobs, *a), (0, 1))(hidden, unembed)
    theirs = jax.grad(lambda *a: weighed(plain, *a), (0, 1))(hidden, unembed)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5), ours, theirs)


@pytest.mark.parametrize("block", [8, 48])
def test_kl_equals_the_sum_over_the_vocabulary(monkeypatch, block):
    monkeypatch.setattr(logprobs, "BLOCK", block)
    k = jax.random.split(jax.random.key(block), 6)
    hidden, reference = (3 * jax.random.normal(key, (2, 5, 7)) for key in k[:2])
    unembed, reference_unembed = (jax.random.normal(key, (48, 7)) for key in k[2:4])
    targets, cotangents = jax.random.randint(k[4], (2, 5), 0, 48), jax.random.normal(k[5], (2, 2, 5))

    def dense(hidden, unembed, targets, reference, reference_unembed):
        logp, logq = jax.nn.log_softmax(hidden @ unembed.T), jax.nn.log_softmax(reference @ reference_unembed.T)
        return plain(hidden, unembed, targets, 1.0)[0], (jnp.exp(logp) * (logp - logq)).sum(-1)

    def weighed(f, *trees):
        return (jnp.stack(f(*trees)) * cotangents).sum()

    ours, trees = logprobs.token_logprobs_and_kl, (hidden, unembed, targets, reference, reference_unembed)
    for a, b in zip(ours(*trees), dense(*trees), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)
    gradients = (jax.grad(lambda *a, f=f: weighed(f, *a), (0, 1))(*trees) for f in (ours, dense))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=5e-5), *gradients)
    none = jax.grad(lambda *a: weighed(ours, *a), (3, 4))(*trees)
    assert not any(x.any() for x in none)
    assert not ours(hidden, unembed, targets, hidden, unembed)[1].any()
