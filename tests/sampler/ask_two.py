"""One of two processes with a role outside: python ask_two.py PORT URL FOLDER PROCESS.

Prints what its dialogues heard.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import tests.conftest  # noqa: F401 (sets JAX's environment, so it comes before all that imports JAX)
from m2jax import sharding
from m2jax.outside.answers import Answers
from m2jax.outside.endpoint import Endpoint, EndpointDown
from m2jax.sampler.engine import Engine
from m2jax.sampler.requests import Chat
from tests.sampler.test_engine import CFG, SIZES

N = 5


def dialogue(i: int):
    """Asks twice; the second question comes of the first answer."""
    heard = yield Chat("nurse", [{"role": "user", "content": f"a{i}"}])
    assert heard.text.startswith(f"a{i} ")
    return [heard.text, (yield Chat("nurse", [{"role": "user", "content": f"b{i}"}])).text]


def main(port: str, url: str, folder: str, process: int) -> None:
    import jax

    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=process)
    mesh = sharding.make_mesh((2, 1, 1))
    answers = Answers(Path(folder) / "answers0.sqlite") if process == 0 else None
    with jax.set_mesh(mesh):
        engine = Engine(CFG, mesh, SIZES, {"nurse": Endpoint(url, "m", concurrency=3)}, answers=answers)
        try:
            heard = engine.run([dialogue(i) for i in range(N)])
        except EndpointDown as error:
            heard = {"down": str(error)}
    print(json.dumps(heard))


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
