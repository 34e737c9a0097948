"""Writes a model as a Hugging Face folder: from a run's checkpoint, or by name.

    python launch/export.py --run=runs/demo [--step=200] --out=exported [--dtype=bfloat16]
    python launch/export.py --model=smollm2-135m-instruct --out=exported

A checkpoint holds no tokenizer; that of the model the run began from is written beside the weights.
"""

from __future__ import annotations

from pathlib import Path

from absl import app, flags

from m2jax.text.tokenizer import load_tokenizer
from m2jax.weights import names
from m2jax.weights.export import export
from m2jax.weights.load import load

_RUN = flags.DEFINE_string("run", None, "Folder of a training run.")
_STEP = flags.DEFINE_integer("step", None, "Step of the checkpoint; the last one by default.")
_MODEL = flags.DEFINE_string("model", None, "Model name: see python -m m2jax.weights.")
_OUT = flags.DEFINE_string("out", None, "Folder to write; must be new or empty.", required=True)
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16", "float16"], "Type of the file's tensors.")


def main(argv: list[str]) -> None:
    if len(argv) > 1 or (_RUN.value is None) == (_MODEL.value is None):
        raise app.UsageError("give exactly one of --run and --model, and --out")
    if _RUN.value is not None:
        from m2jax import checkpoint

        cfg, params, model_name = checkpoint.load_params(Path(_RUN.value), _STEP.value)
    else:
        model_name = _MODEL.value
        cfg, params = load(names.resolve(model_name), stacked=False, dtype=_DTYPE.value)
    tokenizer = load_tokenizer(names.resolve(model_name))
    out = Path(_OUT.value)
    export(cfg, params, out, dtype=_DTYPE.value, tokenizer=tokenizer, eos_ids=tokenizer.eos_ids)
    print(f"{out}: {names.size(out):,} bytes of weights")


if __name__ == "__main__":
    app.run(main)
