"""Says whether a run fits a TPU that is not there: compiles its programs with the real TPU compiler.

    python launch/compile.py --config=configs/rl_stage2.py:32b --topology=v5p:4x4x4 [--json]
        [--config.key=value ...] [--dump_hlo=DIR]

Needs libtpu (make setup EXTRA=tpu), on any machine. Exit status 1 where something does not fit.
"""

from m2jax import distributed

distributed.start()

import json
import math
import os
import sys
import time
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, with :preset if it has any.", lock_config=True)
_TOPOLOGY = flags.DEFINE_string("topology", None, "TPU generation and chips: v5p:4x4x4, v6e:16x16, v5e:2x4.")
_JSON = flags.DEFINE_bool("json", False, "One JSON object instead of a table.")
_DUMP = flags.DEFINE_string("dump_hlo", None, "Folder for the optimised HLO text of every program.")
GIB = 2**30


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is no flag; values are given as --config.key=value")
    logging.set_verbosity(logging.ERROR)
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    from m2jax.aot import programs, topology

    jax.config.update("jax_enable_compilation_cache", False)  # a program for no device cannot be read back
    config = _CONFIG.value
    try:
        mesh, torus, chip = topology.make_mesh(_TOPOLOGY.value, tuple(config.mesh))
        plan = programs.plan(config, mesh)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    resident = {name: programs.bytes_per_device(tree) / GIB for name, tree in plan.resident.items()}
    rows = []
    for name, lower in plan.programs.items():
        beside = sum(size for other, size in resident.items() if other not in plan.holds[name])
        rows.append({"program": name, **_compile(name, lower), "beside": beside})
        need = rows[-1]["peak"] + beside
        rows[-1] |= {"need": need, "margin": chip.hbm - need, "fits": need <= chip.hbm}
        if not _JSON.value:
            print(_line(rows[-1]), flush=True)
    margin = min(row["margin"] for row in rows)
    tokens = (plan.sizes.n_pages - 1) * plan.sizes.page
    room = tokens * (1 + margin / resident["pages"]) * plan.shards
    report = {
        "config": config.preset,
        "topology": _TOPOLOGY.value,
        "hbm": chip.hbm,
        "resident": resident,
        "programs": rows,
        "margin": margin,
        "cache_tokens": tokens * plan.shards,
        "cache_tokens_that_fit": max(int(room), 0) if margin > -math.inf else 0,
        "fits": margin >= 0,
    }
    if _JSON.value:
        print(json.dumps(report), flush=True)
    else:
        _tell(report)
    sys.exit(0 if report["fits"] else 1)


def _compile(name: str, lower: object) -> dict:
    """Memory of one program in GiB on a device, and how long its compilation took, in seconds."""
    began = time.perf_counter()
    try:
        compiled = lower().compile()
    except Exception as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        # the compiler gives up on what does not fit, and says by how much
        print(f"{name}: {' '.join(str(error).split()[:60])}", file=sys.stderr, flush=True)
        none = dict.fromkeys(("arguments", "temporaries", "output", "aliased"), float("nan"))
        return {**none, "peak": float("inf"), "seconds": time.perf_counter() - began}
    if _DUMP.value:
        Path(_DUMP.value).mkdir(parents=True, exist_ok=True)
        (Path(_DUMP.value) / f"{name}.hlo.txt").write_text(compiled.as_text())
    memory = compiled.memory_analysis()
    return {
        "arguments": memory.argument_size_in_bytes / GIB,
        "temporaries": memory.temp_size_in_bytes / GIB,
        "output": memory.output_size_in_bytes / GIB,
        "aliased": memory.alias_size_in_bytes / GIB,
        "peak": memory.peak_memory_in_bytes / GIB,
        "seconds": time.perf_counter() - began,
    }


def _line(row: dict) -> str:
    parts = [f"{key} {row[key]:.2f}" for key in ("arguments", "temporaries", "output", "aliased", "peak", "beside")]
    verdict = f"{row['margin']:.2f} to spare" if row["fits"] else f"{-row['margin']:.2f} too much"
    return f"{row['program']:8s} {'  '.join(parts)}  {verdict}  (compiled in {row['seconds']:.0f} s)"


def _tell(report: dict) -> None:
    print(f"\nGiB on each chip of {report['topology']}, which has {report['hbm']:.2f}, by the TPU compiler; never run.")
    print("always there: " + ", ".join(f"{name} {size:.2f}" for name, size in report["resident"].items()))
    print(f"cache: {report['cache_tokens']} tokens; {report['cache_tokens_that_fit']} would fit")
    if not report["fits"]:
        worst = min(report["programs"], key=lambda row: row["margin"])["program"]
        keys = {
            "update": "grpo.micro_groups, grpo.remat, data.max_prompt_tokens or sampling.max_tokens, or use more chips",
        }
        less = keys.get(worst, "sampling.cache_tokens or sampling.slots, or a larger model size in sampling.mesh")
        print(f"does not fit: {worst}; lower config.{less}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "topology"])
    app.run(main)
