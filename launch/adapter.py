"""Measures the adapter of a run on what is held out, beside the start model, and writes it with its card:

    python launch/adapter.py --run=runs/adapters/grader --name=grader [--out=m2jax/adapters] [--n=100]

OUT/NAME.safetensors is the adapter in float16, OUT/NAME.json its card.
"""

from m2jax import distributed

distributed.start()

import json
import time
from pathlib import Path

import jax
from absl import app, flags, logging

from m2jax import adapters
from m2jax.checkpoint import load_trained
from m2jax.evaluate import roles
from m2jax.evaluate.serving import serve
from m2jax.weights.adapter import read_adapter, write_adapter

_RUN = flags.DEFINE_string("run", None, "Folder of the training run.", required=True)
_NAME = flags.DEFINE_enum("name", None, adapters.NAMES, "Which role it is for.", required=True)
_OUT = flags.DEFINE_string("out", "m2jax/adapters", "Folder to write to.")
_N = flags.DEFINE_integer("n", 100, "Records to measure on.", lower_bound=1)
MAX_TOKENS, LONGEST = 96, 1024


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    run, name, out = Path(_RUN.value), _NAME.value, Path(_OUT.value)
    cfg, adapter, config, _ = load_trained(run)
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{name}.safetensors"
    write_adapter(cfg, adapter, file)
    served = read_adapter(cfg, file, stacked=False)  # what is shipped is what is measured
    engine, tokenizer = serve(config["model"], {name: served}, 0.0, MAX_TOKENS, LONGEST, slots=16)
    began = time.time()
    figures = {
        "start": roles.measure(name, engine, tokenizer, "start", _N.value, fitted=False),
        "adapter": roles.measure(name, engine, tokenizer, name, _N.value),
    }
    fitted = figures["adapter"].pop("calibration", None)
    summary = json.loads((run / "summary.json").read_text())
    card = {
        "name": name,
        "model": config["model"],
        "bytes": file.stat().st_size,
        "command": config["command"],
        "seed": config["seed"],
        "steps": summary["steps"],
        "training_seconds": round(summary["seconds"]),
        "data": f"what is to learn from, by m2jax/data/made.py: {config['data']['made']}",
        "heldout_loss": {side: summary[side]["loss"] for side in ("before", "after")},
        "measured_on": f"{_N.value} records or messages held out, greedy",
        "figures": figures,
        **({"calibration": fitted} if fitted else {}),
        "config": {key: config[key] for key in ("lora", "optimizer", "data", "epochs", "dtype")},
        "jax": jax.__version__,
    }
    file.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    print(f"{file}: {card['bytes']:,} bytes; measured in {time.time() - began:.0f} s")


if __name__ == "__main__":
    app.run(main)
