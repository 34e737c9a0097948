"""Tensors of a GGUF file (llama.cpp's format), dequantised to float32 and under their Hugging Face names.

Architectures llama, qwen2 and qwen3. Two things differ from the Hugging Face model and are undone here:
- the rows of q and k of a `llama` file are permuted, head by head, for a rope that turns neighbouring
  channels
  (`LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py); qwen2 and qwen3 files are not;
- Llama-3's rope scaling is not metadata but a tensor, `rope_freqs.weight`: the divisor of each frequency.
The vocabulary's size is the embedding's; the head is tied where `output.weight` is absent.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from gguf.quants import dequantize

from m2jax.gguf_file import TensorPlace, read_gguf
from m2jax.models.config import FAMILIES, ModelConfig, RopeScaling

_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
ROPE_FACTORS = "rope_freqs.weight"


class GgufSource:
    """The configuration and the tensors of the GGUF file `path`, by Hugging Face name."""

    def __init__(self, path: Path) -> None:
        """Reads the header. ValueError names what is missing, damaged or not supported."""
        self.path = path
        metadata, tensors = read_gguf(path)
        if metadata.get("split.count", 1) > 1:
            raise ValueError(f"{path} is one part of a split GGUF file; merge the parts with llama-gguf-split --merge")
        self._check_kinds(tensors)
        factors = self._dequantize(tensors.pop(ROPE_FACTORS)) if ROPE_FACTORS in tensors else None
        self.config: ModelConfig = gguf_config(metadata, tensors, factors)
        self._places = {_hf_name(name): place for name, place in tensors.items()}
        self._last: tuple[str, np.ndarray] | None = None

    def names(self) -> set[str]:
        return set(self._places)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._places[name].shape

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        """The tensor at `index`, one slice per axis, float32, read-only. The last tensor read is kept
        whole."""
        if self._last is None or self._last[0] != name:
            self._last = None  # lets go of the tensor before, so that two are never held
            array = self._dequantize(self._places[name])
            if self.config.family == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
                array = unpermute(array, self.config.d_head)
            array.flags.writeable = False
            self._last = (name, array)
        return self._last[1][index]

    def _dequantize(self, place: TensorPlace) -> np.ndarray:
        rows = (*place.shape[:-1], place.row_bytes)
        data = np.memmap(self.path, np.uint8, "r", place.offset, rows)
        return np.array(dequantize(data, place.kind), np.float32).reshape(place.shape)

    def _check_kinds(self, tensors: dict[str, TensorPlace]) -> None:
        first = {place.kind: name for name, place in reversed(tensors.items())}
        for kind, name in first.items():
            try:
                dequantize(np.zeros((1, tensors[name].row_bytes), np.uint8), kind)
            except NotImplementedError:
                raise ValueError(
                    f"tensor {name!r} in {self.path} has type {kind.name}, which cannot be dequantised here; "
                    "use a file of a common type, such as F16, Q8_0, Q4_1, Q4_K or Q6_K"
                ) from None


def unpermute(array: np.ndarray, d_head: int) -> np.ndarray:
    """Rows [N*H, D] from llama.cpp's order (channel pairs side by side) to Hugging Face's (halves apart)."""
    pairs = array.reshape(-1, d_head // 2, 2, array.shape[-1])
    return pairs.swapaxes(1, 2).reshape(array.shape)


def permute(array: np.ndarray, d_head: int) -> np.ndarray:
    """The inverse of `unpermute`."""
    halves = array.reshape(-1, 2, d_head // 2, array.shape[-1])
    return halves.swapaxes(1, 2).reshape(array.shape)


def gguf_config(
    metadata: dict[str, Any], tensors: dict[str, TensorPlace], rope_factors: np.ndarray | None
) -> ModelConfig:
    """The configuration that GGUF metadata states. `rope_factors`: [H/2], what each rope frequency is divided
    by."""
    family = metadata.get("general.architecture")
    if family not in FAMILIES:
        raise ValueError(f"GGUF architecture {family!r} is not supported; one of {', '.join(FAMILIES)}")

    def get(key: str, default: Any = None) -> Any:
        value = metadata.get(f"{family}.{key}", default)
        if value is None:
            raise ValueError(f"the GGUF metadata has no {family}.{key!r}")
        if not isinstance(value, list):
            return value
        if len(set(value)) != 1:
            raise ValueError(f"{family}.{key} differs from layer to layer: {value}; that is not supported")
        return value[0]

    if "token_embd.weight" not in tensors:
        raise ValueError("the GGUF file has no tensor 'token_embd.weight'")
    heads, d_model = get("attention.head_count"), get("embedding_length")
    d_head = get("attention.key_length", d_model // heads)
    _check_supported(get, d_head)
    theta = _decimal(get("rope.freq_base", 10_000.0))
    return ModelConfig(
        family=family,
        vocab_size=tensors["token_embd.weight"].shape[0],
        d_model=d_model,
        d_mlp=get("feed_forward_length"),
        n_layers=get("block_count"),
        n_heads=heads,
        n_kv_heads=get("attention.head_count_kv", heads),
        d_head=d_head,
        rope_theta=theta,
        rope_scaling=None if rope_factors is None else rope_scaling(rope_factors, theta, d_head),
        rms_eps=_decimal(get("attention.layer_norm_rms_epsilon")),
        tied="output.weight" not in tensors,
        max_positions=get("context_length", 32_768),
    )


def rope_scaling(factors: np.ndarray, theta: float, d_head: int) -> RopeScaling | None:
    """The Llama-3 scaling whose frequency divisors are `factors` [H/2]; None if they are all one.

    Over the frequency, 1/factor is flat at 1/f, then a straight line, then flat at 1 (Llama 3.1's
    `apply_scaling`). The line fixes the ratios of low_freq_factor, high_freq_factor and
    original_max_positions; low_freq_factor is 1 in every published model and taken to be. ValueError if no
    such scaling gives these factors.
    """
    turns = _turns(theta, d_head)
    if np.allclose(factors, 1.0):
        return None
    if factors.shape == turns.shape and factors.max() > 1:
        for candidate in _candidates(factors.astype(np.float64), turns):
            if np.allclose(_factors(candidate, turns), factors, rtol=1e-4):
                return candidate
    raise ValueError(f"{ROPE_FACTORS!r} is no Llama-3 rope scaling of rope base {theta}, head size {d_head}: {factors}")


def rope_factors(scaling: RopeScaling, theta: float, d_head: int) -> np.ndarray:
    """[H/2]: what the scaling divides each rope frequency by; `rope_scaling` is its inverse."""
    return _factors(scaling, _turns(theta, d_head))


def _turns(theta: float, d_head: int) -> np.ndarray:
    """Rotations per position, of each frequency."""
    return theta ** -(np.arange(0, d_head, 2) / d_head) / (2 * math.pi)


def _candidates(factors: np.ndarray, turns: np.ndarray) -> list[RopeScaling]:
    """What Meta published, with this factor, then what a line through the sloping part says."""
    factor = _decimal(factors.max())
    candidates = [RopeScaling(factor, low_freq_factor=1.0, high_freq_factor=4.0, original_max_positions=8192)]
    smooth = (1 / factors - 1 / factor) / (1 - 1 / factor)
    inside = (smooth > 1e-4) & (smooth < 1 - 1e-4)
    if inside.sum() >= 2:
        slope, offset = np.polyfit(turns[inside], smooth[inside], 1)
        if offset < 0:  # smooth = (positions * turns - low) / (high - low), with low = 1
            candidates.append(RopeScaling(factor, 1.0, round(float(1 - 1 / offset), 3), round(float(-slope / offset))))
    return candidates


def _factors(scaling: RopeScaling, turns: np.ndarray) -> np.ndarray:
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    smooth = np.clip((scaling.original_max_positions * turns - low) / (high - low), 0.0, 1.0)
    return 1 / ((1 - smooth) / scaling.factor + smooth)


def _check_supported(get: Any, d_head: int) -> None:
    if get("attention.value_length", d_head) != d_head or get("rope.dimension_count", d_head) != d_head:
        raise ValueError(f"heads whose values or rope are not of the key's size {d_head} are not supported")
    if get("rope.scaling.type", "none") != "none":
        raise ValueError(f"rope scaling {get('rope.scaling.type')!r} is not supported; 'llama3' and none are")
    if get("expert_count", 0):
        raise ValueError("a mixture of experts is not supported")
    if get("attention.sliding_window", 0):
        raise ValueError("sliding-window attention is not supported: attention here is full and causal")


def _hf_name(name: str) -> str:
    """The Hugging Face name; a tensor that is not known keeps its own, for the loader to report."""
    match = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name)
    if not match or match[2] not in _NAMES:
        return name
    layer = f"model.layers.{match[1]}." if match[1] else ""
    return f"{layer}{_NAMES[match[2]]}.{match[3]}"


def gguf_name(name: str) -> str:
    """The GGUF name of a Hugging Face tensor, the inverse of `_hf_name`."""
    stem, kind = name.rsplit(".", 1)
    match = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem)
    known = {hf: ours for ours, hf in _NAMES.items()}
    return f"blk.{match[1]}.{known[match[2]]}.{kind}" if match else f"{known[stem]}.{kind}"


def _decimal(value: float) -> float:
    """A float32 of the file as the shortest decimal that it stands for: 9.99999974e-06 is 1e-05."""
    return float(str(np.float32(value)))
