"""The rows that cuDNN is given say what `attention.group` and `attention.packed` say.

Here cuDNN is played by XLA's dot_product_attention, with the same arguments; tests/test_gpu.py asks the real one.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m2jax import sharding
from m2jax.models import attention, cudnn

B, K, G, H = 2, 2, 2, 16
GPU = jax.sharding.AbstractDevice("NVIDIA H100 80GB HBM3", 132, platform="gpu")


def out_and_gradients(attend: attention.Attend, T: int, counts_BT: np.ndarray) -> tuple:
    """Of random inputs; where counts_BT is 0 neither outputs nor what they pull at have a meaning."""
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = (B, T, K, G, H), (B, T, K, H), (B, T, K, H), (B, T, K, G, H)
    q, k, v, toward = (jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True))
    weights = toward * counts_BT[..., None, None, None]

    def value(q: jax.Array, k: jax.Array, v: jax.Array) -> tuple:
        out = attend(q, k, v, None)[0]
        return (out * weights).sum(), out

    (_, out), gradients = jax.jit(jax.value_and_grad(value, argnums=(0, 1, 2), has_aux=True))(q, k, v)
    return out * counts_BT[..., None, None, None], gradients


@pytest.mark.parametrize("mesh", [None, (2, 1, 2)], ids=["one device", "on a mesh"])
@pytest.mark.parametrize("samples", [1, 3])
def test_the_rows_are_the_reference(monkeypatch, mesh, samples):
    """Replies of 7 tokens after prompts of 5 and 8 of 8 slots, and of packed segments of an odd length."""
    P, C = 8, 7
    T, lengths = P + samples * C, np.asarray([5, P], np.int32)
    segments = np.asarray([[1, 1, 1, 2, 2, 3, 3, 3, 0], [4, 4, 4, 4, 5, 5, 5, 0, 0]], np.int32)
    cases = [(attention.group(lengths, P, samples), T, (np.arange(T) >= P) | (np.arange(T) < lengths[:, None]))]
    if samples == 1:
        cases.append((attention.packed(segments), 9, segments > 0))
    played = functools.partial(_as_xla, jax.nn.dot_product_attention)
    for attend, T, counts in cases:
        want = out_and_gradients(attend, T, counts)
        with monkeypatch.context() as patch:
            patch.setattr(cudnn, "serves", lambda d_head, dtype: True)
            patch.setattr(jax.nn, "dot_product_attention", played)
            if mesh is None:
                got = out_and_gradients(attend, T, counts)
            else:
                with jax.set_mesh(sharding.make_mesh(mesh, jax.devices()[: np.prod(mesh)])):
                    got = out_and_gradients(attend, T, counts)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=2e-5)


def _as_xla(f, *args, implementation, **settings):
    assert implementation == "cudnn" and settings["is_causal"]
    return f(*args, implementation="xla", **settings)


@pytest.mark.parametrize(
    ("device", "d_head", "dtype", "served"),
    [
        (GPU, 64, jnp.bfloat16, True),
        (GPU, 128, jnp.float16, True),
        (GPU, 256, jnp.bfloat16, False),
        (GPU, 60, jnp.bfloat16, False),
        (GPU, 64, jnp.float32, False),
        (jax.sharding.AbstractDevice("TPU v5p", 2, platform="tpu"), 128, jnp.bfloat16, False),
        (None, 64, jnp.bfloat16, False),
    ],
)
def test_who_is_served(monkeypatch, device, d_head, dtype, served):
    monkeypatch.setattr(sharding, "target", lambda: device)
    assert cudnn.serves(d_head, dtype) == served


@pytest.mark.parametrize(("capability", "served"), [("9.0", True), ("8.0", True), ("7.5", False), ("gfx942", False)])
def test_older_gpus_and_others_take_einsums(monkeypatch, capability, served):
    class Device:
        compute_capability = capability

    monkeypatch.setattr(sharding, "target", lambda: GPU)
    monkeypatch.setattr(jax, "devices", lambda: [Device()])
    assert cudnn.serves(64, jnp.bfloat16) == served
