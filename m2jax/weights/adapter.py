"""Adapters as safetensors, under the names of Hugging Face's PEFT: lora_A [r, inputs] and lora_B [outputs, r] of each
matrix, whose product is added as it stands (PEFT's lora_alpha = r; ours has its scale in `a`, see `models.lora`).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from m2jax.models import lora
from m2jax.models.config import ModelConfig
from m2jax.models.params import table
from m2jax.weights.export import new_folder


def write_adapter(cfg: ModelConfig, adapter: Any, file: Path, dtype: Any = np.float16) -> None:
    """Writes an adapter, unrolled or stacked. ValueError names an array that is not finite as `dtype`."""
    tensors: dict[str, np.ndarray] = {}
    for layer in range(cfg.n_layers):
        for name, (hf_a, hf_b) in _names(cfg, layer).items():
            pair = adapter[layer][f"{name}_lora"] if isinstance(adapter, tuple) else adapter[f"{name}_lora"]
            a, b = (np.asarray(jax.device_get(pair[side])) for side in "ab")
            a, b = (a, b) if isinstance(adapter, tuple) else (a[layer], b[layer])
            rank = a.shape[-1]
            tensors[hf_a] = np.ascontiguousarray(a.reshape(-1, rank).T.astype(dtype))
            tensors[hf_b] = np.ascontiguousarray(b.reshape(rank, -1).T.astype(dtype))
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"tensor {name!r} holds values that are not finite as {np.dtype(dtype)}; not written")
    save_file(tensors, file, {"format": "pt"})


def export_adapter(cfg: ModelConfig, adapter: Any, folder: Path, base: str, dtype: Any = np.float32) -> None:
    """Writes the folder that PEFT opens over the model `base` (its name on the hub, or a folder): adapter_config.json
    and adapter_model.safetensors. The folder must be new or empty.
    """
    names = {hf.split(".")[-3] for pair in _names(cfg, 0).values() for hf in pair}
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank(adapter),
        "lora_alpha": lora.rank(adapter),  # the scale is in the arrays
        "lora_dropout": 0.0,
        "target_modules": sorted(names),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    with new_folder(folder) as partial:
        write_adapter(cfg, adapter, partial / "adapter_model.safetensors", dtype)
        (partial / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def read_adapter(cfg: ModelConfig, file: Path, *, stacked: bool) -> Any:
    """The float32 adapter of a file. ValueError names what is missing, unexpected or of another model's shape."""
    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file} is no safetensors file: {error}") from error
    layers = tuple(_layer(cfg, layer, tensors, file) for layer in range(cfg.n_layers))
    if tensors:
        raise ValueError(f"{file} has the tensor {sorted(tensors)[0]!r}, which this model has no place for")
    return jax.tree.map(lambda *x: jnp.stack(x), *layers) if stacked else layers


def _layer(cfg: ModelConfig, layer: int, tensors: dict[str, np.ndarray], file: Path) -> dict[str, Any]:
    """One layer's adapter, whose tensors are taken out of `tensors`."""
    made = {}
    for name, found in _names(cfg, layer).items():
        if missing := [hf for hf in found if hf not in tensors]:
            raise ValueError(f"{file} lacks the tensor {missing[0]!r}")
        a, b = (tensors.pop(hf).astype(np.float32) for hf in found)
        inputs, outputs = lora.sides(cfg, name)
        if a.shape != (a.shape[0], math.prod(inputs)) or b.shape != (math.prod(outputs), a.shape[0]):
            raise ValueError(
                f"{file}: {found[0]!r} and its partner have shapes {a.shape} and {b.shape}; this model wants "
                f"[r, {math.prod(inputs)}] and [{math.prod(outputs)}, r]: is it of another model?"
            )
        rank = a.shape[0]
        made[f"{name}_lora"] = {
            "a": jnp.asarray(a.T.reshape(*inputs, rank)),
            "b": jnp.asarray(b.T.reshape(rank, *outputs)),
        }
    return made


def _names(cfg: ModelConfig, layer: int) -> dict[str, tuple[str, str]]:
    """Of each adapted matrix, the names of its A and B."""
    rows = {row.name.removeprefix("layers/"): row for row in table(cfg) if row.in_layer}
    found = {}
    for name in lora.TARGETS:
        stem = "base_model.model." + rows[name].hf.format(layer).removesuffix(".weight")
        found[name] = (f"{stem}.lora_A.weight", f"{stem}.lora_B.weight")
    return found
