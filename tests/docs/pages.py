"""The commands of README and docs/, and a way to run one in this process.

A command is the words of a shell, without what it sets before and where it writes to; `python` is first whichever
Python a page names.
"""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from absl import app, flags, logging

from m2jax import distributed
from tests.conftest import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:\.venv/bin/)?python [^`]+|make [^`]+|sbatch [^`]+|launch/[\w/]+\.(?:py|sh)\s[^`]+)`")

Command = list[str]


def page_of(name: str) -> Path:
    """README, or a page of docs/ by its name."""
    return next(page for page in PAGES if page.stem == name)


def blocks(page: Path, language: str) -> list[str]:
    """The text of the blocks so marked; "" for those without a mark."""
    return [text for marked, text in FENCED.findall(page.read_text("utf-8")) if marked == language]


def commands(text: str) -> list[Command]:
    """Those of a block."""
    found, whole = [], ""
    for line in text.replace("\\\n", " ").splitlines():
        whole += line + "\n"
        try:
            words = shlex.split(whole, comments=True)
        except ValueError:  # within quotation marks, which end on a later line
            continue
        whole, words = "", [word for word in words if not re.fullmatch(r"[A-Z_0-9]+=.*", word, re.DOTALL)]
        words = words[: next((i for i, word in enumerate(words) if word in (">", "|", "&", "&&")), None)]
        if words:
            found.append(["python" if words[0] == ".venv/bin/python" else words[0], *words[1:]])
    assert not whole, f"quotation marks that do not end: {whole}"
    return found


def shown(page: Path) -> list[Command]:
    """Those of blocks marked bash, in order."""
    return [command for text in blocks(page, "bash") for command in commands(text)]


def sketched(page: Path) -> list[Command]:
    """Those of blocks marked text and of running text, without what is in brackets: it may be left away. The log has
    none: it says what was run once.
    """
    text = page.read_text("utf-8")
    running = [] if page.stem == "log" else INLINE.findall(FENCED.sub("", text))
    lines = "\n".join([*blocks(page, "text"), *(" ".join(words.split()) for words in running)])
    found = commands(re.sub(r" ?\[[^\]]*\]", "", lines))
    return [["python", *words] if words[0].endswith(".py") else words for words in found]


def small(command: Command) -> Command:
    """The same with the preset smoke."""
    return [re.sub(r"(?<=\.py)(:.*)?$", ":smoke", word) if word.startswith("--config=") else word for word in command]


def of_scripts() -> list[tuple[str, flags.Flag]]:
    """The flags that this repository's scripts have defined in this process, with the module; a library's stay."""
    return [
        (module, flag)
        for module, owned in flags.FLAGS.flags_by_module_dict().items()
        for flag in owned
        if module.startswith((str(REPOSITORY), "launch.", "m2jax.")) or flag.name.partition(".")[0] == "config"
    ]


@contextlib.contextmanager
def own_flags() -> Iterator[None]:
    """Scripts define flags for a process of their own: here they find none of other scripts, and leave none."""
    before, verbosity = of_scripts(), logging.get_verbosity()
    for _, flag in before:
        delattr(flags.FLAGS, flag.name)
    try:
        yield
    finally:
        for _, flag in of_scripts():
            delattr(flags.FLAGS, flag.name)
        for module, flag in before:
            flags.FLAGS[flag.name] = flag
            flags.FLAGS.register_flag_by_module(module, flag)
        logging.set_verbosity(verbosity)


def run_here(command: Command, *more: str, typed: str = "") -> None:
    """Runs a command of Python with further arguments, in this process and its folder; `typed` is what a person types.
    SystemExit where it ends with an error.
    """
    assert command[0] == "python", command
    words = [w.replace("--config=", f"--config={REPOSITORY}/", 1) for w in [*command[1:], *more]]
    named, given = (words[:2], words[2:]) if words[0].startswith("-") else (words[:1], words[1:])
    with pytest.MonkeyPatch.context() as patch, own_flags():
        patch.setattr(distributed, "start", lambda: None)  # it begins the process anew
        patch.setattr(app, "run", lambda main, flags_parser=flags.FLAGS: main(flags_parser(sys.argv)))
        patch.setattr(sys, "argv", [named[-1], *given])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
        try:
            match named:
                case ["-c", code]:
                    exec(code, {"__name__": "__main__"})
                case ["-m", module]:
                    runpy.run_module(module, run_name="__main__")
                case [script]:
                    runpy.run_path(str(REPOSITORY / script), run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise
