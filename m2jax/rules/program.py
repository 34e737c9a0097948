"""Code: the Python of the reply's last fenced block passes the tests.

    {"kind": "code", "tests": ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"]}

    met by    ```python
              def add(a, b):
                  return a + b
              ```

Each test is Python, run after the code and in its names. One of the form `assert CALL == LITERAL` is taken apart: the
child (`program_child.py`) evaluates CALL and this process compares what it prints with LITERAL, which the child does
not know; so neither an object that equals everything nor code that ends the process can pass. Other tests run as they
stand, in the child, and what says that they passed is a token of this run, written to a file that the code does not
know of; there an object that compares as it likes can pass, so prefer the first form.

The child is a fresh interpreter (`-I -S -B`) with an empty environment, in a folder of its own that is removed, with
limits on CPU time, wall time, memory, file size and output. An audit hook refuses sockets, processes, ctypes, and
files outside the folder (the standard library can be read). **It is no sandbox.** It keeps what a model writes by
accident, or finds by trial, from doing harm. It does not hold someone who knows CPython: all of it is in one process,
and a bug in a C extension, or a walk through frames to the token, gets around it. To run code of people whom you do
not trust, put the whole of training into a container or a virtual machine without network.
"""

from __future__ import annotations

import ast
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from m2jax.rules.final import answered

MAX_OUTPUT = 2**20  # bytes that the child may write, to any file
MAX_CODE = 100_000  # characters of a block
_FREE = threading.Semaphore(os.cpu_count() or 1)  # more side by side would be stopped by the clock
_CHILD = Path(__file__).with_name("program_child.py")
_BLOCK = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Program:
    """tests: Python statements, all of which must pass. seconds: CPU time for all; the wall clock gets twice that and
    two seconds. memory: MiB of address space.
    """

    tests: Sequence[str]
    seconds: float = 5
    memory: float = 512

    def __post_init__(self) -> None:
        if not isinstance(self.tests, list | tuple) or not self.tests:
            raise ValueError(f"tests is {self.tests!r}; give a list of at least one, such as 'assert f(2) == 4'")
        for test in self.tests:
            try:
                ast.parse(test)
            except (SyntaxError, TypeError, ValueError) as error:
                raise ValueError(
                    f"the test {test!r} is not Python ({error}); write it as 'assert f(2) == 4'"
                ) from error
        for name, least in (("seconds", 0.1), ("memory", 64)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < 1e6:
                raise ValueError(f"{name} is {value!r}; give a number of at least {least}")


def met(rule: Program, reply: str) -> bool:
    """Whether the code passes every test. It is run on this machine: read what the module says of that."""
    code = block(answered(reply))
    if code is None or len(code) > MAX_CODE:
        return False
    token = secrets.token_hex(16)
    calls = [_call(test) for test in rule.tests]
    jobs = [("value", call[0]) if call else ("test", test) for call, test in zip(calls, rule.tests, strict=True)]
    with _FREE:
        results = _run({"code": code, "tests": jobs, "token": token}, rule.seconds, rule.memory)
    if len(results) != len(jobs):
        return False
    pairs = zip(calls, results, strict=True)
    return all(_equal(call[1], result) if call else result == token for call, result in pairs)


def block(text: str) -> str | None:
    """The last fenced block of Python, or of no language; None where there is none."""
    blocks = [code for language, code in _BLOCK.findall(text) if language.lower() in ("", "python", "python3", "py")]
    return blocks[-1] if blocks else None


def _call(test: str) -> tuple[str, object] | None:
    """(CALL, the value of LITERAL) of `assert CALL == LITERAL`, else None."""
    match ast.parse(test).body:
        case [ast.Assert(test=ast.Compare(left=call, ops=[ast.Eq()], comparators=[literal]))]:
            try:
                return ast.unparse(call), ast.literal_eval(literal)
            except ValueError:  # not a literal
                return None
    return None


def _equal(expected: object, printed: str) -> bool:
    try:
        return bool(ast.literal_eval(printed) == expected)
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # an object of the code's own
        return False


def _run(job: dict[str, object], seconds: float, memory: float) -> list[str]:
    """What the child reports of each test, in order, up to the first that fails; nothing where it was stopped."""
    with tempfile.TemporaryDirectory(prefix="m2jax-code-") as folder, tempfile.TemporaryDirectory() as elsewhere:
        report = Path(elsewhere, "report")
        writable = os.open(report, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            child = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    "-B",
                    str(_CHILD),
                    str(seconds),
                    str(int(memory * 2**20)),
                    str(MAX_OUTPUT),
                ],
                stdin=subprocess.PIPE,
                stdout=writable,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env={"LANG": "C.UTF-8", "PYTHONHASHSEED": "0"},
                start_new_session=True,
            )
        finally:
            os.close(writable)
        try:
            child.communicate(json.dumps(job).encode(), timeout=2 * seconds + 2)
        except subprocess.TimeoutExpired:
            return []
        finally:
            _end(child)
        text = report.read_bytes().decode("utf-8", "replace")
    try:
        return [result for result in map(json.loads, text.splitlines()) if isinstance(result, str)]
    except ValueError:  # cut off, or written by the code itself
        return []


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends the child, with whatever it may have started after all."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
