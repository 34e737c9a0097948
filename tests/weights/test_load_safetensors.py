"""Loading Hugging Face folders: values, layouts over devices, dtypes and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from safetensors.numpy import save_file

from m2jax import sharding
from m2jax.models import params as parameters
from m2jax.models.config import ModelConfig
from m2jax.weights.load import load, read_config
from tests.weights.tiny_model import CONFIGS, tensors, write_folder

LLAMA = CONFIGS["llama"]


def assert_same(left: Any, right: Any) -> None:
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("name", CONFIGS)
def test_arrays_are_the_stored_ones_heads_apart_and_attention_input_first(tmp_path: Path, name: str) -> None:
    cfg, weights = CONFIGS[name], tensors(CONFIGS[name])
    loaded_cfg, params = load(write_folder(tmp_path, cfg, weights), stacked=False, dtype=jnp.float32)
    assert loaded_cfg == cfg
    assert jax.tree.map(lambda a: (a.shape, a.dtype), params) == jax.tree.map(
        lambda a: (a.shape, a.dtype), parameters.abstract(cfg, stacked=False)
    )
    heads = (cfg.n_kv_heads, cfg.n_groups, cfg.d_head)
    for i, layer in enumerate(params["layers"]):
        at = f"model.layers.{i}."
        q, o = weights[at + "self_attn.q_proj.weight"], weights[at + "self_attn.o_proj.weight"]
        np.testing.assert_array_equal(layer["wq"], q.T.reshape(cfg.d_model, *heads))
        np.testing.assert_array_equal(layer["wo"], o.T.reshape(*heads, cfg.d_model))
        np.testing.assert_array_equal(layer["w_down"], weights[at + "mlp.down_proj.weight"])
        np.testing.assert_array_equal(layer["mlp_norm"], weights[at + "post_attention_layernorm.weight"])
        if cfg.qkv_bias:
            np.testing.assert_array_equal(layer["bq"], weights[at + "self_attn.q_proj.bias"].reshape(heads))
    np.testing.assert_array_equal(params["embed"], weights["model.embed_tokens.weight"])
    if not cfg.tied:
        np.testing.assert_array_equal(params["head"], weights["lm_head.weight"])


@pytest.mark.parametrize("name", CONFIGS)
def test_stacked_and_sharded_files_hold_the_same(tmp_path: Path, name: str) -> None:
    cfg, weights = CONFIGS[name], tensors(CONFIGS[name])
    _, one = load(write_folder(tmp_path / "one", cfg, weights), stacked=False, dtype=jnp.float32)
    _, three = load(write_folder(tmp_path / "three", cfg, weights, 3), stacked=True, dtype=jnp.float32)
    assert_same(three, parameters.stack_layers(one))


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize(
    ("mesh_shape", "rules"),
    [
        ((1, 2, 4), sharding.Rules()),
        ((2, 2, 2), sharding.Rules(embed=None, mlp="fsdp")),
        ((8, 1, 1), sharding.Rules()),  # every device holds everything
        ((1, 8, 1), sharding.Rules(vocab=None)),
    ],
)
def test_slices_on_eight_devices_are_those_of_the_whole(
    tmp_path: Path, mesh_shape: tuple[int, int, int], rules: sharding.Rules, stacked: bool
) -> None:
    cfg = CONFIGS["qwen2"]
    folder = write_folder(tmp_path, cfg, tensors(cfg), 2)
    _, whole = load(folder, stacked=stacked, dtype=jnp.float32)
    shardings = sharding.shardings(
        sharding.make_mesh(mesh_shape),
        parameters.logical_axes(read_config(folder), stacked=stacked),
        parameters.abstract(cfg, stacked=stacked),
        rules,
    )
    _, spread = load(folder, stacked=stacked, dtype=jnp.float32, shardings=shardings)
    assert jax.tree.all(jax.tree.map(lambda a, s: a.sharding == s, spread, shardings))
    assert_same(spread, whole)


@pytest.mark.parametrize("axis", range(4))
def test_any_axis_may_be_cut_inside_a_head_too(tmp_path: Path, axis: int) -> None:
    cfg = ModelConfig("llama", vocab_size=16, d_model=16, d_mlp=16, n_layers=2, n_heads=16, n_kv_heads=8, d_head=8)
    folder = write_folder(tmp_path, cfg, tensors(cfg))
    _, whole = load(folder, stacked=True, dtype=jnp.float32)
    mesh = jax.make_mesh((2, 4), ("a", "b"))

    def layout(array: jax.Array) -> NamedSharding:
        at = min(axis, array.ndim - 1)
        name = "b" if array.shape[at] % 4 == 0 else "a"
        return NamedSharding(mesh, PartitionSpec(*[None] * at, name))

    shardings = jax.tree.map(layout, whole)
    assert_same(load(folder, stacked=True, dtype=jnp.float32, shardings=shardings)[1], whole)


def test_bfloat16_is_kept_bit_for_bit_and_float32_is_rounded(tmp_path: Path) -> None:
    rounded = {n: w.astype(ml_dtypes.bfloat16) for n, w in tensors(LLAMA).items()}
    _, kept = load(write_folder(tmp_path / "b", LLAMA, rounded), stacked=False, dtype=jnp.bfloat16)
    _, narrowed = load(write_folder(tmp_path / "f", LLAMA, tensors(LLAMA)), stacked=False, dtype=jnp.bfloat16)
    _, widened = load(tmp_path / "b", stacked=False, dtype=jnp.float32)
    assert_same(kept, narrowed)
    assert_same(widened, jax.tree.map(lambda a: a.astype(jnp.float32), kept))
    embed = rounded["model.embed_tokens.weight"]
    np.testing.assert_array_equal(np.asarray(kept["embed"]).view(np.uint16), embed.view(np.uint16))


def test_a_float16_file_is_read(tmp_path: Path) -> None:
    half = {n: w.astype(np.float16) for n, w in tensors(LLAMA).items()}
    _, params = load(write_folder(tmp_path, LLAMA, half), stacked=False, dtype=jnp.float32)
    np.testing.assert_array_equal(params["final_norm"], half["model.norm.weight"].astype(np.float32))


def test_rotary_buffers_are_ignored(tmp_path: Path) -> None:
    buffers = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4, np.float32)}
    load(write_folder(tmp_path, LLAMA, tensors(LLAMA) | buffers), stacked=False, dtype=jnp.float32)


def test_the_head_of_a_tied_model_is_accepted_only_if_it_is_the_embedding(tmp_path: Path) -> None:
    weights = tensors(LLAMA)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].copy()
    _, params = load(write_folder(tmp_path, LLAMA, weights), stacked=False, dtype=jnp.float32)
    assert "head" not in params
    weights["lm_head.weight"][-1, -1] += 1
    write_folder(tmp_path, LLAMA, weights)
    with pytest.raises(ValueError, match="'lm_head.weight' differs"):
        load(tmp_path, stacked=False, dtype=jnp.float32)


def broken(weights: dict[str, np.ndarray], what: str) -> dict[str, np.ndarray]:
    name = "model.layers.1.mlp.up_proj.weight"
    if what == "missing":
        return {n: w for n, w in weights.items() if n != name}
    if what == "unexpected":
        return weights | {"model.layers.1.mlp.up_proj.bias": np.zeros(4, np.float32)}
    if what == "shape":
        return weights | {name: weights[name][:-1]}
    return weights | {name: weights[name].astype(np.float64)}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", r"lacks tensor 'model.layers.1.mlp.up_proj.weight'"),
        ("unexpected", r"has tensor 'model.layers.1.mlp.up_proj.bias', which a llama model has no place for"),
        ("shape", r"'model.layers.1.mlp.up_proj.weight' .* has shape \(63, 32\), .* says \(64, 32\)"),
        ("dtype", r"'model.layers.1.mlp.up_proj.weight' .* has dtype F64"),
    ],
)
def test_a_tensor_at_fault_is_named(tmp_path: Path, what: str, message: str) -> None:
    folder = write_folder(tmp_path, LLAMA, broken(tensors(LLAMA), what))
    with pytest.raises(ValueError, match=message):
        load(folder, stacked=False, dtype=jnp.float32)


def test_a_head_that_is_missing_gets_a_hint(tmp_path: Path) -> None:
    weights = tensors(CONFIGS["qwen2"])
    del weights["lm_head.weight"]
    with pytest.raises(ValueError, match="lm_head.weight.*tie_word_embeddings"):
        load(write_folder(tmp_path, CONFIGS["qwen2"], weights), stacked=False, dtype=jnp.float32)


def test_a_truncated_file_names_the_first_tensor_that_is_cut(tmp_path: Path) -> None:
    file = write_folder(tmp_path, LLAMA, tensors(LLAMA)) / "model.safetensors"
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    last = max((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"][1])
    file.write_bytes(data[:-4])
    with pytest.raises(ValueError, match=f"'{last}' .* is truncated"):
        load(tmp_path, stacked=False, dtype=jnp.float32)
    file.write_bytes(data[:100])
    with pytest.raises(ValueError, match="is truncated or not a safetensors file"):
        load(tmp_path, stacked=False, dtype=jnp.float32)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "'b' .* overlaps"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [12, 20]}, "'b' .* leaves a hole"),
        ({"dtype": "F32", "data_offsets": [8, 16]}, "header of .* is malformed: KeyError.'shape'"),
        ({"dtype": "F32", "shape": [3], "data_offsets": [8, 16]}, r"'b' .* 8 bytes, but its shape \(3,\)"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, second: dict[str, Any], message: str) -> None:
    write_folder(tmp_path, LLAMA, {"a": np.zeros(2, np.float32)})
    entries = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": second}
    header = json.dumps(entries).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(20))
    with pytest.raises(ValueError, match=message):
        load(tmp_path, stacked=False, dtype=jnp.float32)


def test_shards_and_index_must_agree(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, LLAMA, tensors(LLAMA), 3)
    index = folder / "model.safetensors.index.json"
    good = json.loads(index.read_text())
    second = folder / "model-00002-of-00003.safetensors"
    moved = second.rename(folder / "elsewhere")
    with pytest.raises(ValueError, match="shard 'model-00002-of-00003.safetensors'.* is missing"):
        read_config(folder)
    moved.rename(second)
    for entry, message in (
        ({"ghost": second.name}, "tensor 'ghost' is not in .*00002-of-00003"),
        ({"ghost": "../model.safetensors"}, "shard outside its folder"),
    ):
        index.write_text(json.dumps({"weight_map": good["weight_map"] | entry}))
        with pytest.raises(ValueError, match=message):
            read_config(folder)
    index.unlink()
    with pytest.raises(ValueError, match="3 .safetensors files but no model.safetensors.index.json"):
        read_config(folder)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    save_file({"a": np.zeros(2, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="has no config.json"):
        load(tmp_path, stacked=False, dtype=jnp.float32)
    with pytest.raises(ValueError, match="neither a .gguf file nor a folder"):
        load(tmp_path / "model.safetensors", stacked=False, dtype=jnp.float32)
    with pytest.raises(ValueError, match="int32"):
        load(tmp_path, stacked=False, dtype=jnp.int32)


def test_a_tree_of_shardings_without_an_array_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, LLAMA, tensors(LLAMA))
    one = jax.sharding.SingleDeviceSharding(jax.devices()[3])
    shardings = jax.tree.map(lambda _: one, parameters.abstract(LLAMA, stacked=True))
    assert load(folder, stacked=True, dtype=jnp.float32, shardings=shardings)[1]["embed"].sharding == one
    del shardings["layers"]["wk"]
    with pytest.raises(ValueError, match="no entry for 'layers/wk'"):
        load(folder, stacked=True, dtype=jnp.float32, shardings=shardings)
