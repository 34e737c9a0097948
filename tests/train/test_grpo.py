"""The objective against numbers worked by hand, shared prompts against separate rows, and every mesh against one
device.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from m2jax import sharding
from m2jax.models import attention, decoder, lora, params
from m2jax.models.config import ModelConfig
from m2jax.train import grpo, optimizer, rl, step
from m2jax.train.batches import put_groups
from tests.train import tiny_run

CFG = ModelConfig("qwen2", vocab_size=64, d_model=32, d_mlp=48, n_layers=2, n_heads=4, n_kv_heads=2, d_head=8)
N, R, P, C = 8, 3, 6, 5


@functools.cache
def model(stacked=False):
    return jax.tree.map(lambda w: 3 * w, params.init(CFG, jax.random.key(0), stacked=stacked))


def make_groups(micro=2):
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, C + 1, (N, R))
    groups = grpo.Groups(
        tokens=rng.integers(0, 64, (N, P + R * C)).astype(np.int32),
        prompt_length=rng.integers(1, P + 1, N).astype(np.int32),
        mask=(np.arange(C) < lengths[..., None]).astype(np.float32),
        advantage=np.repeat(grpo.advantages(0.3 * rng.random((N, R)))[..., None], C, axis=-1),
        old_logp=(-4 + 0.5 * rng.standard_normal((N, R, C))).astype(np.float32),
        sampler_logp=(-4 + 0.5 * rng.standard_normal((N, R, C))).astype(np.float32),
    )
    return jax.tree.map(lambda x: x.reshape(micro, N // micro, *x.shape[1:]), groups)


def run_step(tree, groups, mesh=None, n=N, frozen=None, remat="none"):
    """One SGD update of rate 1: the change of the parameters is minus the gradient."""
    objective = functools.partial(grpo.objective, CFG, grpo.Grpo(l_max=C, remat=remat, tis_cap=1.5))
    train_step = step.make_step(objective, optax.sgd(1.0))
    if mesh is not None:
        spec = lambda x: jax.NamedSharding(mesh, sharding.P(None, ("data", "fsdp"), *[None] * (x.ndim - 2)))  # noqa: E731
        groups = jax.tree.map(lambda x: jax.device_put(x, spec(x)), groups)
    state = step.init_state(jax.tree.map(jnp.copy, tree), optax.sgd(1.0))
    state, metrics = train_step(state, frozen, groups, jnp.int32(n))
    return jax.device_get((state.trained, metrics))


def test_the_worked_example(monkeypatch):
    """Two groups of two completions, three token slots, l_max = 4, eps 0.2 / 0.28.

    Group 1: rewards 1 and 0, so A = +0.5, -0.5.      Group 2: rewards 0.2 and 0.8, so A = -0.3, +0.3.
      completion 1, three tokens, r = 1.5, 1.0, 0.5:  min(0.75, 0.64) + 0.5 + min(0.25, 0.40)     = 0.64 + 0.5 + 0.25
      = 1.39 completion 2, one token,    r = 2.0:            min(-1.0, 1.28 * -0.5 = -0.64)              = -1.00
      completion 3, two tokens,   r = 0.5, 1.2:       min(-0.15, 0.8 * -0.3 = -0.24) + -0.36      = -0.60
      completion 4, one token,    r = 1.3:            min(0.39, 1.28 * 0.3 = 0.384)               = 0.384
    J = (1.39 - 1.00 - 0.60 + 0.384) / (2 groups * 2 completions * l_max 4) = 0.174 / 16 = 0.010875
    Clipped where the clip is the smaller: r = 1.5 (A > 0), r = 0.5 (A < 0), r = 1.3 (A > 0): 3 of 7 tokens.
    """
    ratio = np.array([[[1.5, 1.0, 0.5], [2.0, 9, 9]], [[0.5, 1.2, 9], [1.3, 9, 9]]], np.float32)
    mask = (ratio != 9).astype(np.float32)
    old = np.full((2, 2, 3), -2.0, np.float32)
    groups = grpo.Groups(
        tokens=np.zeros((2, 1 + 6), np.int32),
        prompt_length=np.ones(2, np.int32),
        mask=mask,
        advantage=np.repeat(grpo.advantages(np.array([[1.0, 0.0], [0.2, 0.8]]))[..., None], 3, axis=-1),
        old_logp=old,
        sampler_logp=old,
    )
    monkeypatch.setattr(grpo, "completion_logprobs", lambda *_: (old + np.log(ratio), jnp.ones_like(old)))
    loss, sums = grpo.objective(CFG, grpo.Grpo(l_max=4), {}, None, groups, jnp.int32(2))
    np.testing.assert_allclose(loss, -0.010875, atol=1e-7)
    assert (float(sums["tokens"]), float(sums["clip_fraction"])) == (7, 3)


def test_the_worked_example_of_vanilla_grpo(monkeypatch):
    """The ratios and rewards of the example above; A = +1, -1 and -1, +1, eps 0.2 on both sides, own lengths.

      completion 1: (min(1.5, 1.2) + 1.0 + min(0.5, 0.8)) / 3 = 0.9        completion 2: min(-2.0, -1.2)     = -2.0
      completion 3: (min(-0.5, -0.8) - 1.2) / 2               = -1.0       completion 4: min(1.3, 1.2)       = 1.2
    The start model holds the first token for twice as likely: kl = 2 - ln 2 - 1 = 0.306853, by 0.04 / 3.
    J = (0.9 - 2.0 - 1.0 + 1.2 - 0.004091) / 4 = -0.226023
    """
    ratio = np.array([[[1.5, 1.0, 0.5], [2.0, 9, 9]], [[0.5, 1.2, 9], [1.3, 9, 9]]], np.float32)
    mask = (ratio != 9).astype(np.float32)
    old = np.full((2, 2, 3), -2.0, np.float32)
    rewards = np.array([[1.0, 0.0], [0.2, 0.8]])
    groups = grpo.Groups(
        tokens=np.zeros((2, 1 + 6), np.int32),
        prompt_length=np.ones(2, np.int32),
        mask=mask,
        advantage=np.repeat(grpo.advantages(rewards, vanilla=True)[..., None], 3, axis=-1),
        old_logp=old,
        sampler_logp=old,
    )
    now = old + np.log(ratio)
    start = now + np.where(np.arange(12).reshape(2, 2, 3) == 0, np.log(2), 0)
    both = {"now": now, "start": start.astype(np.float32)}
    monkeypatch.setattr(grpo, "completion_logprobs", lambda *args: (both[args[2]], jnp.ones_like(old)))
    loss, sums = grpo.objective(CFG, grpo.Grpo(l_max=4, vanilla=True), "now", "start", groups, jnp.int32(2))
    np.testing.assert_allclose(loss, 0.226023, atol=2e-6)
    np.testing.assert_allclose(sums["kl_start"], 0.306853, atol=1e-5)


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 4])
def test_a_run_may_take_vanilla_grpo(tmp_path, rank):
    """The KL to the start is 0 before the first update and not after it, and the start stays what it is."""
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    values = {"grpo.vanilla": True, "lora.rank": rank}
    with jax.set_mesh(mesh):
        parts, state = rl.start(tiny_run.config(*tiny_run.write_all(tmp_path), **values), mesh)
        stage = rl.stage(parts, tmp_path)
        before = jax.device_get(parts.frozen)
        found = []
        for i in range(3):
            batch, _ = stage.make_batch(i, state)
            state, metrics = stage.update(state, batch)
            found.append(float(metrics["kl_start"]))
    assert found[0] == pytest.approx(0, abs=1e-6) and found[-1] > 1e-6
    jax.tree.map(np.testing.assert_array_equal, before, jax.device_get(parts.frozen))


def test_zero_variance_groups_have_no_signal():
    assert grpo.has_signal(np.array([[0.5, 0.5, 0.5], [0.5, 0.5, 0.6]])).tolist() == [False, True]


def test_shared_prompt_equals_separate_rows():
    groups = jax.tree.map(lambda x: jnp.asarray(x[0]), make_groups())
    logp, _ = grpo.completion_logprobs(CFG, grpo.Grpo(l_max=C), model(), groups.tokens, groups.prompt_length, (R, C))

    @jax.jit
    def alone(row):
        hidden, _ = decoder.forward(CFG, model(), row, jnp.arange(P + C)[None], attention.packed(jnp.ones_like(row)))
        return jax.nn.log_softmax(hidden[0] @ decoder.unembed(model()).T)

    for n, r in np.ndindex(N // 2, R):
        start = int(groups.prompt_length[n])
        completion = groups.tokens[n, P + r * C : P + (r + 1) * C]
        row = np.zeros((1, P + C), np.int32)  # padding on the right is unseen by what stands before it
        row[0, : start + C] = np.concatenate([groups.tokens[n, :start], completion])
        want = alone(row)[start - 1 : start + C - 1][np.arange(C), completion]
        np.testing.assert_allclose(logp[n, r], want, atol=1e-5)


@pytest.mark.parametrize("stacked", [False, True], ids=["unrolled", "scanned"])
@pytest.mark.parametrize("shape", [(8, 1, 1), (2, 2, 2), (1, 4, 2)], ids=str)
def test_every_mesh_gives_the_single_device_gradients(shape, stacked):
    want = run_step(model(stacked), make_groups(1))
    mesh = sharding.make_mesh(shape)
    layout = sharding.shardings(
        mesh,
        params.logical_axes(CFG, stacked=stacked),
        params.abstract(CFG, stacked=stacked),
        sharding.Rules(),
    )
    with jax.set_mesh(mesh):
        got = run_step(jax.device_put(model(stacked), layout), make_groups(1), mesh)
    np.testing.assert_allclose(got[1]["loss"], want[1]["loss"], atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got, want)


def test_accumulation_and_remat_change_nothing():
    whole = run_step(model(), make_groups(1))
    for other in (
        run_step(model(), make_groups(4)),
        run_step(model(), make_groups(2), remat="full"),
        run_step(model(), make_groups(2), remat="attended,middle,up"),
    ):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), whole, other)


def test_rows_beyond_n_groups_do_not_count():
    groups = make_groups(4)
    spoiled = jax.tree.map(np.copy, groups)
    spoiled.tokens[2:] = 1
    spoiled.advantage[2:] = 50
    jax.tree.map(np.testing.assert_array_equal, run_step(model(), groups, n=4), run_step(model(), spoiled, n=4))


def test_log_probs_are_computed_of_rows_that_count_alone():
    groups, mesh = make_groups(2), sharding.make_mesh((2, 2, 2))
    rows = jax.tree.map(lambda x: jnp.asarray(x[0]), groups)
    want, _ = grpo.completion_logprobs(CFG, grpo.Grpo(l_max=C), model(), rows.tokens, rows.prompt_length, (R, C))
    axes, abstract = params.logical_axes(CFG, stacked=False), params.abstract(CFG, stacked=False)
    with jax.set_mesh(mesh):
        placed = jax.device_put(model(), sharding.shardings(mesh, axes, abstract, sharding.Rules()))
        logprobs = step.make_logprobs(CFG, grpo.Grpo(l_max=C))
        got = jax.device_get(logprobs(placed, None, put_groups(mesh, groups), np.int32(3)))
    np.testing.assert_allclose(got[0], want, atol=1e-5)
    assert got.shape == groups.mask.shape and not got[1].any()


def test_lora_moves_only_the_adapter_and_merges_to_the_same_model():
    adapter = lora.init(CFG, jax.random.key(1), rank=3, alpha=6.0, stacked=False)
    groups = make_groups()
    trained, metrics = run_step(adapter, groups, frozen=model())
    full = run_step(model(), groups)[1]
    np.testing.assert_allclose(metrics["loss"], full["loss"], atol=1e-6)  # b = 0: the adapter begins as the identity
    b = [np.abs(layer["wo_lora"]["b"]).max() for layer in trained]
    assert min(b) > 0
    attached = lora.attach(model(), jax.tree.map(jnp.asarray, trained))
    rows = jax.tree.map(lambda x: jnp.asarray(x[0]), groups)
    args = (rows.tokens, rows.prompt_length, (R, C))
    on_the_fly = grpo.completion_logprobs(CFG, grpo.Grpo(l_max=C), attached, *args)[0]
    merged = grpo.completion_logprobs(CFG, grpo.Grpo(l_max=C), lora.merge(attached), *args)[0]
    assert np.abs(on_the_fly - grpo.completion_logprobs(CFG, grpo.Grpo(l_max=C), model(), *args)[0]).max() > 1e-3
    np.testing.assert_allclose(on_the_fly, merged, atol=1e-5)


def test_importance_weight_is_truncated():
    weight = grpo.importance_weight(jnp.log(jnp.array([0.5, 0.2])), jnp.log(jnp.array([0.25, 0.4])), cap=1.5)
    np.testing.assert_allclose(weight, [1.5, 0.5], rtol=1e-6)


def test_optimizer_warms_up_and_clips():
    tx = optimizer.make(optimizer.Optimizer(lr=1e-2, warmup_steps=2, weight_decay=0.0, clip_norm=1.0))
    w = {"w": jnp.ones(4)}
    state, moved = tx.init(w), []
    for _ in range(3):
        updates, state = tx.update({"w": jnp.full(4, 100.0)}, state, w)
        moved.append(float(-updates["w"][0]))
    np.testing.assert_allclose(moved, [5e-3, 1e-2, 1e-2], rtol=1e-3)
