"""Adapters to files and back, and what the package ships."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from m2jax import adapters
from m2jax.models import decoder, lora, params
from m2jax.models.attention import packed
from m2jax.models.config import ModelConfig
from m2jax.weights.adapter import read_adapter, write_adapter

CFG = ModelConfig("qwen2", vocab_size=64, d_model=32, d_mlp=48, n_layers=2, n_heads=4, n_kv_heads=2, d_head=8)


def make(stacked: bool):
    adapter = lora.init(CFG, jax.random.key(0), rank=3, alpha=6.0, stacked=stacked)
    return jax.tree.map(lambda x: x + 0.1, adapter)


@pytest.mark.parametrize("stacked", [False, True], ids=["unrolled", "scanned"])
def test_what_is_read_is_what_was_written(tmp_path: Path, stacked: bool):
    write_adapter(CFG, make(stacked), tmp_path / "a.safetensors", np.float32)
    for form in (False, True):
        got = read_adapter(CFG, tmp_path / "a.safetensors", stacked=form)
        want = make(stacked)
        if form != stacked:
            want = (
                jax.tree.map(lambda *x: jnp.stack(x), *want)
                if form
                else tuple(jax.tree.map(lambda x, i=i: x[i], want) for i in range(2))
            )
        jax.tree.map(np.testing.assert_array_equal, got, want)


def test_the_stored_product_is_added_to_the_stored_weight(tmp_path: Path):
    """lora_B @ lora_A in the layout of Hugging Face's weights is what `lora.merge` adds."""
    from m2jax.weights import layout

    tree, adapter = params.init(CFG, jax.random.key(1), stacked=False), make(False)
    write_adapter(CFG, adapter, tmp_path / "a.safetensors", np.float32)
    stored, merged = load_file(tmp_path / "a.safetensors"), lora.merge(lora.attach(tree, adapter))
    assert len(stored) == 2 * 7 * CFG.n_layers
    for row in params.table(CFG):
        name = row.name.removeprefix("layers/")
        if row.in_layer and name in lora.TARGETS:
            change = layout.to_stored(row, np.asarray(merged["layers"][1][name] - tree["layers"][1][name]))
            stem = "base_model.model." + row.hf.format(1).removesuffix(".weight")
            want = stored[f"{stem}.lora_B.weight"] @ stored[f"{stem}.lora_A.weight"]
            np.testing.assert_allclose(change, want, atol=1e-5)


def test_half_precision_changes_little(tmp_path: Path):
    tree, adapter = params.init(CFG, jax.random.key(1), stacked=False), make(False)
    write_adapter(CFG, adapter, tmp_path / "a.safetensors")
    tokens = jnp.arange(12)[None]

    def hidden(a):
        return decoder.forward(CFG, lora.attach(tree, a), tokens, tokens, packed(jnp.ones_like(tokens)))[0]

    np.testing.assert_allclose(
        hidden(adapter), hidden(read_adapter(CFG, tmp_path / "a.safetensors", stacked=False)), atol=1e-2
    )


def test_a_file_that_does_not_fit_is_named(tmp_path: Path):
    file = tmp_path / "a.safetensors"
    write_adapter(CFG, make(False), file)
    tensors = load_file(file)
    name = "base_model.model.model.layers.1.mlp.up_proj.lora_A.weight"
    for change, said in (
        ({k: v for k, v in tensors.items() if k != name}, f"lacks the tensor '{name}'"),
        (tensors | {"odd": tensors[name]}, "has the tensor 'odd'"),
        (tensors | {name: tensors[name][:, 1:].copy()}, "is it of another model"),
    ):
        save_file(change, file)
        with pytest.raises(ValueError, match=said):
            read_adapter(CFG, file, stacked=False)
    file.write_text("no")
    with pytest.raises(ValueError, match="is no safetensors file"):
        read_adapter(CFG, file, stacked=False)
    broken = jax.tree.map(lambda x: x * jnp.inf, make(False))
    with pytest.raises(ValueError, match="not finite as float16"):
        write_adapter(CFG, broken, file)


def test_what_ships_is_small_and_has_its_card():
    for name in adapters.shipped():
        card = adapters.card(name)
        assert adapters.path(name).stat().st_size == card["bytes"] <= 6e6
        assert card["name"] == name and card["command"] and json.dumps(card["figures"])
    with pytest.raises(ValueError, match="there is no adapter 'doctor'"):
        adapters.path("doctor")
