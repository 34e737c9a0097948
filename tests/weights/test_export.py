"""What is exported is loaded again bit for bit, by us and by the safetensors library."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

from m2jax import sharding
from m2jax.models import params as parameters
from m2jax.weights import export as exporting
from m2jax.weights.export import export
from m2jax.weights.load import load
from tests.weights.tiny_model import CONFIGS, tensors, write_folder


class TokenizerStub:
    def save(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("{}")


def random_params(name: str, *, stacked: bool, dtype: jnp.dtype = jnp.float32) -> parameters.Params:
    """Random in every array, norms and biases too."""
    abstract = parameters.abstract(CONFIGS[name], stacked=stacked)
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape, np.float32).astype(dtype)), abstract)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", CONFIGS)
def test_export_then_load_is_the_identity(tmp_path: Path, name: str, dtype: jnp.dtype, stacked: bool) -> None:
    params = random_params(name, stacked=stacked, dtype=dtype)
    export(CONFIGS[name], params, tmp_path / "out", dtype=dtype)
    cfg, again = load(tmp_path / "out", stacked=stacked, dtype=dtype)
    assert cfg == CONFIGS[name]
    jax.tree.map(np.testing.assert_array_equal, again, params)
    assert {a.dtype for a in jax.tree.leaves(again)} == {jnp.dtype(dtype)}


@pytest.mark.parametrize("limit", [10**9, 20_000])
def test_the_safetensors_library_reads_the_stored_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(exporting, "SHARD_BYTES", limit)
    cfg, weights = CONFIGS["qwen2"], tensors(CONFIGS["qwen2"])
    _, params = load(write_folder(tmp_path / "in", cfg, weights), stacked=True, dtype=jnp.float32)
    export(cfg, params, tmp_path / "out")
    files = sorted((tmp_path / "out").glob("*.safetensors"))
    seen = {}
    for file in files:
        assert len(files) == 1 or file.stat().st_size < limit + 10_000
        with safe_open(file, framework="numpy") as opened:
            seen |= {name: (file.name, opened.get_tensor(name)) for name in opened.keys()}
    assert seen.keys() == weights.keys()
    for name, (_, array) in seen.items():
        np.testing.assert_array_equal(array, weights[name])
    if limit > 10**6:
        assert [f.name for f in files] == ["model.safetensors"]
        return
    assert len(files) > 2
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {name: file for name, (file, _) in seen.items()}
    assert index["metadata"]["total_size"] == sum(w.nbytes for w in weights.values())
    jax.tree.map(np.testing.assert_array_equal, load(tmp_path / "out", stacked=True, dtype=jnp.float32)[1], params)


@pytest.mark.parametrize("stacked", [False, True])
def test_sharded_parameters_are_written_whole_and_leave_no_copy_behind(tmp_path: Path, stacked: bool) -> None:
    cfg = CONFIGS["llama"]
    shardings = sharding.shardings(
        sharding.make_mesh((1, 2, 4)),
        parameters.logical_axes(cfg, stacked=stacked),
        parameters.abstract(cfg, stacked=stacked),
        sharding.Rules(),
    )
    params = random_params("llama", stacked=stacked)
    spread = jax.device_put(params, shardings)
    export(cfg, spread, tmp_path / "out")
    assert all(a._npy_value is None for a in jax.tree.leaves(spread))
    _, again = load(tmp_path / "out", stacked=stacked, dtype=jnp.float32)
    jax.tree.map(np.testing.assert_array_equal, again, params)


def test_tokenizer_and_ends_go_beside_the_weights(tmp_path: Path) -> None:
    export(
        CONFIGS["llama"],
        random_params("llama", stacked=False),
        tmp_path / "out",
        tokenizer=TokenizerStub(),
        eos_ids=(2, 7),
    )
    names = {f.name for f in (tmp_path / "out").iterdir()}
    assert names == {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}
    for name in ("config.json", "generation_config.json"):
        assert json.loads((tmp_path / "out" / name).read_text())["eos_token_id"] == [2, 7]


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    params = random_params("llama", stacked=False)
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="is not empty"):
        export(CONFIGS["llama"], params, tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["mine.txt"]


def test_what_is_not_finite_is_named_and_leaves_no_folder(tmp_path: Path) -> None:
    params = random_params("llama", stacked=False)
    params["layers"][1]["w_up"] = params["layers"][1]["w_up"].at[3, 4].set(1e6)
    export(CONFIGS["llama"], params, tmp_path / "fits")
    with pytest.raises(ValueError, match="'model.layers.1.mlp.up_proj.weight' .* not finite as float16"):
        export(CONFIGS["llama"], params, tmp_path / "out", dtype=jnp.float16)
    assert not (tmp_path / "out").exists()


def test_parameters_of_another_configuration_are_refused(tmp_path: Path) -> None:
    params = random_params("qwen3", stacked=False)
    with pytest.raises(ValueError, match=r"'layers/wq' has shape \(32, 4, 2, 12\), but .* \(32, 4, 2, 8\)"):
        export(CONFIGS["llama"], params, tmp_path / "out")
    with pytest.raises(ValueError, match="int8"):
        export(CONFIGS["llama"], params, tmp_path / "out", dtype=jnp.int8)
