"""Fits the Termination Gate to its labelled messages (m2jax/data/stops.py), and says how often it is right on those it
was not fitted to:

    python launch/gate.py [--out=m2jax/patient/gate.npy]

Two minutes on one core. To teach it more, add lines to m2jax/data/gate_messages.jsonl.
"""

import numpy as np
from absl import app, flags

from m2jax.data import stops

_OUT = flags.DEFINE_string("out", "m2jax/patient/gate.npy", "File to write.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is no flag; see --help")
    rows, beside = stops.labelled(), stops.made()
    right_N, stop_N = stops.crossed(rows, beside), np.asarray([row.stop for row in rows])
    stopped, went_on = right_N[stop_N].mean(), right_N[~stop_N].mean()
    print(f"in {stops.FOLDS} parts, {len(rows)} messages: stops at {stopped:.3f}, goes on at {went_on:.3f}")
    with open(_OUT.value, "wb") as file:
        np.save(file, stops.fit([*rows, *beside]))
    print(f"{_OUT.value}: fitted to {len(rows)} messages written one by one and {len(beside)} made")


if __name__ == "__main__":
    app.run(main)
