"""What a decoder is: `ModelConfig`, frozen and hashable, and its translation from and to Hugging Face's `config.json`.

Three families share one forward and differ by two switches: `llama` (SmolLM2, Llama 3), `qwen2` (a bias on q, k and
v; Qwen2.5, Baichuan-M2) and `qwen3` (RMS norm on each head of q and k).

The package's dimension key: B batch, T query time, S key time, D model, F mlp, N query heads, K kv heads, G = N/K
query heads per kv head, H head, V vocab, L layers, R samples of one prompt, P prompt length, C completion length.
"""

from __future__ import annotations

import dataclasses
from typing import Any

FAMILIES = ("llama", "qwen2", "qwen3")
_ARCHITECTURE = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """Llama-3's frequency-dependent rope scaling (transformers' `rope_type: llama3`)."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_positions: int


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Shape and arithmetic of a decoder. `d_head * n_heads` need not equal `d_model` (Qwen3)."""

    family: str
    vocab_size: int
    d_model: int
    d_mlp: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    rms_eps: float = 1e-5
    tied: bool = False
    max_positions: int = 32_768

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"model family {self.family!r} is not known; one of {', '.join(FAMILIES)}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"{self.n_heads} query heads do not divide among {self.n_kv_heads} kv heads")
        if self.d_head % 2:
            raise ValueError(f"head size {self.d_head} is odd; rope turns pairs of channels")

    @property
    def n_groups(self) -> int:
        """G: query heads per kv head."""
        return self.n_heads // self.n_kv_heads

    @property
    def qkv_bias(self) -> bool:
        return self.family == "qwen2"

    @property
    def qk_norm(self) -> bool:
        return self.family == "qwen3"


def from_hf(config: dict[str, Any]) -> ModelConfig:
    """Reads the fields of a Hugging Face `config.json`. ValueError names what is missing or not supported."""
    architecture = (config.get("architectures") or [None])[0]
    family = next((f for f, a in _ARCHITECTURE.items() if a == architecture), config.get("model_type"))
    if family not in FAMILIES:
        raise ValueError(
            f"architecture {architecture or family!r} is not supported; supported: {', '.join(_ARCHITECTURE.values())}"
        )
    if family == "llama" and (config.get("attention_bias") or config.get("mlp_bias")):
        raise ValueError("a Llama model with attention_bias or mlp_bias is not supported")
    if config.get("use_sliding_window"):
        raise ValueError("use_sliding_window=true is not supported: attention here is full and causal")
    if config.get("hidden_act", "silu") != "silu":
        raise ValueError(f"hidden_act {config['hidden_act']!r} is not supported; only 'silu'")

    def need(key: str) -> Any:
        if config.get(key) is None:
            raise ValueError(f"config.json has no {key!r}")
        return config[key]

    heads = need("num_attention_heads")
    rope = config.get("rope_parameters") or {}
    scaling = config.get("rope_scaling") or rope
    return ModelConfig(
        family=family,
        vocab_size=need("vocab_size"),
        d_model=need("hidden_size"),
        d_mlp=need("intermediate_size"),
        n_layers=need("num_hidden_layers"),
        n_heads=heads,
        n_kv_heads=config.get("num_key_value_heads") or heads,
        d_head=config.get("head_dim") or need("hidden_size") // heads,
        rope_theta=float(config.get("rope_theta") or rope.get("rope_theta") or 10_000.0),
        rope_scaling=_rope_scaling(scaling),
        rms_eps=float(config.get("rms_norm_eps", 1e-6)),
        tied=bool(config.get("tie_word_embeddings", False)),
        max_positions=config.get("max_position_embeddings", 32_768),
    )


def to_hf(cfg: ModelConfig) -> dict[str, Any]:
    """The `config.json` that `transformers` opens as the same model (float32)."""
    config: dict[str, Any] = {
        "architectures": [_ARCHITECTURE[cfg.family]],
        "model_type": cfg.family,
        "vocab_size": cfg.vocab_size,
        "hidden_size": cfg.d_model,
        "intermediate_size": cfg.d_mlp,
        "num_hidden_layers": cfg.n_layers,
        "num_attention_heads": cfg.n_heads,
        "num_key_value_heads": cfg.n_kv_heads,
        "head_dim": cfg.d_head,
        "rope_theta": cfg.rope_theta,
        "rms_norm_eps": cfg.rms_eps,
        "tie_word_embeddings": cfg.tied,
        "max_position_embeddings": cfg.max_positions,
        "hidden_act": "silu",
        "attention_bias": False,
    }
    if cfg.family == "qwen2":
        del config["attention_bias"]
    if cfg.rope_scaling:
        s = cfg.rope_scaling
        config["rope_scaling"] = {
            "rope_type": "llama3",
            "factor": s.factor,
            "low_freq_factor": s.low_freq_factor,
            "high_freq_factor": s.high_freq_factor,
            "original_max_position_embeddings": s.original_max_positions,
        }
    return config


def _rope_scaling(scaling: dict[str, Any]) -> RopeScaling | None:
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return None
    if kind != "llama3":
        raise ValueError(f"rope scaling {kind!r} is not supported; supported: 'llama3', or none")
    return RopeScaling(
        factor=float(scaling["factor"]),
        low_freq_factor=float(scaling["low_freq_factor"]),
        high_freq_factor=float(scaling["high_freq_factor"]),
        original_max_positions=int(scaling["original_max_position_embeddings"]),
    )
