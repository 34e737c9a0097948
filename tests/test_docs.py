"""What the pages say can be done: every command names a script, flags, presets and values that there are; every example
in Python runs; links lead somewhere.

Commands stand in blocks marked bash. They are held against the scripts and not run, but for those that read records:
what they start is run, in small, by the tests of the scripts.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from m2jax.records.__main__ import main as records
from tests.conftest import REPOSITORY
from tests.train.tiny_run import write_model

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
PYTHON = ("python", ".venv/bin/python")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """The commands of a block in words, without what they set before and where they write to."""
    found, whole = [], ""
    for line in text.replace("\\\n", " ").splitlines():
        whole += line + "\n"
        try:
            words = shlex.split(whole, comments=True)
        except ValueError:  # within quotation marks, which end on a later line
            continue
        whole, words = "", [word for word in words if not re.fullmatch(r"[A-Z_0-9]+=.*", word)]
        words = words[: next((i for i, word in enumerate(words) if word in (">", "|", "&", "&&")), None)]
        if words and words[0] in (*PYTHON, "make"):
            found.append(words)
    assert not whole, f"quotation marks that do not end: {whole}"
    return found


COMMANDS = [
    pytest.param(command, id=f"{page.stem}: {' '.join(command[1:4])}")
    for page in PAGES
    for text in blocks(page, "bash")
    for command in commands(text)
]


@functools.cache
def flags_of(script: Path) -> dict[str, list[str] | None]:
    """The flags that a script defines, with the values of an enum where they are written there."""
    found: dict[str, list[str] | None] = {}
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        name = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
        if node.func.attr.startswith("DEFINE_"):
            enum = node.args[2] if node.func.attr == "DEFINE_enum" else None
            found[name] = ast.literal_eval(enum) if isinstance(enum, ast.List | ast.Tuple) else None
        elif node.func.attr == "add_argument":
            found[str(name).removeprefix("--")] = None
    return found


def check_config(value: str, overrides: list[tuple[str, str]]) -> None:
    """The preset is there, and each key with a value of its type."""
    file, _, preset = value.partition(":")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    config: ConfigDict = module.get_config(preset) if preset else module.get_config()
    for key, text in overrides:
        owner, _, name = key.rpartition(".")
        tree = functools.reduce(lambda t, k: t[k], owner.split("."), config) if owner else config
        assert name in tree, f"{file} has no {key}"
        if not isinstance(tree[name], str):
            assert isinstance(ast.literal_eval(text), type(tree[name]) | int), f"{key} is no {type(tree[name])}: {text}"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_there_is(command: list[str]) -> None:
    if command[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        assert all(word in targets for word in command[1:] if "=" not in word)
        return
    if command[1] == "-m":
        module = Path(*command[2].split("."))
        script = next(f for f in (module.with_suffix(".py"), module / "__main__.py") if (REPOSITORY / f).is_file())
        given = command[3:]
    else:
        script, given = Path(command[1]), command[2:]
    known = flags_of(REPOSITORY / script)
    pairs = [word.removeprefix("--").partition("=") for word in given if word.startswith("--")]
    for name, _, value in pairs:
        if name.startswith("config."):
            continue
        assert name in known or name.removeprefix("no") in known, f"{script} has no flag --{name}"
        assert known.get(name) is None or value in known[name], f"--{name}={value}: it takes {known[name]}"
    if config := next((value for name, _, value in pairs if name == "config"), None):
        check_config(config, [(n.removeprefix("config."), v) for n, _, v in pairs if n.startswith("config.")])


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda page: page.stem)
def test_examples_run(page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of a page in one go; the model is a tiny one. What asks a server by a package that m2jax does without is
    only compiled (tests/serve asks the same).
    """
    source = "\n".join(blocks(page, "python"))
    code = compile(source, page.name, "exec")
    imported = re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE)
    if missing := [name for name in imported if importlib.util.find_spec(name) is None]:
        pytest.skip(f"compiled, not run: it imports {', '.join(missing)}")
    if "smollm2-135m-instruct" in source:
        source = source.replace("smollm2-135m-instruct", str(write_model(tmp_path / "model")))
        code = compile(source, page.name, "exec")
    exec(code, {"__name__": "example"})
    assert "print(" not in source or capsys.readouterr().out


def test_the_record_of_the_verifiers_page_is_read_and_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = REPOSITORY / "docs" / "verifier.md"
    monkeypatch.chdir(tmp_path)
    (line,) = blocks(page, "json")
    Path("patients.jsonl").write_text(line)
    own = [c[3:] for text in blocks(page, "bash") for c in commands(text) if c[1:3] == ["-m", "m2jax.records"]]
    assert len(own) == 2
    for arguments in own:
        records(arguments)
        assert '"id": "mine-1"' in Path("records.jsonl").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
