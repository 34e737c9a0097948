"""Rows split along their tokens, over the mesh axis `context`: loss and gradients are those of one device."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m2jax import sharding
from m2jax.data.packing import Packed
from m2jax.models import params
from m2jax.models.config import ModelConfig
from m2jax.train import grpo, policy, sft

CFG = ModelConfig("qwen2", vocab_size=64, d_model=32, d_mlp=48, n_layers=2, n_heads=8, n_kv_heads=4, d_head=8)
N, T = 4, 48


def packed() -> Packed:
    """Rows of segments, of which the second branches, and padding: all cross a cut of the row into two or four."""
    rng = np.random.default_rng(0)
    segments = np.tile(np.repeat([1, 2, 3, 0], [17, 14, 11, 6]).astype(np.int32), (N, 1))
    positions = np.tile(np.concatenate([np.arange(n) for n in (17, 14, 11, 6)]).astype(np.int32), (N, 1))
    positions[:, 27:31] -= 5
    branches = np.zeros_like(segments)
    branches[:, 22:27], branches[:, 27:31] = 1, 2
    at = np.sort(rng.permuted(np.tile(np.arange(42), (N, 1)), axis=1)[:, :16]).astype(np.int32)
    tokens, targets = (rng.integers(0, 64, shape).astype(np.int32) for shape in ((N, T), (N, 16)))
    weight = rng.random((N, 16), np.float32)
    return Packed(tokens, positions, segments, branches, at, targets, weight / weight.sum())


def groups() -> grpo.Groups:
    """A prompt of up to 12 tokens and three completions of up to 12: a row cut in two or four cuts completions."""
    P, R, C = 12, 3, 12
    rng = np.random.default_rng(1)
    mask = (np.arange(C) < rng.integers(1, C + 1, (N, R, 1))).astype(np.float32)
    old = (-4 + 0.5 * rng.standard_normal((N, R, C))).astype(np.float32)
    tokens = rng.integers(0, 64, (N, P + R * C)).astype(np.int32)
    length = rng.integers(1, P + 1, N).astype(np.int32)
    advantage = np.repeat(grpo.advantages(rng.random((N, R)))[..., None], C, axis=-1)
    return grpo.Groups(tokens, length, mask, advantage, old, old)


OBJECTIVES = {
    "packed": (functools.partial(sft.objective, CFG, "full"), packed),
    "group": (functools.partial(grpo.objective, CFG, grpo.Grpo(l_max=12, remat="full")), groups),
}


def loss_and_gradients(objective: Any, tree: params.Params, rows: Any) -> Any:
    run = jax.value_and_grad(lambda tree: objective(tree, None, rows, jnp.int32(N))[0])
    return jax.device_get(jax.jit(run)(tree))


@functools.cache
def of_one_device(kind: str) -> Any:
    objective, make = OBJECTIVES[kind]
    return loss_and_gradients(objective, model(), make())


@functools.cache
def model() -> params.Params:
    return jax.tree.map(lambda w: 3 * w, params.init(CFG, jax.random.key(0), stacked=True))


@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize("shape", [(2, 1, 2, 2), (1, 2, 1, 4)], ids=str)
def test_a_split_row_gives_the_numbers_of_one_device(shape: tuple[int, ...], kind: str):
    mesh, (objective, make) = sharding.make_mesh(shape), OBJECTIVES[kind]
    layout = sharding.shardings(
        mesh, params.logical_axes(CFG, stacked=True), params.abstract(CFG, stacked=True), sharding.Rules()
    )
    with jax.set_mesh(mesh):
        got = loss_and_gradients(objective, jax.device_put(model(), layout), sharding.put_batch(mesh, make()))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got, of_one_device(kind))


@pytest.mark.parametrize(
    ("context", "tokens", "said"),
    [
        (2, 4095, r"context 2 .* divide config\.data\.row_tokens 4095, and 16"),
        (3, 4095, "context 3 .* and 16"),
        (4, 4096, "4 key-value heads do not divide over model x context = 2 x 4 of config.mesh"),
    ],
)
def test_what_cannot_be_split_is_named(context: int, tokens: int, said: str):
    mesh = sharding.make_mesh((1, 1, 2, context), jax.devices()[: 2 * context])
    with pytest.raises(ValueError, match=said):
        policy.check_context(CFG, mesh, tokens, "config.data.row_tokens")
