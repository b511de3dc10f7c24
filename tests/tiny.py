"""A tiny programme whose run takes seconds: two regions, two notebooks, models that are there at once.

As a program it is the command `partnerseg` with such models: `python -m tests.tiny run --params DIR`.
"""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
from nbformat import v4

from partnerseg import cli, programme_pass

REPOSITORY = Path(__file__).parents[1]
REGIONS = ("north", "Київ")
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
PARAMETERS = 'region = "all"\nas_of = ""\nparams_dir = "../params"'
CALCULATE = "total = sum(len(region) for _ in range(10))\nprint(region, total)"


class TinyModels:
    """Three partners of two regions, the same in every table; one name is a formula."""

    def __init__(self, params):
        self.params = params
        self.programme = SimpleNamespace(key="tiny inputs")
        self.frame = pd.DataFrame(
            {
                "name": ["=HYPERLINK(1)", "Львів Плюс", "Cold & Sons"],
                "region": ["north", "Київ", "north"],
                "score": [0.1 + 0.2, 1 / 3, float("nan")],
            },
            index=pd.Index(["001", "-2", "NA"], name="partner_id"),
        )
        rows = ["all", *REGIONS]
        self.summaries = pd.DataFrame({"partners": [3, 2, 1]}, index=pd.Index(rows, name="region"))

    def table(self, name, *, region=""):
        return self.frame if region == "all" else self.frame[self.frame["region"] == region]


def install_models(set_attribute=setattr):
    """Put the tiny models in the place of the real ones; TINY_KEY in the environment stands for their inputs."""
    set_attribute(programme_pass, "models_key", lambda params: f"tiny-{os.environ.get('TINY_KEY', '0')}")
    set_attribute(programme_pass, "open_models", lambda params, progress=None: TinyModels(params))


def make_notebook(path, *cells, title="What is here?", parameters=PARAMETERS):
    """Write a notebook: a title, the parameters, the cells. It logs its end in the file named by TINY_LOG."""
    tagged = v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    end = f"f.write(f'{{region}}/{path.stem}\\n')"
    log = f"import os\nif 'TINY_LOG' in os.environ:\n    with open(os.environ['TINY_LOG'], 'a') as f:\n        {end}"
    code = [v4.new_code_cell(cell) for cell in (*cells, log)]
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell(f"# {title}"), tagged, *code], metadata=KERNEL)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # random otherwise
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def make_programme(root, *, regions=REGIONS, cell_timeout=60):
    """Make params/, notebooks/ and empty data/ below a folder; return the folder of the parameters."""
    params = root / "params"
    (params / "regions").mkdir(parents=True)
    (root / "data").mkdir()
    (params / "programme.yaml").write_text(
        f"extends: {os.path.relpath(REPOSITORY / 'params' / 'programme.yaml', params)}\n"
        "programme: {name: Tiny programme, data_dir: ../data}\n"
        f"batch: {{notebooks_dir: ../notebooks, reports_dir: ../reports, cell_timeout: {cell_timeout}}}\n",
        encoding="utf-8",
    )
    for region in regions:
        (params / "regions" / f"{region}.yaml").write_text(f"region: {region}\n", encoding="utf-8")
    make_notebook(root / "notebooks" / "01-first.ipynb", CALCULATE, title="What comes first?")
    make_notebook(root / "notebooks" / "02-second.ipynb", CALCULATE, title="What comes second?")
    return params


if __name__ == "__main__":
    install_models()
    sys.exit(cli.main())
