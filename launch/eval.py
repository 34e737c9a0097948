"""Runs an evaluation and prints its figures: python launch/eval.py --config=configs/eval_verifier.py[:preset]
[--json] [--out=FILE] [--config.key=value ...]

config.suite names a module of m2jax.evaluate: its PARTS, of which config.parts are run, and serve_roles. A part whose
data is not given is left out, with a line that says how to give it. Progress goes to the standard error.
"""

from m2jax import distributed

distributed.start()

import dataclasses
import importlib
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that a config may build on another one

from absl import app, flags
from ml_collections import config_flags

from m2jax.evaluate.figures import Figure

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, with :preset if it has any.", lock_config=True)
_JSON = flags.DEFINE_bool("json", False, "Print one JSON line per figure in place of the table.")
_OUT = flags.DEFINE_string("out", "", "File for the JSON lines, besides what is printed.")
HEAD = ("figure", "value", "95% interval", "n", "wanted", "reached")


def main(argv: list[str]) -> None:
    config, began = _CONFIG.value, time.monotonic()
    suite = importlib.import_module(f"m2jax.evaluate.{config.suite}")
    if unknown := [name for name in config.parts if name not in suite.PARTS]:
        raise app.UsageError(f"config.parts has {unknown[0]!r}; it takes {', '.join(suite.PARTS)}")
    parts = {name: suite.PARTS[name] for name in config.parts}
    for name, part in parts.items():
        if part.data and not config.data[part.data]:
            tell(f"{name}: left out; give --config.data.{part.data}=PATH ({part.what})")
    served = suite.serve_roles(config, tell)
    figures = []
    for name, part in parts.items():
        if not part.data or config.data[part.data]:
            tell(f"{name} ...")
            started, found = time.monotonic(), part.figures(served, config)
            tell(f"{name}: {len(found)} figures in {time.monotonic() - started:.0f} s")
            figures += found
    lines = [json.dumps(row(figure)) for figure in figures]
    if _OUT.value:
        Path(_OUT.value).write_text("".join(f"{line}\n" for line in lines))
    print("\n".join(lines if _JSON.value else table(figures)))
    tell(f"{len(figures)} figures in {time.monotonic() - began:.0f} s")


def row(figure: Figure) -> dict[str, Any]:
    """A figure as JSON: numbers that are not finite are null."""
    fields = dataclasses.asdict(figure) | {"reached": figure.reached}
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in fields.items()}


def table(figures: Sequence[Figure]) -> list[str]:
    """The lines of a table, its columns aligned; a figure's note stands behind it."""
    rows = [HEAD, *(cells(figure) for figure in figures)]
    widths = [max(len(cells_[i]) for cells_ in rows) for i in range(len(HEAD))]
    notes = ["", *(figure.note for figure in figures)]
    return ["  ".join([*(c.ljust(w) for c, w in zip(cells_, widths, strict=True)), note]).rstrip()
            for cells_, note in zip(rows, notes, strict=True)]  # fmt: skip


def cells(figure: Figure) -> tuple[str, ...]:
    wanted = "" if figure.wanted is None else f"{figure.wanted:.3f}"
    reached = {None: "", True: "yes", False: "no"}[figure.reached]
    interval = f"{figure.low:.3f} to {figure.high:.3f}"
    return figure.name, f"{figure.value:.3f}", interval, str(figure.n), wanted, reached


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main)
