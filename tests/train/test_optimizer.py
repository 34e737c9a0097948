"""Moments in bfloat16 and in the host's memory: what they are kept as, and how far the updates then lie apart."""

from __future__ import annotations

import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs import rl_stage2, sft
from m2jax import sharding
from m2jax.train import optimizer, step

D, N = 64, 16
ULP = 2.0**-7  # between two bfloat16 numbers, relative to the smaller, at most


def train(steps: int, **options: Any) -> step.TrainState:
    """A linear model fitted by the real step on four devices; other rows in each step."""
    mesh = sharding.make_mesh((1, 4, 1), jax.devices()[:4])
    split, rows = (jax.NamedSharding(mesh, sharding.P(*axes)) for axes in (("fsdp", None), (None, "fsdp", None)))
    tx = optimizer.make(optimizer.Optimizer(lr=1e-2, warmup_steps=1, **options))

    def objective(w: Any, frozen: None, batch: Any, n_rows: jax.Array) -> Any:
        x, y = batch[:, :D], batch[:, D:]
        error = sharding.einsum("nd,de->ne", x, w["w"]) + w["b"] - y
        return (error**2).sum() / n_rows, {"tokens": jnp.float32(batch.shape[0])}

    with jax.set_mesh(mesh):
        whole = jax.NamedSharding(mesh, sharding.P(None))
        w = {"w": jax.device_put(jnp.zeros((D, D)), split), "b": jax.device_put(jnp.zeros(D), whole)}
        state = step.init_state(w, tx)
        run = step.make_step(objective, tx)
        rng = np.random.default_rng(0)
        for _ in range(steps):
            batch = rng.standard_normal((1, N, 2 * D), np.float32)
            state, _ = run(state, None, jax.device_put(batch, rows), jnp.int32(N))
    return state


def moments(state: step.TrainState) -> list[jax.Array]:
    return jax.tree.leaves((state.opt_state[1][0].mu, state.opt_state[1][0].nu))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_offloaded_moments_wait_in_host_memory_and_change_nothing(dtype):
    here, there = (train(3, moments=dtype, offload=offload) for offload in (False, True))
    assert {m.sharding.memory_kind for m in moments(here)} == {"device"}
    assert {m.sharding.memory_kind for m in moments(there)} == {"pinned_host"}
    assert {m.dtype for m in moments(there)} == {jnp.dtype(dtype)}
    assert [m.sharding.spec for m in moments(there)] == [m.sharding.spec for m in moments(here)]
    last_place = np.finfo(np.float32).eps  # of an array's largest: two programs may sum in another order
    for a, b in zip(*(jax.tree.leaves(jax.device_get(state)) for state in (here, there)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=last_place * np.abs(np.asarray(b, np.float64)).max())


def test_bfloat16_moments_train_as_float32_ones_do():
    """Rounding at random adds, to each moment at each step, an error of mean 0 and deviation <= half a ULP, of which b
    stays to the next: (ULP / 2) / sqrt(1 - b^2) in the end. An update mu / sqrt(nu) takes nu's by half.
    """
    b1, b2 = optimizer.B1, optimizer.B2
    bound = ULP / 2 * np.sqrt(1 / (1 - b1**2) + 1 / (4 * (1 - b2**2)))
    tx = {m: optimizer.make(optimizer.Optimizer(clip_norm=1e9, moments=m)) for m in ("float32", "bfloat16")}
    w = jnp.zeros(4096)
    states = {m: t.init(w) for m, t in tx.items()}
    rng = np.random.default_rng(0)
    updates = {m: jax.jit(t.update) for m, t in tx.items()}
    for i in range(600):  # gradients that shrink tenfold: the second moment must follow them down
        g = jnp.asarray(rng.standard_normal(4096, np.float32) + 1) * 10 ** (-i / 600)
        got = {}
        for m in tx:
            got[m], states[m] = updates[m](g, states[m], w)
    error = np.linalg.norm(got["bfloat16"] - got["float32"]) / np.linalg.norm(got["float32"])
    assert 0 < error < bound


def test_a_second_moment_in_bfloat16_falls_as_it_should():
    tx = optimizer.make(optimizer.Optimizer(moments="bfloat16"))
    w = jnp.zeros(1024)
    state = tx.init(w)
    update = jax.jit(tx.update)
    seen = []
    for i in range(301):
        _, state = update(jnp.full(1024, float(i == 0)), state, w)
        seen.append(np.asarray(state[1][0].nu, np.float32).mean())
    three_sigma = 3 * ULP / 2 * np.sqrt(300 / 1024)
    np.testing.assert_allclose(seen[-1] / seen[0], 0.999**300, rtol=three_sigma)


@given(st.floats(2.0**-100, 2.0**100, width=32), st.booleans())
def test_rounding_takes_a_neighbour_and_is_right_on_average(value, negative):
    n, x = 1024, np.float32(-value if negative else value)
    got = np.asarray(optimizer._round(jnp.full(n, x), jax.random.key(0), jnp.dtype("bfloat16")), np.float32)
    bits = x.view(np.uint32) & 0xFFFF0000
    neighbours = [np.uint32(b).view(np.float32) for b in (bits, bits + 0x10000)]
    assert set(got) <= set(neighbours)
    distance = abs(float(neighbours[1]) - float(neighbours[0]))
    assert abs(float(got.mean(dtype=np.float64)) - float(x)) <= 5 * distance / 2 / np.sqrt(n)


@pytest.mark.parametrize("config", [rl_stage2.get_config("smoke"), sft.get_config("smoke")], ids=["rl", "sft"])
def test_the_config_says_how_moments_are_kept(config):
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    config.optimizer.moments, config.optimizer.offload, config.optimizer.lr = "bfloat16", True, 0.5
    read = optimizer.read(config, mesh, fall_steps=7)
    assert (read.moments, read.offload, read.lr, read.fall_steps) == ("bfloat16", True, 0.5, 7)
    config.optimizer.moments = "int4"
    with pytest.raises(ValueError, match="optimizer.moments is 'int4'; it must be 'float32' or 'bfloat16'"):
        optimizer.read(config, mesh)


def test_devices_without_host_memory_are_named():
    memory = types.SimpleNamespace(kind="device")
    device = types.SimpleNamespace(process_index=0, device_kind="Abacus", addressable_memories=lambda: [memory])
    mesh, config = types.SimpleNamespace(devices=np.array([device], object)), sft.get_config("smoke")
    optimizer.read(config, mesh)
    config.optimizer.offload = True
    with pytest.raises(ValueError, match="Abacus has no memory 'pinned_host'.*'bfloat16'"):
        optimizer.read(config, mesh)
