"""Says whether a run fits a TPU that is not there, and predicts its seconds: compiles its programs with the real TPU
compiler.

    python launch/compile.py --config=configs/rl_stage2.py:32b --topology=v5p:4x4x4 [--json]
        [--slices=2] [--config.key=value ...] [--dump_hlo=DIR]
    python launch/compile.py --calibrate --topology=v5p:2x2x1

Needs libtpu (make setup EXTRA=tpu), on any machine. Exit status 1 where something does not fit.
"""

from m2jax import distributed

distributed.start()

import copy
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that a config may build on another one

from absl import app, flags, logging
from ml_collections import config_flags

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, with :preset if it has any.", lock_config=True)
_TOPOLOGY = flags.DEFINE_string("topology", None, "TPU generation and chips: v5p:4x4x4, v6e:16x16, v5e:2x4.")
_JSON = flags.DEFINE_bool("json", False, "One JSON object instead of a table.")
_DUMP = flags.DEFINE_string("dump_hlo", None, "Folder for the optimised HLO text of every program.")
_SLICES = flags.DEFINE_integer("slices", 1, "Slices of that topology; config.mesh is that of one slice.", lower_bound=1)
_CALIBRATE = flags.DEFINE_bool("calibrate", False, "Predict plain matmuls on one chip instead of a config's programs.")
GIB = 2**30


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is no flag; values are given as --config.key=value")
    logging.set_verbosity(logging.ERROR)
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    from m2jax.aot import cost, fit, programs, report, topology

    jax.config.update("jax_enable_compilation_cache", False)  # a program for no device cannot be read back
    if _CALIBRATE.value:
        return _calibrate()
    config = _CONFIG.value
    if config is None:
        raise app.UsageError("give --config=FILE:preset, or --calibrate")
    try:
        mesh, torus, chip = topology.make_mesh(_TOPOLOGY.value, tuple(config.mesh), _SLICES.value)
        plan = programs.plan(config, mesh)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    resident = {name: programs.bytes_per_device(tree) / GIB for name, tree in plan.resident.items()}
    rows = {}
    for name, lower in plan.programs.items():
        beside = sum(size for other, size in resident.items() if other not in plan.holds[name])
        memory, text = _compile(name, lower, programs.options(config, name))
        rows[name] = row = {"program": name, **memory, "beside": beside}
        if text:
            predicted = cost.estimate(text, chip, torus, plan.trips.get(name, 1))
            row |= report.figures(predicted, plan.work.get(name, 0) / mesh.size, chip)
        need = row["peak"] + beside
        row |= {"need": need, "margin": chip.hbm - need, "fits": need <= chip.hbm}
        if not _JSON.value:
            print("\n".join([_line(row), *(report.lines(row) if text else ())]), flush=True)
    margin = min(row["margin"] for row in rows.values())
    said = {
        "config": config.preset,
        "topology": _TOPOLOGY.value,
        "slices": _SLICES.value,
        "trust": report.TRUST,
        "hbm": chip.hbm,
        "resident": resident,
        "programs": [*rows.values()],
        "margin": margin,
        "fits": margin >= 0,
        **_micro(config, mesh, rows["update"], chip.hbm),
    }
    if plan.sizes:
        tokens = (plan.sizes.n_pages - 1) * plan.sizes.page
        said["cache_tokens"] = tokens * plan.shards
        caches = sum(size for name, size in resident.items() if name.endswith("pages"))
        said["cache_tokens_that_fit"] = max(int(tokens * (1 + margin / caches) * plan.shards), 0)
    if not said["fits"]:
        worst = min(rows, key=lambda name: rows[name]["margin"])
        said["does_not_fit"] = worst
        best = said["micro_key"], said["micro_rows_that_fit"]
        remat = "grpo.remat" if config.get("stage", "rl") == "rl" else "remat"
        said["remedy"] = fit.remedy(worst, resident, chip.hbm, best, remat)
    if _JSON.value:
        print(json.dumps(said), flush=True)
    else:
        _tell(said)
        print(report.TRUST)
    sys.exit(0 if said["fits"] else 1)


def _micro(config: Any, mesh: Any, update: dict, hbm: float) -> dict[str, Any]:
    """The micro-batch, and the largest that fits, for which the update is compiled once more, with another."""
    from m2jax.aot import fit, programs

    key, micro, rows = programs.micro(config)
    sizes = fit.sizes(rows, mesh.shape["data"] * mesh.shape["fsdp"])
    peaks = {micro: update["peak"]}
    if other := fit.neighbour(sizes, micro, fits=update["fits"]):
        tried = copy.deepcopy(config)
        tried.update_from_flattened_dict({key: other})
        lower = programs.plan(tried, mesh).programs["update"]
        peaks[other] = _compile(f"update_{other}", lower, programs.options(tried, "update"))[0]["peak"]
    best = fit.largest(sizes, peaks, hbm - update["beside"])
    return {"micro_key": key, "micro_rows": micro, "micro_rows_that_fit": best, "micro_peaks": peaks}


def _calibrate() -> None:
    from m2jax.aot import report, topology

    try:
        mesh, torus, chip = topology.make_mesh(_TOPOLOGY.value, (1, -1, 1))
    except ValueError as error:
        sys.exit(f"error: {error}")
    rows = report.calibrate(mesh, torus, chip)
    if _JSON.value:
        print(json.dumps({"topology": _TOPOLOGY.value, "matmuls": rows, "trust": report.TRUST}))
        return
    for row in rows:
        what = f"{row['times']} x {' x '.join(map(str, row['matmul']))}"
        print(f"{what:24s} predicted {row['of_peak']:.1%} of peak; FLOPs counted / true {row['counted']:.3f}")
    print(report.TRUST)


def _compile(name: str, lower: Callable[[], Any], options: dict[str, str] | None) -> tuple[dict, str]:
    """Memory of one program in GiB on a device, and of its host for each device; how long its compilation took in
    seconds, and its text. Where it does not fit there is no text, and of memory only what it would take at its peak.
    """
    began = time.perf_counter()
    try:
        compiled = lower().compile(compiler_options=options)
    except Exception as error:
        # the compiler gives up on what does not fit, and says how much it would take: the first size in its message
        said = re.search(r"([\d.]+)([MGT])\b", str(error))
        if "RESOURCE_EXHAUSTED" not in str(error) or not said:
            raise
        print(f"{name}: {' '.join(str(error).split()[:60])}", file=sys.stderr, flush=True)
        size, unit = said.groups()
        peak = float(size) * 1024.0 ** ("MGT".index(unit) - 1)
        return {"peak": peak, "compile_seconds": time.perf_counter() - began}, ""
    text = compiled.as_text()
    if _DUMP.value:
        Path(_DUMP.value).mkdir(parents=True, exist_ok=True)
        (Path(_DUMP.value) / f"{name}.hlo.txt").write_text(text)
    memory = compiled.memory_analysis()
    host = memory.host_argument_size_in_bytes + memory.host_output_size_in_bytes - memory.host_alias_size_in_bytes
    host += memory.host_temp_size_in_bytes
    return {
        "arguments": memory.argument_size_in_bytes / GIB,
        "temporaries": memory.temp_size_in_bytes / GIB,
        "output": memory.output_size_in_bytes / GIB,
        "aliased": memory.alias_size_in_bytes / GIB,
        "peak": (memory.peak_memory_in_bytes - host) / GIB,  # the compiler counts the host's memory too
        "host": host / GIB,
        "compile_seconds": time.perf_counter() - began,
    }, text


def _line(row: dict) -> str:
    keys = ("arguments", "temporaries", "output", "aliased", "peak", "beside", "host")
    parts = [f"{key} {row[key]:.2f}" for key in keys if key in row and (key != "host" or row[key])]
    verdict = f"{row['margin']:.2f} to spare" if row["fits"] else f"{-row['margin']:.2f} too much"
    return f"{row['program']:8s} {'  '.join(parts)}  {verdict}  (compiled in {row['compile_seconds']:.0f} s)"


def _tell(report: dict) -> None:
    print(f"\nGiB on each chip of {report['topology']}, which has {report['hbm']:.2f}, by the TPU compiler; never run.")
    print("always there: " + ", ".join(f"{name} {size:.2f}" for name, size in report["resident"].items()))
    if "cache_tokens" in report:
        print(
            f"cache: {report['cache_tokens']} tokens; {report['cache_tokens_that_fit']} would fit, by their bytes and "
            "the least that a program leaves"
        )
    peaks = ", ".join(f"{peak:.2f} with {m}" for m, peak in sorted(report["micro_peaks"].items()))
    print(
        f"{report['micro_key']}: {report['micro_rows']}; {report['micro_rows_that_fit']} would fit, by the line "
        f"through the update's peaks: {peaks}"
    )
    if not report["fits"]:
        print(f"does not fit: {report['does_not_fit']}; try {report['remedy']}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["topology"])
    app.run(main)
