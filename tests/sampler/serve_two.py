"""One of two processes that serve the same dialogues together: python serve_two.py PROCESS PORT WEIGHTS.

Prints MADE once it has an engine, and at last the answers.
"""

from __future__ import annotations

import importlib
import json
import pickle
import sys
from pathlib import Path

MADE = "the engine is made"


def main(process: int, port: str, weights: str) -> None:
    importlib.import_module("tests.conftest")  # sets JAX's environment, so it comes before JAX
    import jax

    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=process)
    assert (jax.process_count(), len(jax.devices()), len(jax.local_devices())) == (2, 8, 4)
    tests = importlib.import_module("tests.sampler.test_engine")  # after the processes have met
    engine = tests.make_engine((4, 2, 1), trees=pickle.loads(Path(weights).read_bytes()))
    print(MADE, flush=True)
    print(json.dumps(tests.tokens_of(tests.run(engine, tests.a_mixture()))))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
