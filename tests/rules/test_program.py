"""Code of a reply: what passes, what fails, and what it may not do."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from m2jax.rules.program import Program, block, met

ADD = "def add(a, b):\n    return a + b"
ADDS = Program(["assert add(1, 2) == 3", "assert add(-1, 1) == 0"], seconds=1)
RUNS = Program(["assert True"], seconds=1)  # met by any code that gets to its end


def fenced(code: str, language: str = "python") -> str:
    return f"Here it is.\n\n```{language}\n{code}\n```\nThat is all."


@pytest.mark.parametrize(
    ("reply", "passes"),
    [
        (fenced(ADD), True),
        (fenced(ADD, ""), True),
        (fenced("def add(a, b):\n    return a - b") + fenced(ADD, "py"), True),  # the last block counts
        (fenced(ADD) + "\n\n```text\n3\n```", True),
        (fenced(ADD) + fenced("def add(a, b):\n    return a - b"), False),
        (ADD, False),  # no block
        (fenced(ADD, "javascript"), False),
        (f"<think>{fenced(ADD)}</think>I cannot.", False),
        (fenced("def add(a, b)\n    return a + b"), False),
        (fenced("def add(a, b):\n    return 3"), False),
        (
            fenced(
                "from functools import reduce\nimport math, random, re, collections, itertools, json, dataclasses\n"
                + ADD
            ),
            True,
        ),
        (fenced(ADD + "\nif __name__ == '__main__':\n    print(add(1, 2))"), True),
        (fenced("print('PASSED')\nprint('ok ' * 100000)\n" + ADD), True),  # what is printed goes nowhere
    ],
)
def test_the_last_block_passes_or_not(reply, passes):
    assert met(ADDS, reply) is passes


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("Counter('aab')", "{'a': 2, 'b': 1}"),
        ("OrderedDict(a=[1, (2,)])", "{'a': [1, (2,)]}"),
        ("namedtuple('P', 'x y')(1, 2)", "(1, 2)"),
        ("frozenset('a')", "{'a'}"),
        ("True", "1"),
        ("float('1e3')", "1000"),
        ("-2", "-2"),
        ("None", "None"),
        ("set()", "set()"),
        ("[]", "()"),
        ("'3'", "3"),
        ("deque([1])", "[1]"),
        ("2", "3"),
    ],
)
def test_values_compare_as_in_python(value, literal):
    names: dict[str, object] = {}
    code = f"from collections import *\ndef f():\n    return {value}"
    exec(code, names)
    assert met(Program([f"assert f() == {literal}"], seconds=1), fenced(code)) is (names["f"]() == eval(literal))


EQUAL = "class Any:\n    __eq__ = lambda *_: True\n    __repr__ = lambda _: '3'\ndef add(a, b):\n    return Any()"
CHEATS = {
    "leaves before the tests": ADD.replace("+", "-") + "\nimport sys\nsys.exit(0)",
    "leaves at once": "import os\nos._exit(0)",
    "prints a marker": "print('PASSED', 'OK', 'true')\nimport sys\nsys.stdout.write('[true]')",
    "writes to every descriptor": """
import os
for fd in range(32):
    try:
        os.write(fd, b'"PASSED"\n"PASSED"\n')
    except OSError:
        pass
os._exit(0)""",
    "equals everything": EQUAL,
    "replaces print and repr": "import builtins\nbuiltins.repr = lambda _: '3'\ndef add(a, b): return 0",
    "replaces the writer": "import json, os\nos.write = print\njson.dumps = lambda _: '\"3\"'\ndef add(a, b): return 0",
    "is not defined": "x = 1",
    "leaves in the test": "import sys\ndef add(a, b): sys.exit(0)",
    "raises": "def add(a, b): raise ValueError",
    "at exit": "import atexit\natexit.register(print, 3)\ndef add(a, b): return 0",
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_cheats_do_not_pass(cheat):
    assert not met(ADDS, fenced(CHEATS[cheat]))


@pytest.mark.parametrize(
    "cheat", ["leaves before the tests", "leaves at once", "prints a marker", "writes to every descriptor"]
)
def test_neither_where_the_tests_are_statements(cheat):
    rule = Program(["r = add(1, 2)\nassert isinstance(r, int) and r in (3,)"], seconds=1)
    assert met(rule, fenced(ADD))
    assert not met(rule, fenced(CHEATS[cheat]))


REFUSED = {
    "fork": "import os\nos.fork()",
    "socket": "import socket\nsocket.socket()",
    "raw socket": "import _socket\n_socket.socket()",
    "url": "import urllib.request\nurllib.request.urlopen('http://localhost')",
    "subprocess": "import subprocess\nsubprocess.run(['true'])",
    "raw subprocess": "import _posixsubprocess\n_posixsubprocess.fork_exec",
    "system": "import os\nos.system('true')",
    "exec": "import os\nos.execv('/bin/true', ['true'])",
    "spawn": "import os\nos.posix_spawn('/bin/true', ['true'], {})",
    "ctypes": "import ctypes\nctypes.CDLL(None)",
    "pipe by name": "import os\nos.mkfifo('../m2jax-no-pipe')",
    "shared memory": "import _posixshmem\n_posixshmem.shm_open('/m2jax-no', 66, 384)",
    "a handle of the parent": "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0)",
    "rename": "import os\nopen('a', 'w')\nos.replace('a', '../m2jax-no-file')",
    "by a folder's handle": "import os\nos.open('../etc', os.O_RDONLY, dir_fd=os.open('.', os.O_RDONLY))",
    "kill": "import os\nos.kill(os.getppid(), 0)",
    "read passwords": "open('/etc/passwd').read()",
    "read the parent's environment": "import os\nopen(f'/proc/{os.getppid()}/environ').read()",
    "list the root": "import os\nos.listdir('/')",
    "walk up": "open('../other', 'w')",
    "link out": "import os\nos.symlink('/etc', 'etc')",
    "limits": "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (-1, -1))",
    "a known variable": "import os\nos.environ['SECRET_OF_THE_PARENT']",
    "the harness by name": "import __main__\n__main__.guard",
    "objects": "import gc\ngc.get_objects()",
    "too large a file": "open('big', 'wb').write(b'0' * 2**22)",
    "memory": "x = bytearray(2**33)",
    "memory by and by": "x = []\nwhile True: x.append(bytearray(2**24))",
    "recursion": "def f(): return f()\nf()",
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "1")
    assert not met(RUNS, fenced(REFUSED[what]))


def test_allowed():
    code = """
import os
open('x', 'w').write('1')
assert open('x').read() == '1'
os.mkdir('d')
assert sorted(os.listdir()) == ['d', 'x']
assert len(os.environ) < 5"""
    assert met(RUNS, fenced(code))


def test_writes_nothing_outside_its_folder(tmp_path):
    for code in (
        f"open({str(tmp_path / 'a')!r}, 'w')",
        f"import os\nos.open({str(tmp_path / 'a')!r}, os.O_CREAT | os.O_WRONLY)",
    ):
        assert not met(RUNS, fenced(code))
        assert not met(RUNS, fenced(f"import os\nos.mkdir({str(tmp_path / 'a')!r})"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time\ntime.sleep(60)",
        "try:\n    while True: pass\nexcept BaseException:\n    pass",
        "9 ** 9 ** 9",
    ],
)
def test_what_does_not_end_is_ended(code):
    start = time.monotonic()
    assert not met(Program(["assert True"], seconds=0.5), fenced(code))
    assert time.monotonic() - start < 10


def test_threads_end_with_it():
    before = _pythons()
    assert met(RUNS, fenced("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()"))
    assert _pythons() == before


def _pythons() -> int:
    listed = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True, check=False
    )
    return listed.stdout.count("program_child")


def test_the_last_block():
    assert block("```\na\n```\n```bash\nb\n```") == "a\n"
    assert block("none") is None
    assert block("```python\nnot closed") is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tests": []}, "tests is .*at least one"),
        ({"tests": ["assert f("]}, r"the test 'assert f\(' is not Python"),
        ({"tests": [3]}, "the test 3 is not Python"),
        ({"tests": ["1"], "seconds": 0}, "seconds is 0; give a number of at least 0.1"),
        ({"tests": ["1"], "memory": True}, "memory is True"),
    ],
)
def test_what_is_wrong_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Program(**fields)
