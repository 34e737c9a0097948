"""The engine: the mesh, the batching and the batch mates do not show in what it returns."""

from __future__ import annotations

import functools
import math

import jax
import numpy as np
import pytest

from m2jax import sharding
from m2jax.models import attention, decoder, params
from m2jax.models.config import ModelConfig
from m2jax.sampler.engine import Completion, Engine, Shapes
from m2jax.sampler.sampling import Sampling
from m2jax.train.loop import count_compiles

CFG = ModelConfig("qwen2", vocab_size=64, d_model=32, d_mlp=48, n_layers=2, n_heads=4, n_kv_heads=2, d_head=8)
SHAPES = Shapes(rows=4, prompt=8, prefix=8, suffix=4, suffixes=3)
HOW = Sampling(max_tokens=6, stop=tuple(range(8)))
RNG = np.random.default_rng(0)
PROMPTS = [RNG.integers(8, 64, n).tolist() for n in (3, 8, 1, 5, 2)]  # one more than a batch holds
SUFFIXES = [[RNG.integers(0, 64, n).tolist() for n in sizes] for sizes in ((1, 4, 2), (3,), (4, 4), (), (2, 1))]
CHOICES = [3, 50]


@functools.cache
def weights(stacked: bool, scale: float = 4.0) -> params.Params:
    """The same numbers in either form, large enough that the distributions are not flat."""
    tree = jax.tree.map(lambda w: scale * w, params.init(CFG, jax.random.key(0), stacked=True))
    return tree if stacked else params.unstack_layers(tree)


def placed(mesh: jax.sharding.Mesh, stacked: bool, scale: float = 4.0) -> params.Params:
    axes, abstract = params.logical_axes(CFG, stacked=stacked), params.abstract(CFG, stacked=stacked)
    tree = jax.device_get(weights(stacked, scale))
    return jax.device_put(tree, sharding.shardings(mesh, axes, abstract, sharding.Rules()))


@functools.cache
def engine(shape: tuple[int, int, int]) -> Engine:
    """Unrolled on one device, scanned on more."""
    mesh = sharding.make_mesh(shape, jax.devices()[: math.prod(shape)])
    with jax.set_mesh(mesh):
        made = Engine(CFG, mesh, SHAPES)
        made.update("doctor", placed(mesh, stacked=mesh.size > 1))
    return made


def generate(
    prompts=PROMPTS, n_samples: int = 2, seed: int = 5, first_request: int = 0, shape=(1, 1, 1)
) -> list[list[Completion]]:
    served = engine(shape)
    with jax.set_mesh(served.mesh):
        return served.generate("doctor", prompts, n_samples, HOW, seed, first_request)


def score(prefixes=PROMPTS, suffixes=SUFFIXES, choices=CHOICES, shape=(1, 1, 1)) -> list[np.ndarray]:
    served = engine(shape)
    with jax.set_mesh(served.mesh):
        return served.score("doctor", prefixes, suffixes, choices)


def tokens_of(groups: list[list[Completion]]) -> list[list[list[int]]]:
    return [[c.tokens.tolist() for c in group] for group in groups]


@jax.jit
def _forward(tree, tokens):
    hidden, _ = decoder.forward(CFG, tree, tokens, np.arange(16)[None], attention.packed(tokens * 0 + 1))
    return jax.nn.log_softmax(hidden[0] @ decoder.unembed(tree).T)


def logp_of(tokens: list[int]) -> np.ndarray:
    """[T, V]: log-probabilities of the token after each of a sequence of at most 16."""
    padded = np.pad(np.asarray(tokens, np.int32), (0, 16 - len(tokens)))[None]
    return np.asarray(_forward(weights(True), padded))[: len(tokens)]


def test_each_prompt_is_answered_in_its_place():
    """Unequal prompts over two batches: what comes back at i has the probabilities of a reply to prompt i."""
    groups = generate()
    assert [len(g) for g in groups] == [2] * 5
    assert len({len(c.tokens) for g in groups for c in g}) > 1
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for c in group:
            reply = c.tokens.tolist()
            want = logp_of([*prompt, *reply])[len(prompt) - 1 : -1][np.arange(len(reply)), reply]
            np.testing.assert_allclose(c.logp_full, want, atol=1e-5)
            assert c.stopped == (reply[-1] in HOW.stop) and (c.stopped or len(reply) == HOW.max_tokens)
            assert not set(reply[:-1]) & set(HOW.stop)


@pytest.mark.parametrize("shape", [(2, 2, 2)], ids=str)
def test_a_mesh_of_eight_devices_gives_what_one_gives(shape):
    one, many = generate(), generate(shape=shape)
    assert tokens_of(one) == tokens_of(many)
    for a, b in zip(sum(one, []), sum(many, []), strict=True):
        np.testing.assert_allclose(a.logp_full, b.logp_full, atol=1e-5)
        np.testing.assert_allclose(a.logp_sampling, b.logp_sampling, atol=1e-5)
    for a, b in zip(score(), score(shape=shape), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_seed_and_request_fix_a_sample_whoever_else_is_in_the_batch():
    together = tokens_of(generate())
    for i, prompt in enumerate(PROMPTS):
        assert tokens_of(generate([prompt], first_request=2 * i)) == [together[i]]
    assert tokens_of(generate(seed=6)) != together
    assert tokens_of(generate(first_request=10)) != together


def test_score_is_the_forwards_next_token():
    got = score()
    for prefix, suffixes, logp in zip(PROMPTS, SUFFIXES, got, strict=True):
        assert logp.shape == (len(suffixes), len(CHOICES))
        for suffix, row in zip(suffixes, logp, strict=True):
            np.testing.assert_allclose(row, logp_of([*prefix, *suffix])[-1][CHOICES], atol=1e-5)


def test_score_agrees_with_generate():
    """The judge's view of the first token of a reply is the sampler's."""
    reply = generate()[3][0]
    prompt = PROMPTS[3]
    ((logp,),) = score([prompt[:-2]], [[prompt[-2:]]], [int(reply.tokens[0]), 0])
    np.testing.assert_allclose(logp[0], reply.logp_full[0], atol=1e-5)


def test_nothing_asked_nothing_done():
    assert generate([]) == [] and score([], []) == []


def test_nothing_is_compiled_after_the_first_calls():
    served = engine((1, 1, 1))
    generate(), score()
    with jax.set_mesh(served.mesh):
        other = placed(served.mesh, stacked=False, scale=3.0)
    with count_compiles() as compiles:
        generate([[9] * 4] * 7, seed=99, first_request=1_000)
        score([[7, 8]], [[[5], [6, 7]]], [1, 2])
        served.update("start", other)
        with jax.set_mesh(served.mesh):
            served.generate("start", [[1]], 2, HOW, 0)
            served.score("start", [[1]], [[[2]]], CHOICES)
        assert compiles() == 0
        jax.jit(lambda x: x * 2 + 1)(np.ones(3)).block_until_ready()
        assert compiles() == 1  # the counter does count


def test_update_changes_what_is_generated():
    served = engine((1, 1, 1))
    before = tokens_of(generate())
    with jax.set_mesh(served.mesh):
        served.update("doctor", placed(served.mesh, stacked=False, scale=2.0))
        after = tokens_of(generate())
        served.update("doctor", placed(served.mesh, stacked=False))
    assert after != before
    assert tokens_of(generate()) == before


def test_update_casts_to_the_engines_dtype_and_copies_nothing_else():
    served = engine((1, 1, 1))
    with jax.set_mesh(served.mesh):
        half = Engine(CFG, served.mesh, SHAPES, dtype=jax.numpy.bfloat16)
        half.update("doctor", served.roles["doctor"])
        assert {w.dtype for w in jax.tree.leaves(half.roles)} == {jax.numpy.dtype("bfloat16")}
        half.update("again", half.roles["doctor"])
    same = zip(jax.tree.leaves(half.roles["again"]), jax.tree.leaves(half.roles["doctor"]), strict=True)
    assert all(a is b for a, b in same)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="9 tokens does not fit: the engine takes 1 to 8"):
        generate([[1], [1] * 9])
    with pytest.raises(ValueError, match="prompt of 0 tokens"):
        generate([[1], []])
    with pytest.raises(ValueError, match="5 tokens does not fit: the engine takes 1 to 4"):
        score([[1]], [[[1] * 5]])
    with pytest.raises(ValueError, match="4 suffixes of one prefix; the engine was made for 3"):
        score([[1]], [[[1]] * 4])


@pytest.mark.parametrize("call", ["generate", "score"])
def test_an_unknown_role_is_named(call):
    served = engine((1, 1, 1))
    arguments = {"generate": ([[1]], 1, HOW, 0), "score": ([[1]], [[[1]]], CHOICES)}[call]
    with pytest.raises(ValueError, match="role 'nurse' has no weights; roles: .*doctor"):
        getattr(served, call)("nurse", *arguments)
    with pytest.raises(ValueError, match="roles: none"):
        getattr(Engine(CFG, served.mesh, SHAPES), call)("nurse", *arguments)
