"""Predicted figures as rows of a table and of JSON, and the estimator against plain matmuls."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from m2jax.aot import cost, topology

TRUST = (
    "Predicted from the compiled text, never run: within about 11% of two published step times on v5p, not validated "
    "on v5e and v6e. Good for ranking variants; take an MFU within 5 points as a tie."
)
MATMULS = ((8192, 8192, 8192), (4096, 4096, 4096), (1024, 8192, 8192), (4096, 5120, 25_600))


def figures(predicted: cost.Cost, model_flops: float, chip: topology.Chip) -> dict[str, Any]:
    """What JSON says of a program on one chip; model_flops: on one chip."""
    return {
        "predicted_seconds": predicted.seconds,
        "predicted_mfu": predicted.mfu(model_flops, chip),
        "model_flops": model_flops,
        "flops": predicted.flops + predicted.kernel_flops,
        "mxu_seconds": predicted.mxu,
        "vpu_seconds": predicted.vpu,
        "kernel_seconds": predicted.kernels,
        "wait_seconds": predicted.copy_wait + predicted.host_wait,
        "dcn_bytes": predicted.dcn_bytes,
        "open_loops": predicted.open_loops,
        "collectives": {
            kind: {"count": t.count, "bytes": t.bytes, "seconds": t.seconds, "exposed": t.exposed, "hidden": t.hidden}
            for kind, t in predicted.collectives.items()
        },
        "notes": predicted.notes,
    }


def lines(row: dict[str, Any]) -> list[str]:
    """The same for the terminal."""
    parts = [f"matmuls {row['mxu_seconds']:.3f}", f"kernels {row['kernel_seconds']:.3f}"]
    parts += [f"other {row['vpu_seconds']:.3f}", f"waiting for copies {row['wait_seconds']:.3f}"]
    mfu = f", MFU {row['predicted_mfu']:.1%}" if row["model_flops"] else ""
    out = [
        f"         predicted {row['predicted_seconds']:.4g} s{mfu}, {row['flops'] / 1e12:.4g} TFLOP a chip"
        f" ({', '.join(parts)})"
    ]
    for kind, t in row["collectives"].items():
        out.append(
            f"         {t['count']:.0f} {kind}, predicted: {t['bytes'] / 1e9:.3g} GB, {t['seconds']:.3g} s, "
            f"{t['hidden']:.0%} hidden, {t['exposed']:.3g} s exposed"
        )
    if row["dcn_bytes"]:
        out.append(f"         between slices {row['dcn_bytes'] / 1e9:.3g} GB, whose time is not predicted")
    return out


def calibrate(mesh: jax.sharding.Mesh, torus: topology.Torus, chip: topology.Chip) -> list[dict[str, Any]]:
    """Plain bfloat16 matmuls M x K x N, ten in a loop where the result has the shape of x, on one chip: the predicted
    FLOP/s as a share of peak, and the counted FLOPs over the true ones.
    """
    one = jax.sharding.SingleDeviceSharding(mesh.devices.flat[0])
    alone = topology.Torus(torus.sizes, torus.wraps, torus.coordinates[:1], torus.slices[:1])
    rows = []
    for m, k, n in MATMULS:
        times = 10 if k == n else 1
        x, w = (jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=one) for shape in ((m, k), (k, n)))
        run = _repeated if k == n else jnp.matmul
        predicted = cost.estimate(jax.jit(run).lower(x, w).compile().as_text(), chip, alone)
        true = times * 2 * m * k * n
        share = true / predicted.seconds / chip.peak
        rows.append({"matmul": [m, k, n], "times": times, "counted": predicted.flops / true, "of_peak": share})
    return rows


def _repeated(x: jax.Array, w: jax.Array) -> jax.Array:
    return jax.lax.fori_loop(0, 10, lambda i, x: x @ w, x)
