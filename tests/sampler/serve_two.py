"""One of two processes that serve the same dialogues together: python serve_two.py PROCESS PORT WEIGHTS.

Prints MADE once it has an engine, and at last the answers.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import sys
from pathlib import Path

import tests.conftest  # noqa: F401 (sets JAX's environment, so it comes before all that imports JAX)
from tests.sampler.test_engine import SIZES, a_mixture, make_engine, run, tokens_of

MADE = "the engine is made"


def answers(trees: dict) -> list:
    """What eight devices answer, in one process or two; one row for each, so that there is little to compile."""
    engine = make_engine((4, 2, 1), sizes=dataclasses.replace(SIZES, slots=1), trees=trees)
    print(MADE, flush=True)
    return tokens_of(run(engine, a_mixture()))


def main(process: int, port: str, weights: str) -> None:
    import jax

    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=process)
    assert (jax.process_count(), len(jax.devices()), len(jax.local_devices())) == (2, 8, 4)
    print(json.dumps(answers(pickle.loads(Path(weights).read_bytes()))))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
