"""Imports run downward only: a room knows the rooms below it and none above."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "m2jax"
ROOMS = (  # lowest first; a file of m2jax/ is a room of its own
    "rules",
    "distributed",
    "metrics",
    "lines",
    "gguf_file",
    "outside",
    "sharding",
    "models",
    "text",
    "weights",
    "adapters",
    "checkpoint",
    "sampler",
    "records",
    "verifier",
    "clinic",
    "patient",
    "data",
    "rollout",
    "train",
    "aot",
    "evaluate",
    "serve",
    "report",
    "run",
    "export",
)
WITHOUT_JAX = (
    "m2jax.rules.instructions.check",
    "m2jax.rules.rule",
    "m2jax.records.record",
    "m2jax.records.load",
    "m2jax.clinic.sample",
    "m2jax.patient.claims",
    "m2jax.patient.gate",
    "m2jax.verifier.rubric",
    "m2jax.verifier.checks",
    "m2jax.verifier.reward",
    "m2jax.metrics",
    "m2jax.outside.client",
    "m2jax.report",
    "m2jax.report.html",
    "m2jax.report.card",
    "m2jax.report.view.server",
    "m2jax.text.chat",
)


def imported(file: Path) -> Iterator[str]:
    """Dotted names that a file imports, anywhere in it; `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import; write the full name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


FILES = [file for file in sorted(PACKAGE.rglob("*.py")) if file != PACKAGE / "__init__.py"]


def test_every_file_belongs_to_a_room():
    assert len(FILES) > 20
    assert {room_of(file) for file in FILES} <= set(ROOMS)


def test_imports_run_downward():
    upward = []
    for file in FILES:
        here = ROOMS.index(room_of(file))
        for name in imported(file):
            top, _, rest = name.partition(".")
            room = rest.partition(".")[0]
            if top == "m2jax" and room in ROOMS and ROOMS.index(room) > here:
                upward.append(f"{file.relative_to(REPOSITORY)} imports {name}")
    assert upward == []


def test_the_package_knows_nothing_of_what_stands_on_it():
    outside = {"launch", "configs", "tests"}
    found = [(file.name, name) for file in FILES for name in imported(file) if name.split(".")[0] in outside]
    assert found == []


def test_the_check_sees_imports_inside_functions(tmp_path):
    file = tmp_path / "late.py"
    file.write_text("import m2jax.a.b\ndef f():\n    from m2jax import c\n    from m2jax.d import e, g\n")
    assert list(imported(file)) == ["m2jax.a.b", "m2jax.c", "m2jax.d.e", "m2jax.d.g"]


@pytest.mark.parametrize("module", WITHOUT_JAX)
def test_no_jax_comes_along(module):
    """Also by way of what it imports: rubrics and reports are for machines without an accelerator's software."""
    code = f"import sys, {module}; print(sorted(m for m in ('jax', 'jaxlib', 'flax') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
