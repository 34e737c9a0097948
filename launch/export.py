"""Writes a model for other software, with a model card: from a run's checkpoint, or by name.

    python launch/export.py --run=runs/demo [--step=200] --out=exported [--form=merged] [--dtype=bfloat16]
    python launch/export.py --model=smollm2-135m-instruct --out=exported

--form: `merged`, a folder that Hugging Face transformers opens (adapters are folded in); `peft`, the adapter alone, as
PEFT opens it; `gguf`, a file for llama.cpp. --push=ORG/NAME also uploads the folder to the Hugging Face hub.
"""

from __future__ import annotations

import sys
from pathlib import Path

import huggingface_hub
from absl import app, flags, logging

from m2jax.export import FORMS, export_model, export_run
from m2jax.weights import names

_RUN = flags.DEFINE_string("run", None, "Folder of a training run.")
_STEP = flags.DEFINE_integer("step", None, "Step of the checkpoint; the last one by default.")
_MODEL = flags.DEFINE_string("model", None, "Model name: see python -m m2jax.weights.")
_OUT = flags.DEFINE_string("out", None, "Folder to write; must be new or empty.", required=True)
_FORM = flags.DEFINE_enum("form", "merged", FORMS, "What to write.")
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16", "float16"], "Type of the file's tensors.")
_PUSH = flags.DEFINE_string("push", None, "Repository of the Hugging Face hub, ORG/NAME, to upload to as well.")


def main(argv: list[str]) -> None:
    if len(argv) > 1 or (_RUN.value is None) == (_MODEL.value is None):
        raise app.UsageError("give exactly one of --run and --model, and --out")
    if _STEP.value is not None and _RUN.value is None:
        raise app.UsageError("--step is of a run: give --run")
    logging.set_verbosity(logging.WARNING)
    out = Path(_OUT.value)
    try:
        if _PUSH.value and huggingface_hub.get_token() is None:
            raise ValueError("--push needs a token of the Hugging Face hub: set HF_TOKEN, or run `hf auth login`")
        if _RUN.value is not None:
            export_run(Path(_RUN.value), _STEP.value, out, _FORM.value, _DTYPE.value)
        else:
            export_model(_MODEL.value, out, _FORM.value, _DTYPE.value)
        print(f"{out}: {names.size(out):,} bytes of weights")
        if _PUSH.value:
            huggingface_hub.create_repo(_PUSH.value, exist_ok=True)
            print(huggingface_hub.upload_folder(repo_id=_PUSH.value, folder_path=out))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app.run(main)
