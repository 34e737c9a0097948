"""The process of `program` that runs a reply's code. Run as a file; imports none of m2jax.

argv: seconds of CPU time, bytes of memory, bytes of output. Standard input: {"code", "tests", "token"} as JSON, each
test ("value", expression) or ("test", statements). Standard output: a line of JSON for each that passed or has a value,
the token or the value's `repr`; it ends with the first that fails. What the code itself prints goes nowhere.

The code cannot reach what is defined here by name: it runs in a module of its own that is called `__main__`.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import types
from collections.abc import Callable
from typing import Any

UNAUDITED = (  # of `os`: what reaches outside without an audit event is taken away
    "chroot mkfifo mknod memfd_create nice openpty pidfd_open setns setpriority unshare sched_setaffinity "
    "sched_setscheduler sched_setparam setuid setgid seteuid setegid setreuid setregid setresuid setresgid setgroups "
    "initgroups login_tty"
).split()


def plain(value: Any) -> Any:
    """The value with what is a kind of dict, list, ... made just that, so that its `repr` is a literal: a Counter
    equals the dict of its counts.
    """
    for kind in (dict, list, tuple, set, frozenset):
        if isinstance(value, kind):
            parts = {plain(k): plain(v) for k, v in value.items()} if kind is dict else [plain(part) for part in value]
            return set(parts) if kind is frozenset else kind(parts)
    return next((kind(value) for kind in (bool, int, float, complex, str, bytes) if isinstance(value, kind)), value)


def limit(seconds: float, memory: int, output: int) -> None:
    """Limits of the kernel's, which cannot be raised again."""
    cpu = math.ceil(seconds)
    for name, value in (("CPU", cpu), ("AS", memory), ("FSIZE", output), ("CORE", 0), ("NOFILE", 32)):
        kind = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(kind, (value, value))


def guard(folder: str, library: tuple[str, ...]) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook (PEP 578) that refuses what code of a reply has no use for. It keeps what it needs to itself, so
    that the code finds no name to change.
    """
    refused = (
        "socket. subprocess. ctypes. gc. os.exec os.fork os.posix_spawn os.spawn os.system os.kill os.killpg os.putenv "
        "os.unsetenv os.startfile pty. resource. signal. sys._current_frames sys.settrace sys.setprofile "
        "cpython. webbrowser. urllib. http. ftplib. smtplib. telnetlib. imaplib. poplib. nntplib. "
        "syslog. fcntl. mmap. sqlite3. winreg. shutil.chown os.chown os.chmod os.chflags os.setxattr os.link os.symlink"
    )
    starts = tuple(refused.split())
    modules = frozenset(
        "_ctypes _multiprocessing _posixshmem _posixsubprocess _socket _testcapi _testinternalcapi "
        "_interpreters _xxsubinterpreters".split()
    )
    paths = frozenset(
        "os.mkdir os.remove os.rename os.rmdir os.truncate os.utime os.listdir os.scandir os.chdir os.walk os.fwalk "
        "glob.glob pathlib.Path.glob pathlib.Path.rglob shutil.rmtree shutil.move shutil.copyfile shutil.copytree "
        "shutil.unpack_archive shutil.make_archive tempfile.mkstemp tempfile.mkdtemp".split()
    )
    realpath, fsdecode, join = os.path.realpath, os.fsdecode, os.path.join
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def inside(path: object, roots: tuple[str, ...]) -> bool:
        if not isinstance(path, str | bytes):
            return path is None  # the folder one is in; a number of an open file is refused
        real = realpath(join(folder, fsdecode(path)))
        return any(real == root or real.startswith(root + "/") for root in roots)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(starts) or (event == "import" and arguments[0] in modules):
            raise PermissionError(f"{event} is refused to code of a reply")
        if event == "open":
            path, mode, flags = arguments
            changes = bool(flags & writes) if isinstance(flags, int) else bool(set(mode or "r") & set("wax+"))
            if not inside(path, (folder,) if changes else (folder, *library)):
                raise PermissionError(f"open is refused to code of a reply outside its folder: {path!r}")
        elif event in paths:
            reads = event in ("os.listdir", "os.scandir")
            for path in arguments[:2] if event in ("os.rename", "shutil.move") else arguments[:1]:
                if not inside(path, (folder, *library) if reads else (folder,)):
                    raise PermissionError(f"{event} is refused to code of a reply outside its folder: {path!r}")

    return hook


def main() -> None:
    """One run. It ends without clean-up, so that nothing the code has left behind runs after its tests."""
    seconds, memory, output = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    job = json.loads(sys.stdin.buffer.read())
    report = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    sys.argv[:] = [""]
    main_module = types.ModuleType("__main__")
    sys.modules["__main__"] = main_module
    names, write, dumps, leave = main_module.__dict__, os.write, json.dumps, os._exit
    as_text, as_plain = repr, plain
    library = tuple(os.path.realpath(path) for path in sys.path if path)
    for name in UNAUDITED:
        for module in (os, sys.modules[os.name]):
            module.__dict__.pop(name, None)
    limit(seconds, memory, output)
    sys.addaudithook(guard(os.path.realpath("."), library))
    try:
        exec(compile(job["code"], "<reply>", "exec"), names)
        for kind, test in job["tests"]:
            if kind == "value":
                result = as_text(as_plain(eval(compile(test, "<test>", "eval"), names)))
            else:
                exec(compile(test, "<test>", "exec"), names)
                result = job["token"]
            write(report, dumps(result).encode() + b"\n")
    except BaseException:  # noqa: B036 - also SystemExit: code that leaves has not passed
        leave(1)
    leave(0)


if __name__ == "__main__":
    main()
