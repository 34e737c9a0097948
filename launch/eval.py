"""Measures what a config names and prints a table: python launch/eval.py --config=configs/eval_verifier.py[:smoke]
[--json] [--config.key=value ...]

--json prints one JSON object per figure instead: name, value, low and high of the 95% interval, n, wanted, note. The
same is in figures.jsonl of config.workdir, where the config has one (launch/compare.py reads it).
"""

from m2jax import distributed

distributed.start()

import dataclasses
import json
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that a config may build on another one

from absl import app, flags, logging
from ml_collections import config_flags

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, with :preset if it has any.", lock_config=True)
_JSON = flags.DEFINE_bool("json", False, "JSON lines only, on standard output.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is no flag; values are given as --config.key=value")
    logging.set_verbosity(logging.WARNING)
    from m2jax.evaluate import agentclinic, consultation, doctor, exams, healthbench_run, verifier
    from m2jax.lines import write_jsonl
    from m2jax.outside.endpoint import EndpointDown

    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    try:
        kinds = {
            "verifier": verifier.run,
            "doctor": doctor.run,
            "healthbench": healthbench_run.run,
            "exam": exams.run,
            "agentclinic": agentclinic.run,
            "consultation": consultation.run,
        }
        kind = _CONFIG.value.kind
        if kind not in kinds:
            raise ValueError(f"config.kind is {kind!r}; it must be one of {', '.join(kinds)}")
        figures = []
        for figure in kinds[kind](_CONFIG.value, tell):
            figures.append(dataclasses.asdict(figure))
            print(json.dumps(figures[-1]) if _JSON.value else row(figure), flush=True)
        if folder := _CONFIG.value.get("workdir"):
            write_jsonl(Path(folder) / "figures.jsonl", figures)
    except (ValueError, OSError, EndpointDown) as error:
        sys.exit(f"error: {error}")
    tell("done")


def row(figure) -> str:
    """A figure as a line of the table."""
    wanted = "" if figure.wanted is None else f"{'reached' if figure.reached else 'SHORT OF'} {figure.wanted:.2f}"
    interval = f"[{figure.low:.3f}, {figure.high:.3f}]"
    return f"{figure.name:<48} {figure.value:7.3f} {interval:<17} n={figure.n:<5} {wanted:<14} {figure.note}".rstrip()


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main)
