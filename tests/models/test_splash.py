"""The training kernel, run in JAX's interpreter, gives what the einsums give: forward and backward."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest
from jax.experimental.pallas.ops.tpu import splash_attention as kernels

from m2jax import sharding
from m2jax.models import attention, decoder, splash

B, K, G, H = 2, 2, 2, 128


def inputs(T: int) -> list[jax.Array]:
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = (B, T, K, G, H), (B, T, K, H), (B, T, K, H), (B, T, K, G, H)
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


def out_and_gradients(attend: attention.Attend, T: int, counts_BT: np.ndarray) -> tuple:
    *qkv, toward = inputs(T)
    qkv = [sharding.reshard(x, sharding.row_spec(x.ndim)) for x in qkv]
    weights = toward * counts_BT[..., None, None, None]  # padding's own outputs have no meaning

    def value(q: jax.Array, k: jax.Array, v: jax.Array) -> tuple:
        out = attend(q, k, v, None)[0]
        return (out * weights).sum(), out

    (_, out), gradients = jax.jit(jax.value_and_grad(value, argnums=(0, 1, 2), has_aux=True))(*qkv)
    return out * counts_BT[..., None, None, None], gradients


@pytest.mark.parametrize(
    ("mesh", "fused"), [(None, False), ((2, 1, 1, 2), True)], ids=["two kernels", "fused, rows split"]
)
def test_the_kernel_is_the_reference(monkeypatch, mesh, fused):
    """A group of two completions of 70 tokens after prompts of 33 and 48, and packed segments."""
    P, R, C = 48, 2, 70
    T, lengths = P + R * C, np.asarray([33, P], np.int32)
    segments = np.repeat([[1, 2, 3, 0], [4, 4, 5, 5]], -(-T // 4), axis=1)[:, :T].astype(np.int32)
    at = np.arange(T)
    cases = [
        (attention.group(lengths, P, R), (at >= P) | (at < lengths[:, None])),
        (attention.packed(segments), segments > 0),
    ]
    monkeypatch.setattr(splash, "FUSED", 32 if fused else 0)
    for attend, counts in cases:
        want = out_and_gradients(attend, T, counts)
        with monkeypatch.context() as patch:
            patch.setattr(attention, "splash_serves", lambda d_head: True)
            patch.setattr(kernels, "make_splash_mqa", functools.partial(kernels.make_splash_mqa, interpret=True))
            if mesh is None:
                got = out_and_gradients(attend, T, counts)
            else:
                made = sharding.make_mesh(mesh, jax.devices()[: np.prod(mesh)])
                with jax.set_mesh(made):
                    got = out_and_gradients(attend, T, counts)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=2e-5)


def test_one_copy_of_the_output_is_kept(monkeypatch, capsys):
    """Under remat "attended": the kernel's output and its log-sum-exp, and not the output turned about as well."""
    T = 128
    q, k, v, _ = inputs(T)
    monkeypatch.setattr(attention, "splash_serves", lambda d_head: True)
    monkeypatch.setattr(kernels, "make_splash_mqa", functools.partial(kernels.make_splash_mqa, interpret=True))
    attend = attention.packed(np.ones((B, T), np.int32))
    layer = jax.checkpoint(lambda *qkv: (attend(*qkv, None)[0] ** 2).sum(), policy=decoder.remat_policy("attended"))
    jax.ad_checkpoint.print_saved_residuals(layer, q, k, v)
    made = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "from the argument" not in line]
    kept = [shape for shape in made if shape.startswith(f"f32[{B},")]  # the rest are the mask's blocks
    assert sorted(kept) == [f"f32[{B},{K},{G},{T},{H}]", f"f32[{B},{K},{G},{T}]"]


def test_only_tpus_with_full_lanes_are_served():
    with jax.set_mesh(sharding.make_mesh((1, 1, 1), jax.devices()[:1])):
        assert not attention.splash_serves(128)
    assert not attention.splash_serves(128)
