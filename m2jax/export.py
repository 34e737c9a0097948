"""A model for other software, with its card: of a run's checkpoint, or by name, in one of three forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from m2jax import checkpoint
from m2jax.report.card import card
from m2jax.text.tokenizer import load_tokenizer
from m2jax.weights import names
from m2jax.weights.adapter import export_adapter
from m2jax.weights.export import export
from m2jax.weights.gguf_target import export_gguf
from m2jax.weights.load import load

FORMS = ("merged", "peft", "gguf")


def export_run(run: Path, step: int | None, out: Path, form: str, dtype: str) -> None:
    """Writes the checkpoint of `run` at `step`, the newest by default: all weights with an adapter folded in (merged,
    gguf), or the adapter alone (peft). dtype: float32, bfloat16 or float16, of the file.

    ValueError where there is no such run or step, `out` is taken, or the form cannot hold what was trained.
    """
    cfg, trained, config, step = checkpoint.load_trained(run, step)
    model = config["model"]
    if form == "peft" and not config["lora"]["rank"]:
        raise ValueError(f"{run} trained all parameters, so it has no adapter: use --form=merged")
    said = card(out.name, form, model, names.licence(model), config, _read(run / "summary.json"), step)
    if form == "peft":
        export_adapter(cfg, trained, out, model.removeprefix("hf:"), jnp.dtype(dtype))
    else:
        _write(cfg, checkpoint.merged(trained, config), model, out, form, dtype)
    (out / "README.md").write_text(said, encoding="utf-8")


def export_model(model: str, out: Path, form: str, dtype: str) -> None:
    """Writes a model by its name. ValueError as above."""
    if form == "peft":
        raise ValueError("--form=peft writes the adapter of a run: give --run")
    cfg, params = load(names.resolve(model), stacked=False, dtype=dtype)
    said = card(out.name, form, model, names.licence(model), {}, {}, None)
    _write(cfg, params, model, out, form, dtype)
    (out / "README.md").write_text(said, encoding="utf-8")


def _write(cfg: Any, params: Any, model: str, out: Path, form: str, dtype: str) -> None:
    source = names.resolve(model)  # a checkpoint holds no tokenizer: it is that of the model the run began from
    if form == "gguf":
        export_gguf(cfg, params, out, source, dtype=dtype, licence=names.licence(model))
    else:
        tokenizer, generation = load_tokenizer(source), _read(source / "generation_config.json")
        export(cfg, params, out, dtype=dtype, tokenizer=tokenizer, eos_ids=tokenizer.eos_ids, generation=generation)


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.is_file() else {}
