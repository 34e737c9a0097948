"""A GGUF file that is written is read back as the same model, by us; its tensors are where the format's own library
looks for them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import gguf
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m2jax.models import params as parameters
from m2jax.models.config import ModelConfig
from m2jax.text.tokenizer import load_tokenizer
from m2jax.weights.gguf_source import permute, unpermute
from m2jax.weights.gguf_target import export_gguf
from m2jax.weights.load import load
from tests.text.fixtures import tiny_tokenizers as tiny
from tests.weights.tiny_model import CONFIGS

ROWS = 410


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("bpe"), tiny.train_bpe())


def model(name: str, *, stacked: bool = False) -> tuple[ModelConfig, parameters.Params]:
    """Random in every array, norms and biases too."""
    cfg = dataclasses.replace(CONFIGS[name], vocab_size=ROWS)
    rng = np.random.default_rng(0)
    abstract = parameters.abstract(cfg, stacked=stacked)
    return cfg, jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape, np.float32)), abstract)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_written_and_read_it_is_the_same_model(tmp_path: Path, tokenizer: Path, name: str, stacked: bool) -> None:
    cfg, params = model(name, stacked=stacked)
    export_gguf(cfg, params, tmp_path / "out", tokenizer)
    again_cfg, again = load(tmp_path / "out" / "model.gguf", stacked=stacked, dtype=jnp.float32)
    assert again_cfg == cfg
    jax.tree.map(np.testing.assert_array_equal, again, params)
    assert load_tokenizer(tmp_path / "out" / "model.gguf").encode("fever") == load_tokenizer(tokenizer).encode("fever")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_matrices_are_rounded_and_vectors_are_not(tmp_path: Path, tokenizer: Path, dtype: str) -> None:
    cfg, params = model("qwen2")
    export_gguf(cfg, params, tmp_path / "out", tokenizer, dtype=dtype)
    _, again = load(tmp_path / "out" / "model.gguf", stacked=False, dtype=jnp.float32)
    vectors = {"attn_norm", "mlp_norm", "bq", "bk", "bv", "final_norm"}

    def compare(path: tuple, mine: jax.Array, found: jax.Array) -> None:
        exact = path[-1].key in vectors
        np.testing.assert_array_equal(found, mine if exact else mine.astype(dtype).astype(jnp.float32), str(path))

    jax.tree_util.tree_map_with_path(compare, params, again)


def test_the_formats_own_library_finds_rows_of_q_in_pairs(tmp_path: Path, tokenizer: Path) -> None:
    """Row 2i of a head is channel i of its first half, row 2i + 1 that of its second."""
    cfg, params = model("llama")
    export_gguf(cfg, params, tmp_path / "out", tokenizer)
    reader = gguf.GGUFReader(tmp_path / "out" / "model.gguf")
    found = {tensor.name: tensor.data for tensor in reader.tensors}
    head, half = np.asarray(params["layers"][1]["wq"][:, 0, 1, :]).T, cfg.d_head // 2  # [H, D] of the second head
    rows = found["blk.1.attn_q.weight"][cfg.d_head : 2 * cfg.d_head]
    np.testing.assert_array_equal(rows[0::2], head[:half])
    np.testing.assert_array_equal(rows[1::2], head[half:])
    np.testing.assert_array_equal(unpermute(permute(rows, cfg.d_head), cfg.d_head), rows)
    assert reader.fields["llama.attention.head_count_kv"].contents() == cfg.n_kv_heads


def test_a_model_that_was_gguf_keeps_its_tokenizer(tmp_path: Path, tokenizer: Path) -> None:
    cfg, params = model("llama3")
    export_gguf(cfg, params, tmp_path / "one", tokenizer)
    export_gguf(cfg, params, tmp_path / "two", tmp_path / "one" / "model.gguf")
    first, second = (gguf.GGUFReader(tmp_path / n / "model.gguf").fields for n in ("one", "two"))
    assert [(k, f.contents()) for k, f in first.items() if k.startswith("tokenizer.")] == [
        (k, f.contents()) for k, f in second.items() if k.startswith("tokenizer.")
    ]
    assert load(tmp_path / "two" / "model.gguf", stacked=False, dtype=jnp.float32)[0].rope_scaling == cfg.rope_scaling


def test_what_is_not_finite_leaves_no_folder(tmp_path: Path, tokenizer: Path) -> None:
    cfg, params = model("llama")
    params["layers"][1]["w_up"] = params["layers"][1]["w_up"].at[3, 4].set(1e6)
    with pytest.raises(ValueError, match="'model.layers.1.mlp.up_proj.weight' .* not finite as float16"):
        export_gguf(cfg, params, tmp_path / "out", tokenizer, dtype="float16")
    assert not (tmp_path / "out").exists()
