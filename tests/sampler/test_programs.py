"""decode == forward, sharing == not sharing, score == forward, over prompts of unequal length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m2jax.models import attention, decoder, params
from m2jax.models.config import ModelConfig
from m2jax.sampler import programs
from m2jax.sampler.sampling import Sampling

CFG = ModelConfig(
    "qwen3", vocab_size=96, d_model=32, d_mlp=48, n_layers=2, n_heads=4, n_kv_heads=2, d_head=16, tied=True
)
LENGTHS = (5, 9, 2)


@pytest.fixture(scope="module", params=[False, True], ids=["unrolled", "scanned"])
def tree(request):
    return jax.tree.map(lambda w: 3 * w, params.init(CFG, jax.random.key(0), stacked=request.param))


def prompts():
    tokens = np.random.default_rng(0).integers(0, 96, (3, 9)).astype(np.int32)
    return jnp.asarray(tokens), jnp.asarray(LENGTHS, jnp.int32)


@jax.jit
def _padded_logp(tree, tokens, temperature):
    hidden, _ = decoder.forward(CFG, tree, tokens, jnp.arange(32)[None], attention.packed(jnp.ones_like(tokens)))
    return jax.nn.log_softmax(hidden[0] @ decoder.unembed(tree).T / temperature)


def logp_of(tree, tokens, temperature=1.0):
    """[T, V] of one sequence alone; padding on the right is unseen by what stands before it."""
    padded = np.zeros((1, 32), np.int32)
    padded[0, : len(tokens)] = tokens
    return np.asarray(_padded_logp(tree, padded, temperature))[: len(tokens)]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_decode_equals_forward(tree, temperature):
    tokens, lengths = prompts()
    how = Sampling(temperature=temperature, max_tokens=12, stop=tuple(range(8)))
    prefix = programs.prefill(CFG, tree, tokens, lengths)
    out = programs.decode(CFG, tree, prefix, how, jnp.uint32(7), jnp.arange(12, dtype=jnp.uint32).reshape(3, 4))
    assert len(set(np.ravel(out.length_BR).tolist())) > 2  # rows do end at different steps
    for b, r in np.ndindex(3, 4):
        n = int(out.length_BR[b, r])
        reply = np.asarray(out.tokens[b, r, :n])
        assert not np.isin(reply[:-1], how.stop).any() and (n == 12 or reply[-1] in how.stop)
        row = np.concatenate([np.asarray(tokens[b, : LENGTHS[b]]), reply])
        logp = logp_of(tree, row, temperature)[LENGTHS[b] - 1 : -1]
        want = np.take_along_axis(np.asarray(logp), reply[:, None], 1)[:, 0]
        np.testing.assert_allclose(out.logp_full[b, r, :n], want, atol=1e-5)
        np.testing.assert_allclose(out.logp_sampling[b, r, :n], want, atol=1e-5)


def test_a_sample_depends_on_seed_and_request_alone(tree):
    tokens, lengths = prompts()
    how = Sampling(max_tokens=8)
    requests = jnp.arange(12, dtype=jnp.uint32).reshape(3, 4)

    def tokens_of(order, seed):
        order = np.asarray(order)
        prefix = programs.prefill(CFG, tree, tokens[order], lengths[order])
        return np.asarray(programs.decode(CFG, tree, prefix, how, jnp.uint32(seed), requests[order]).tokens)

    first = tokens_of([0, 1, 2], 3)
    np.testing.assert_array_equal(tokens_of([2, 0, 1], 3), first[[2, 0, 1]])
    assert (tokens_of([0, 1, 2], 4) != first).any()
    assert len({row.tobytes() for row in first.reshape(12, 8)}) == 12


def test_greedy_is_argmax_of_forward(tree):
    tokens, lengths = prompts()
    prefix = programs.prefill(CFG, tree, tokens, lengths)
    out = programs.decode(
        CFG, tree, prefix, Sampling(temperature=0, max_tokens=6), jnp.uint32(0), jnp.zeros((3, 1), jnp.uint32)
    )
    for b in range(3):
        row = np.asarray(tokens[b, : LENGTHS[b]]).tolist()
        for _ in range(6):
            row.append(int(np.argmax(logp_of(tree, np.asarray(row, np.int32))[-1])))
        assert row[LENGTHS[b] :] == np.asarray(out.tokens[b, 0]).tolist()
    np.testing.assert_array_equal(out.logp_sampling, 0)


def test_score_of_suffixes_equals_forward(tree):
    tokens, lengths = prompts()
    suffixes = np.random.default_rng(1).integers(0, 96, (3, 4, 6)).astype(np.int32)
    n = np.random.default_rng(2).integers(1, 7, (3, 4)).astype(np.int32)
    rows = jnp.concatenate([tokens, jnp.asarray(suffixes.reshape(3, -1))], 1)
    choices = jnp.asarray([3, 70], jnp.int32)
    got = programs.score(CFG, tree, rows, lengths, 9, 4, jnp.asarray(n), choices)
    for b, r in np.ndindex(3, 4):
        row = np.concatenate([np.asarray(tokens[b, : LENGTHS[b]]), suffixes[b, r, : n[b, r]]])
        np.testing.assert_allclose(got[b, r], logp_of(tree, row)[-1][choices], atol=1e-5)
