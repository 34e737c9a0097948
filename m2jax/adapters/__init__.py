"""Adapters that ship with the package, for roles played by SmolLM2-135M: `grader` (the judge), `affective`, `factual`,
`gate` (the patient's units). Beside each, NAME.json is its card: command, seed, data and figures. `make adapters`
retrains them.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from m2jax.models.config import ModelConfig
from m2jax.weights.adapter import read_adapter

NAMES = ("grader", "affective", "factual", "gate")


def shipped() -> tuple[str, ...]:
    """Those of `NAMES` whose files are here, the card too, which is written last."""
    return tuple(name for name in NAMES if path(name).is_file() and path(name).with_suffix(".json").is_file())


def path(name: str) -> Path:
    """The safetensors file of an adapter; ValueError for an unknown name."""
    if name not in NAMES:
        raise ValueError(f"there is no adapter {name!r}; it is one of {', '.join(NAMES)}")
    return Path(str(resources.files("m2jax.adapters").joinpath(f"{name}.safetensors")))


def card(name: str) -> dict[str, Any]:
    """What is known of an adapter: {"name", "model", "command", "config", "figures", ...}."""
    return json.loads(path(name).with_suffix(".json").read_text("utf-8"))


def of_model(model: str) -> dict[str, dict[str, Any]]:
    """The cards of the adapters that ship for a model, by their names."""
    return {name: of_it for name in shipped() if (of_it := card(name))["model"] == model}


def load_adapter(name: str, cfg: ModelConfig, *, stacked: bool) -> Any:
    """The adapter in the form of the model's layers, for `Engine.update` or `lora.attach`. ValueError where it is of
    another model.
    """
    return read_adapter(cfg, path(name), stacked=stacked)
