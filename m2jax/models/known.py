"""Shapes of published models, from their `config.json` on Hugging Face: for what needs no weights."""

from __future__ import annotations

from m2jax.models.config import ModelConfig

KNOWN = {
    "hf:Qwen/Qwen2.5-32B": ModelConfig(
        "qwen2", 152_064, d_model=5120, d_mlp=27_648, n_layers=64, n_heads=40, n_kv_heads=8, d_head=128,
        rope_theta=1e6, max_positions=131_072,
    ),
    "hf:baichuan-inc/Baichuan-M2-32B": ModelConfig(
        "qwen2", 152_064, d_model=5120, d_mlp=27_648, n_layers=64, n_heads=40, n_kv_heads=8, d_head=128,
        rope_theta=1e6, max_positions=131_072,
    ),
    "hf:Qwen/Qwen3-32B": ModelConfig(
        "qwen3", 151_936, d_model=5120, d_mlp=25_600, n_layers=64, n_heads=64, n_kv_heads=8, d_head=128,
        rope_theta=1e6, rms_eps=1e-6, max_positions=40_960,
    ),
    "hf:Qwen/Qwen2.5-7B-Instruct": ModelConfig(
        "qwen2", 152_064, d_model=3584, d_mlp=18_944, n_layers=28, n_heads=28, n_kv_heads=4, d_head=128,
        rope_theta=1e6, rms_eps=1e-6,
    ),
    "hf:Qwen/Qwen2.5-0.5B-Instruct": ModelConfig(
        "qwen2", 151_936, d_model=896, d_mlp=4864, n_layers=24, n_heads=14, n_kv_heads=2, d_head=64,
        rope_theta=1e6, rms_eps=1e-6, tied=True,
    ),
}  # fmt: skip
