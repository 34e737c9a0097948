"""Small Hugging Face folders and GGUF files for the tests, written by the formats' own libraries."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType as Kind
from safetensors.numpy import save_file

from m2jax.models.config import ModelConfig, RopeScaling, to_hf
from m2jax.models.params import table
from m2jax.weights.layout import stored_shape

BASE = dict(vocab_size=48, d_model=32, d_mlp=64, n_layers=3, n_heads=8, n_kv_heads=4, d_head=8)
CONFIGS = {
    "llama": ModelConfig("llama", **BASE, tied=True),
    "llama3": ModelConfig("llama", **BASE, rope_scaling=RopeScaling(8.0, 1.0, 4.0, 64), rope_theta=50.0),
    "qwen2": ModelConfig("qwen2", **BASE, rms_eps=1e-6, rope_theta=1e6),
    "qwen3": ModelConfig("qwen3", **BASE | {"d_head": 12}, tied=True, rms_eps=1e-6),
}
GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def tensors(cfg: ModelConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """Random float32 tensors under their Hugging Face names, in stored layout."""
    rng = np.random.default_rng(seed)
    return {
        row.hf.format(i): rng.standard_normal(stored_shape(row)).astype(np.float32)
        for row in table(cfg)
        for i in (range(cfg.n_layers) if row.in_layer else (None,))
    }


def write_folder(folder: Path, cfg: ModelConfig, weights: dict[str, np.ndarray], n_shards: int = 1) -> Path:
    """config.json and safetensors, with an index where there are several shards."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(to_hf(cfg)))
    if n_shards == 1:
        save_file(weights, folder / "model.safetensors")
        return folder
    names = sorted(weights)
    weight_map = {}
    for i in range(n_shards):
        shard = f"model-{i + 1:05}-of-{n_shards:05}.safetensors"
        save_file({n: weights[n] for n in names[i::n_shards]}, folder / shard)
        weight_map |= dict.fromkeys(names[i::n_shards], shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def gguf_name(name: str) -> str:
    """The GGUF name of a Hugging Face tensor."""
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("model.layers."):
        return f"{GGUF_NAMES[stem]}.{kind}"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{GGUF_NAMES[rest]}.{kind}"


def write_gguf(
    path: Path,
    cfg: ModelConfig,
    stored: dict[str, tuple[np.ndarray, Kind | None]],
    *,
    architecture: str | None = None,
    rope_factors: np.ndarray | None = None,
) -> Path:
    """A GGUF file of tensors named and laid out as GGUF wants them; a type is given with raw bytes only."""
    writer = gguf.GGUFWriter(path, architecture or cfg.family)
    writer.add_block_count(cfg.n_layers)
    writer.add_context_length(cfg.max_positions)
    writer.add_embedding_length(cfg.d_model)
    writer.add_feed_forward_length(cfg.d_mlp)
    writer.add_head_count(cfg.n_heads)
    writer.add_head_count_kv(cfg.n_kv_heads)
    writer.add_key_length(cfg.d_head)
    writer.add_value_length(cfg.d_head)
    writer.add_layer_norm_rms_eps(cfg.rms_eps)
    writer.add_rope_freq_base(cfg.rope_theta)
    writer.add_token_list([f"token{i}" for i in range(cfg.vocab_size)])
    if rope_factors is not None:
        writer.add_tensor("rope_freqs.weight", rope_factors.astype(np.float32))
    for name, (array, kind) in stored.items():
        writer.add_tensor(name, array, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
