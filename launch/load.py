"""Tries a server on this machine: honest clients whose answers are checked, hostile ones beside them.

    python launch/load.py --url=http://127.0.0.1:8000 --clients=64 --seconds=300 --hostile=8

Exits with 1 where an honest answer was not what the same request got alone, or a slot or a page stays taken.
"""

import asyncio
import json
import os
import sys

import httpx2
from absl import app, flags, logging

from m2jax.serve import load

_URL = flags.DEFINE_string("url", "http://127.0.0.1:8000", "The server, of this machine alone.")
_TOKEN_ENV = flags.DEFINE_string("token_env", "M2JAX_TOKEN", "Environment variable with the bearer token.")
_CLIENTS = flags.DEFINE_integer("clients", 64, "Honest clients at once.", 1, 256)
_HOSTILE = flags.DEFINE_integer("hostile", 0, "Hostile clients at once.", 0, 64)
_SECONDS = flags.DEFINE_float("seconds", 60, "How long.", 1, load.SECONDS)
_TOKENS = flags.DEFINE_integer("max_tokens", 32, "Tokens of an answer.", 1)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is no flag")
    logging.set_verbosity(logging.WARNING)  # no line a request
    try:
        load.check_url(_URL.value)
        code = asyncio.run(tried())
    except (ValueError, OSError, RuntimeError, httpx2.HTTPError) as error:  # no server, or none any more
        sys.exit(f"error: {_URL.value}: {error}")
    sys.exit(code)


async def tried() -> int:
    """1 where something was wrong."""
    token = os.environ.get(_TOKEN_ENV.value, "").strip()
    bodies = [
        {
            "model": "doctor",
            "prompt": f"Patient {i} has had a fever for {i + 2} days.",
            "seed": i,
            "max_tokens": _TOKENS.value,
        }
        for i in range(8)
    ]
    seen = await load.load(_URL.value, bodies, _CLIENTS.value, _SECONDS.value, _HOSTILE.value, token)
    async with load.client(_URL.value, 1, token) as http:
        idle = await load.idle(http)
    figures = {
        "answers": seen.answers, "wrong": seen.wrong, "answered 429": seen.busy, "idle afterwards": idle,
        "tokens/s": round(seen.tokens / _SECONDS.value, 1), "first token, median s": round(load.middle(seen.first), 3),
        "first token, 95% s": round(load.middle(seen.first, 0.95), 3), "hostile": dict(sorted(seen.statuses.items())),
    }  # fmt: skip
    print(json.dumps(figures, indent=1))
    return int(seen.wrong > 0 or not idle or not seen.answers)


if __name__ == "__main__":
    app.run(main)
