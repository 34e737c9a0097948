"""The notebooks: their form, that each code cell is Python that names what there is, and that they run."""

from __future__ import annotations

import ast
import importlib
import os
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import DEVICES_FLAG, REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_and_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 3 and not any(cell.outputs or cell.execution_count for cell in code)
    for cell in code:
        for node in ast.walk(ast.parse(cell.source, cell.id)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("m2jax"):
                module = importlib.import_module(node.module)
                for name in (alias.name for alias in node.names):
                    assert hasattr(module, name) or importlib.import_module(f"{node.module}.{name}")
            if isinstance(node, ast.Constant) and str(node.value).startswith(("launch/", "--config=")):
                file = str(node.value).removeprefix("--config=").partition(":")[0]
                assert (REPOSITORY / file).is_file(), file


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a copy of the places it needs, so that no earlier run is found. It takes under 8 minutes of two idle cores."""
    for name in ("launch", "configs", "m2jax"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    flags = (flag for flag in os.environ.get("XLA_FLAGS", "").split() if DEVICES_FLAG not in flag)
    monkeypatch.setenv("XLA_FLAGS", " ".join(flags))  # one device, as a user has it
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    began = time.monotonic()
    NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(tmp_path)}}).execute()
    print(f"{path.name}: {time.monotonic() - began:.0f} s")
    nbformat.write(notebook, tmp_path / path.name)
    shown = {cell.id: "".join(str(out) for out in cell.outputs) for cell in notebook.cells if cell.cell_type == "code"}
    assert "doctor>" in shown["doctor"] and "rubric" in shown["doctor"] and "The diagnosis:" in shown["patient"]
    assert "held-out score" in shown["train"] and "<iframe" in shown["report"] and "config.json" in shown["export"]
