"""What a run trains, from the model's files into its layout: all parameters, or an adapter over frozen ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from m2jax import sharding
from m2jax.models import lora
from m2jax.models.config import ModelConfig
from m2jax.models.params import Params
from m2jax.weights.load import load_over


def check_layers(config: ConfigDict) -> None:
    """ValueError where config.layers is neither of its forms."""
    if config.layers not in ("unrolled", "scanned"):
        raise ValueError(f"config.layers is {config.layers!r}; it must be 'unrolled' or 'scanned'")


def check_context(cfg: ModelConfig, mesh: jax.sharding.Mesh, tokens: int, key: str) -> None:
    """ValueError where rows made of parts of `tokens` (the value of `key`) cannot be split over the mesh's context. The
    other parts of a row, prompts and trained tokens, are padded to multiples of 16.
    """
    context, model, K = mesh.shape["context"], mesh.shape["model"], cfg.n_kv_heads
    if tokens % context or 16 % context:
        raise ValueError(f"the context {context} of config.mesh must divide {key} {tokens}, and 16")
    if K % (model * context):
        raise ValueError(
            f"the model's {K} key-value heads do not divide over model x context = {model} x {context} of config.mesh; "
            "lower one of the two"
        )


def read_weights(config: ConfigDict, path: Path, mesh: jax.sharding.Mesh) -> Params:
    """The float32 parameters at `path`, in the form of config.layers, laid out over the mesh."""
    return load_over(path, mesh, stacked=config.layers == "scanned", dtype=jnp.float32)


def new_adapter(config: ConfigDict, cfg: ModelConfig, mesh: jax.sharding.Mesh) -> Any:
    """A fresh adapter of config.lora, from config.seed, laid out over the mesh."""
    stacked = config.layers == "scanned"
    adapter = lora.init(cfg, jax.random.key(config.seed), config.lora.rank, config.lora.alpha, stacked=stacked)
    return place_adapter(adapter, config, cfg, mesh)


def place_adapter(adapter: Any, config: ConfigDict, cfg: ModelConfig, mesh: jax.sharding.Mesh) -> Any:
    """An adapter in the form of config.layers, laid out over the mesh."""
    axes = lora.logical_axes(cfg, stacked=config.layers == "scanned")
    layout = sharding.shardings(mesh, axes, jax.eval_shape(lambda: adapter), sharding.Rules())
    return jax.tree.map(sharding.place, adapter, layout)
