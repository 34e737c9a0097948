"""docs/paper.md names files and functions that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "paper.md").read_text()
ROOTS = (REPOSITORY / "m2jax", REPOSITORY)
NAMED = sorted(
    {
        (file, name)
        for file, names in re.findall(r"`([\w/]+\.py)`: ((?:`[\w.]+`(?: → `[\w.]+`)?(?:, )?)+)", PAGE)
        for name in re.findall(r"`([\w.]+)`", names)
        if not name.endswith(".py")
    }
)
FILES = sorted(set(re.findall(r"`([\w/]+\.(?:py|toml|txt|md))`", PAGE)))


def found(name: str) -> Path | None:
    """A file by the name that the page gives it."""
    return next((root / name for root in ROOTS if (root / name).is_file()), None)


def test_every_file_is_there():
    assert len(FILES) > 60 and [name for name in FILES if found(name) is None] == []


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_name_is_defined_in_its_file(file: str, name: str):
    tree = ast.parse(found(file).read_text())
    defined = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {t.id for t in targets if isinstance(t, ast.Name)}
    assert set(name.split(".")) <= defined | {"grpo"}, f"{file} does not define {name}"
