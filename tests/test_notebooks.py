"""The notebooks as maintainers rely on them: what nbval compares is compared, and nothing else is stored."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
IGNORE = "nbval-ignore-output"


def read_code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_only_compared_outputs_are_stored(path):
    cells = read_code_cells(path)
    compared = [cell for cell in cells if IGNORE not in cell.metadata.get("tags", []) and cell.outputs]
    assert compared, "a notebook compares at least one output"
    for cell in cells:
        if IGNORE in cell.metadata.get("tags", []):
            assert not cell.outputs
            assert cell.execution_count is None


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_cells_are_short_and_plain(path):
    cells = read_code_cells(path)
    assert [cell.metadata.get("tags") for cell in cells].count(["parameters"]) == 1
    for cell in cells:
        assert len(cell.source.splitlines()) <= 3
        assert not re.search(
            r"^\s*(def|class|for|if|while)\b|\.merge\(|\.join\(|read_(csv|parquet)", cell.source, re.MULTILINE
        )


def test_a_changed_number_fails_and_the_unchanged_notebook_passes():
    changed = nbformat.read(NOTEBOOKS / "01-data.ipynb", as_version=4)
    (printed,) = [
        output
        for cell in changed.cells
        for output in cell.get("outputs", [])
        if "quarantined" in output.get("text", "")
    ]
    number = int(re.search(r"quarantined\s+(\d+)", printed.text)[1])
    printed.text = re.sub(r"(quarantined\s+)\d+", rf"\g<1>{number + 1}", printed.text)
    notebooks = {"changed": changed, "same": nbformat.read(NOTEBOOKS / "01-data.ipynb", as_version=4)}
    codes = {}
    with tempfile.TemporaryDirectory(dir=NOTEBOOKS.parent, prefix=".nbval-") as folder:  # parameters lie one folder up
        for name, notebook in notebooks.items():
            path = Path(folder) / f"{name}.ipynb"
            nbformat.write(notebook, path)
            command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", str(path)]
            codes[name] = subprocess.run(command, cwd=NOTEBOOKS.parent, capture_output=True, timeout=600).returncode
    assert codes == {"changed": 1, "same": 0}
