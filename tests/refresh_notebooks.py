"""Run the notebooks and store exactly the outputs that nbval compares: those of cells without the tag to ignore them.

Run by `make notebooks` after a change that is meant to change them; look at the difference before you commit it.
"""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
IGNORE = "nbval-ignore-output"


def refresh(path: Path) -> None:
    """Run one notebook in its folder and write it back."""
    notebook = nbformat.read(path, as_version=4)
    executed = NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    executed.metadata = nbformat.from_dict(
        {"kernelspec": executed.metadata["kernelspec"], "language_info": {"name": "python"}}
    )
    for number, cell in enumerate(executed.cells, start=1):
        cell["id"] = f"cell-{number}"
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type == "code" and IGNORE in (tags or []):
            cell.outputs, cell.execution_count = [], None
    nbformat.write(executed, path)


if __name__ == "__main__":
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        refresh(notebook)
