"""What only an NVIDIA GPU can say: cuDNN's attention is the reference, forward and backward; an update with it is one
without; a whole run writes, judges, learns. `make test-gpu` runs these.
"""

from __future__ import annotations

import json
import os
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from m2jax import sharding
from m2jax.metrics import read_metrics
from m2jax.models import attention, cudnn, params
from m2jax.models.config import ModelConfig
from m2jax.train import grpo, step
from tests.conftest import REPOSITORY
from tests.train import tiny_run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not os.environ["JAX_PLATFORMS"].startswith("cuda"), reason="no GPU was asked for: M2JAX_TEST_PLATFORM=cuda,cpu"
    ),
]
B, K, G, H = 2, 2, 4, 64
CFG = ModelConfig("qwen2", vocab_size=256, d_model=128, d_mlp=256, n_layers=2, n_heads=8, n_kv_heads=2, d_head=64)


@pytest.fixture
def mesh():
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    with jax.set_mesh(mesh), jax.default_matmul_precision("highest"):  # the reference: no TF32
        if not cudnn.serves(H, jnp.bfloat16):
            pytest.skip(f"{jax.devices()[0].device_kind} has no flash attention by cuDNN")
        yield mesh


def distance(a, b) -> float:
    """The norm of the difference of two trees, of that of the second."""
    return float(optax.tree.norm(optax.tree.sub(a, b)) / optax.tree.norm(b))


@pytest.mark.parametrize("form", ["group of 1", "group of 4", "packed"])
def test_attention_is_the_reference(mesh, monkeypatch, form):
    """To the rounding of bfloat16, whose numbers are 2^-8 apart; the reference is float32."""
    P, C, R = 96, 160, 4 if form == "group of 4" else 1
    T, lengths = P + R * C, jnp.asarray([33, P], jnp.int32)
    at = np.arange(T)
    counts = jnp.asarray((at >= P) | (at < np.asarray(lengths)[:, None]), jnp.float32)
    attend = attention.group(lengths, P, R)
    if form == "packed":
        segments = jnp.asarray(np.repeat([[1, 2, 3, 0], [4, 4, 5, 5]], T // 4, axis=1), jnp.int32)
        attend, counts = attention.packed(segments), (segments > 0).astype(jnp.float32)
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = (B, T, K, G, H), (B, T, K, H), (B, T, K, H), (B, T, K, G, H)
    *qkv, toward = (jax.random.normal(key, shape, jnp.bfloat16) for key, shape in zip(keys, shapes, strict=True))

    def value(q, k, v):
        out = attend(q, k, v, None)[0].astype(jnp.float32) * counts[..., None, None, None]
        return (out * toward).sum(), out

    def run(dtype):
        f = jax.jit(jax.value_and_grad(lambda *qkv: value(*qkv), argnums=(0, 1, 2), has_aux=True))
        (_, out), gradients = f(*(x.astype(dtype) for x in qkv))
        return [x.astype(jnp.float32) for x in (out, *gradients)]

    got = run(jnp.bfloat16)
    monkeypatch.setattr(cudnn, "serves", lambda *_: False)
    for a, b in zip(got, run(jnp.float32), strict=True):
        assert distance(a, b) < 0.01


def test_an_update_with_it_is_one_without(mesh, monkeypatch):
    """The change of the parameters by one step of SGD, in bfloat16 with cuDNN and in float32 without."""
    rng, (N, R, P, C) = np.random.default_rng(0), (4, 3, 32, 48)
    logp = -5.5 + 0.1 * rng.standard_normal((N, R, C))
    groups = grpo.Groups(
        tokens=rng.integers(0, 256, (N, P + R * C)).astype(np.int32),
        prompt_length=rng.integers(1, P + 1, N).astype(np.int32),
        mask=np.ones((N, R, C), np.float32),
        advantage=np.broadcast_to(grpo.advantages(rng.random((N, R)))[..., None], (N, R, C)),
        old_logp=logp.astype(np.float32),
        sampler_logp=logp.astype(np.float32),
    )
    groups = jax.tree.map(lambda x: x.reshape(2, N // 2, *x.shape[1:]), groups)
    spec = lambda x: jax.NamedSharding(mesh, sharding.P(None, ("data", "fsdp"), *[None] * (x.ndim - 2)))  # noqa: E731
    groups = jax.tree.map(lambda x: jax.device_put(x, spec(x)), groups)
    axes, abstract = params.logical_axes(CFG, stacked=True), params.abstract(CFG, stacked=True)
    start = jax.device_put(
        params.init(CFG, jax.random.key(0), stacked=True), sharding.shardings(mesh, axes, abstract, sharding.Rules())
    )

    def change(dtype):
        state = step.init_state(jax.tree.map(jnp.copy, start), optax.sgd(1.0))
        update = step.make_step(CFG, grpo.Grpo(l_max=C, remat="full"), optax.sgd(1.0), dtype)
        return optax.tree.sub(update(state, None, groups, jnp.int32(N))[0].trained, start)

    got = change(jnp.bfloat16)
    monkeypatch.setattr(cudnn, "serves", lambda *_: False)
    want = change(jnp.float32)
    assert distance(got, want) < 0.05


def test_a_whole_run(tmp_path):
    """Sampler, judge and learner; the sampler's log-probs are the learner's to what bfloat16 leaves."""
    values = {"dtype": "bfloat16", "layers": "scanned"}
    command = tiny_run.command(*tiny_run.write_all(tmp_path), tmp_path / "run", **values)
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    steps = read_metrics(tmp_path / "run")
    assert len(steps) == 3 and all(line["update/logp_gap_mean"] < 0.1 for line in steps)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["device"].startswith("NVIDIA")
