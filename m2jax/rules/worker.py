"""A worker of `workers`: reads requests as lines of JSON, answers each with one. Run as a file; imports none of m2jax.

    {"job": "same_value", "expected": "\\frac{1}{2}", "given": "0.5", "seconds": 3}     true
    {"job": "full_match", "pattern": "a+", "text": "aab", "seconds": 3}                 false

A request that takes longer (in CPU time) ends the process: the timer's signal is left to its default, to die.
"""

from __future__ import annotations

import json
import logging
import os
import re
import resource
import signal
import sys


def same_value(expected: str, given: str) -> bool:
    """Whether two formulas in LaTeX stand for the same, by math-verify: numbers to six decimals, expressions by
    simplification, sets without order. Not by its reader of plain text, which would evaluate it as Python.
    """
    from math_verify import LatexExtractionConfig, parse, verify

    config = [LatexExtractionConfig()]
    sides = [
        parse(f"${side}$", config, fallback_mode="no_fallback", parsing_timeout=None) for side in (expected, given)
    ]
    return all(sides) and verify(*sides, timeout_seconds=None)


def full_match(pattern: str, text: str) -> bool:
    """Whether the whole text matches; `.` also matches the end of a line."""
    return re.fullmatch(pattern, text, re.DOTALL) is not None


def main() -> None:
    """Serves until the input ends. argv: bytes of address space."""
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    logging.disable(logging.CRITICAL)
    print("ready", file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        job = {"same_value": same_value, "full_match": full_match}[request.pop("job")]
        if job is same_value:
            import math_verify  # noqa: F401 - before the time counts
        signal.setitimer(signal.ITIMER_PROF, request.pop("seconds"))
        try:
            answer = bool(job(**request))
        except (
            ArithmeticError,
            AttributeError,
            MemoryError,
            RecursionError,
            TypeError,
            ValueError,
        ):  # sympy's, of a formula
            answer = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
