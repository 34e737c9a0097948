"""Checkpoints: what is saved comes back bit by bit, the newest are kept, and a run's folder gives its parameters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from m2jax import sharding
from m2jax.checkpoint import Checkpoints, load_params, load_trained
from m2jax.models import lora, params
from m2jax.train import optimizer
from m2jax.train.step import TrainState, init_state
from m2jax.weights.load import load
from tests.train import tiny_run

TX = optimizer.make(optimizer.Optimizer())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return tiny_run.write_all(tmp_path_factory.mktemp("tiny"))


def test_state_comes_back_bit_by_bit_and_the_newest_stay(files: tuple[Path, Path], tmp_path: Path) -> None:
    weights = load(files[0], stacked=False, dtype="float32")[1]
    states = {step: _noise(init_state(weights, TX), seed=step) for step in (1, 2, 3)}
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.latest() is None
    for step, state in states.items():
        checkpoints.save(step, state, {"position": {"next": step}})
    checkpoints.close()
    shutil.copytree(tmp_path / "checkpoints" / "3", tmp_path / "checkpoints" / "4.orbax-checkpoint-tmp")  # torn

    again = Checkpoints(tmp_path, keep=2)
    assert again.latest() == 3
    for step in (2, 3):
        state, loop = again.restore(step, init_state(jax.tree.map(jax.numpy.copy, weights), TX))
        assert loop == {"position": {"next": step}}
        jax.tree.map(_assert_same_bits, states[step], state)
    again.close()
    _config(files, tmp_path)
    with pytest.raises(ValueError, match=r"no checkpoint of step 1; it has \[2, 3\]"):
        load_params(tmp_path, 1)


@pytest.mark.parametrize("there", [("float32", True), ("bfloat16", False), ("bfloat16", True)], ids=str)
def test_moments_come_back_as_the_run_now_keeps_them(files: tuple[Path, Path], tmp_path: Path, there: tuple) -> None:
    """From float32 on the device to something less, and back."""
    weights = load(files[0], stacked=True, dtype="float32")[1]
    ways = [TX, optimizer.make(optimizer.Optimizer(moments=there[0], offload=there[1])), TX]
    like = [jax.tree.map(np.asarray, init_state(weights, tx)) for tx in ways]  # for the dtypes
    state = _noise(init_state(weights, TX), seed=1)
    want = jax.tree.map(lambda x, small: x.astype(small.dtype).astype(x.dtype), state, like[1])
    for step, tx in enumerate(ways):
        checkpoints = Checkpoints(tmp_path)
        if step:
            state, _ = checkpoints.restore(step, init_state(jax.tree.map(jax.numpy.copy, weights), tx))
        moments = jax.tree.leaves(state.opt_state[1][0].nu)
        assert {m.sharding.memory_kind for m in moments} == {"pinned_host" if step == 1 and there[1] else "device"}
        assert {str(m.dtype) for m in moments} == {there[0] if step == 1 else "float32"}
        checkpoints.save(step + 1, state, {})
        checkpoints.close()
    jax.tree.map(_assert_same_bits, want, state)


@pytest.mark.parametrize("layers", ["unrolled", "scanned"])
def test_load_params_gives_what_was_trained(files: tuple[Path, Path], tmp_path: Path, layers: str) -> None:
    weights = load(files[0], stacked=layers == "scanned", dtype="float32")[1]
    trained = _noise(weights, seed=1)
    _config(files, tmp_path, layers=layers)
    _save(tmp_path, 5, init_state(trained, TX))
    cfg, params, model = load_params(tmp_path)
    assert cfg == tiny_run.CFG and model == str(files[0])
    jax.tree.map(_assert_same_bits, trained, params)


@pytest.mark.parametrize("layers", ["unrolled", "scanned"])
def test_load_params_merges_an_adapter(files: tuple[Path, Path], tmp_path: Path, layers: str) -> None:
    stacked = layers == "scanned"
    weights = load(files[0], stacked=stacked, dtype="float32")[1]
    adapter = _noise(lora.init(tiny_run.CFG, jax.random.key(0), 2, 16.0, stacked=stacked), seed=1)
    _config(files, tmp_path, **{"layers": layers, "lora.rank": 2})
    _save(tmp_path, 5, init_state(adapter, TX))
    _, params, _ = load_params(tmp_path)
    assert jax.tree.structure(params) == jax.tree.structure(weights)
    _assert_same_bits(params["embed"], weights["embed"])
    layer, base, own = (_layer_1(layers) for layers in (params["layers"], weights["layers"], adapter))
    for name, equation in {"wq": "dr,rkgh->dkgh", "wo": "kghr,rd->kghd", "w_up": "dr,rf->fd"}.items():
        pair = own[f"{name}_lora"]
        delta = np.einsum(equation, np.asarray(pair["a"]), np.asarray(pair["b"]))
        np.testing.assert_allclose(layer[name], np.asarray(base[name]) + delta, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rank", [0, 2])
def test_what_was_trained_goes_straight_into_a_mesh(files: tuple[Path, Path], tmp_path: Path, rank: int) -> None:
    trained = load(files[0], stacked=True, dtype="float32")[1]
    if rank:
        trained = lora.init(tiny_run.CFG, jax.random.key(0), rank, 16.0, stacked=True)
    trained = _noise(trained, seed=1)
    _config(files, tmp_path, **{"layers": "scanned", "lora.rank": rank})
    _save(tmp_path, 5, init_state(trained, TX))
    mesh = sharding.make_mesh((2, 2, 2))
    _, found, _, step = load_trained(tmp_path, mesh=mesh)
    axes = (lora if rank else params).logical_axes(tiny_run.CFG, stacked=True)
    assert step == 5
    assert jax.tree.map(lambda x: x.sharding, found) == sharding.shardings(mesh, axes, found, sharding.Rules())
    jax.tree.map(_assert_same_bits, trained, found)
    first = jax.tree.map(lambda x: x.sharding.device_set, load_trained(tmp_path)[1])
    assert all(devices == {jax.devices()[0]} for devices in jax.tree.leaves(first))


def test_folder_without_a_run_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{tmp_path / 'none'} holds no run.*--workdir"):
        load_params(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_run_without_a_checkpoint_is_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    _config(files, tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path} has no checkpoint.*none"):
        load_params(tmp_path)


def _noise(tree: Any, seed: int) -> Any:
    """The tree with every float array replaced by noise, and every count by the seed."""
    rng = np.random.default_rng(seed)

    def one(x: jax.Array) -> jax.Array:
        is_float = np.issubdtype(x.dtype, np.floating)
        values = rng.standard_normal(x.shape) if is_float else np.full(x.shape, seed)
        return jax.device_put(values.astype(x.dtype), x.sharding)

    return jax.tree.map(one, tree)


def _config(files: tuple[Path, Path], folder: Path, **values: object) -> None:
    text = json.dumps(tiny_run.config(*files, **values).to_dict())
    (folder / "config.json").write_text(text)


def _save(folder: Path, step: int, state: TrainState) -> None:
    checkpoints = Checkpoints(folder)
    checkpoints.save(step, state, {})
    checkpoints.close()


def _layer_1(layers: Any) -> dict[str, Any]:
    return layers[1] if isinstance(layers, tuple) else jax.tree.map(lambda x: x[1], layers)


def _assert_same_bits(a: jax.Array, b: jax.Array) -> None:
    assert a.dtype == b.dtype and a.shape == b.shape
    assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
