"""The notebooks run from top to bottom on a lake, define nothing, and carry no outputs."""

import ast
from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

from tests.system.corner_shop import CHECKOUT, DATASET, CornerShop

NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.py"))


@pytest.mark.long
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_runs(file: Path, shop: CornerShop, lake: Path) -> None:
    notebook = jupytext.read(file)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = f"ENVIRONMENT, DATASET, CONF_DIR = 'local', {DATASET!r}, {str(shop.conf_dir)!r}"
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute(env=shop.environment(lake))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_defines_nothing(file: Path) -> None:
    defined = [
        node
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    assert not defined
