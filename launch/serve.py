"""Serves a model, and the roles of a doctor, a patient and a judge, to any OpenAI-compatible client:

    python launch/serve.py --model=smollm2-135m-instruct [--run=runs/x] [--host=127.0.0.1] [--port=8000]

docs/serving.md has every option with an example. SIGTERM or Ctrl-C lets what is being answered end first.
"""

from m2jax import distributed

distributed.start()

import os
import sys
import time
from pathlib import Path

from absl import app, flags, logging

_MODEL = flags.DEFINE_string("model", "smollm2-135m-instruct", "Model: see python -m m2jax.weights.")
_RUN = flags.DEFINE_string("run", None, "Folder of a training run, whose newest checkpoint plays the role it is for.")
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; one that others reach needs a token.")
_PORT = flags.DEFINE_integer("port", 8000, "Port to listen on.", 1, 65535)
_TOKEN_ENV = flags.DEFINE_string("token_env", "M2JAX_TOKEN", "Environment variable with the bearer token.")
_MESH = flags.DEFINE_list("mesh", ["1", "1", "1"], "Devices over data, fsdp and model.")
_SLOTS = flags.DEFINE_integer("slots", 16, "Choices that are made at once, on each shard of data.", 1)
_LONGEST = flags.DEFINE_integer("longest", 2048, "Tokens of a prompt with its reply.", 64)
_QUEUE = flags.DEFINE_integer("queue", 64, "Choices that may wait for a slot; what goes beyond is answered 429.", 0)
_MAX_BODY = flags.DEFINE_integer("max_body", 1 << 20, "Bytes of a request.", 1024)
_SECONDS = flags.DEFINE_float("seconds", 600, "Seconds that an answer may take.", 1)
_DRAIN = flags.DEFINE_float("drain", 30, "Seconds for what is being answered when the server is told to stop.", 0)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is no flag")
    logging.set_verbosity(logging.WARNING)
    try:
        well = serve()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    if not well:
        sys.exit("error: the engine has failed; see above")


def serve() -> bool:
    from m2jax.serve import models
    from m2jax.serve.guard import Limits, bind, check_bind, spelt
    from m2jax.serve.process import Process

    token = os.environ.get(_TOKEN_ENV.value, "").strip() or None
    check_bind(_HOST.value, token)
    sockets = bind(_HOST.value, _PORT.value)  # now, since what follows takes minutes
    if not all(size.isdigit() for size in _MESH.value):
        raise ValueError(f"--mesh={','.join(_MESH.value)} is no shape; give three sizes, such as 1,1,4")
    run = Path(_RUN.value) if _RUN.value else None
    print(f"loading {run or _MODEL.value}", flush=True)
    mesh = tuple(int(size) for size in _MESH.value)
    served = models.serve(_MODEL.value, run, mesh, slots=_SLOTS.value, longest=_LONGEST.value)
    began = time.perf_counter()
    print("compiling (kept for the next start)", flush=True)
    served.engine.warm_up(tell=lambda i, n: print(f"\r  {i} of {n} programs", end="", flush=True))
    print(f"\ncompiled in {time.perf_counter() - began:.0f} s", flush=True)
    for name, what in served.models.items():
        print(f"  {name:<24} {what}")
    print(
        f"http://{spelt(_HOST.value)}:{_PORT.value}/v1{'' if token else '  (no token: this machine alone)'}", flush=True
    )
    limits = Limits(_QUEUE.value, body=_MAX_BODY.value, seconds=_SECONDS.value, drain=_DRAIN.value)
    process = Process(served, _HOST.value, _PORT.value, limits, token)
    process.run(sockets)
    return process.server.worker.error is None


if __name__ == "__main__":
    app.run(main)
