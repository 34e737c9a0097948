"""`python -m m2jax.weights NAME`: fetches a model if need be and prints where it is and its size."""

from __future__ import annotations

import sys

from m2jax.weights import names


def main(arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise SystemExit("usage: python -m m2jax.weights NAME\n" + (names.__doc__ or "").strip())
    try:
        path = names.resolve(arguments[0])
    except (ValueError, ConnectionError) as error:
        raise SystemExit(f"m2jax.weights: {error}") from None
    print(f"{path}\n{names.size(path):,} bytes of weights")


if __name__ == "__main__":
    main(sys.argv[1:])
