"""One notebook executed: its parameters checked, its kernel bound to this process, its bytes made repeatable.

Importing this module imports papermill and the Jupyter client; the batch does so in its worker processes.
"""

import ctypes
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from papermill.execute import ERROR_MARKER_TAG
from traitlets.config import Config

from partnerseg.programme_pass import FROZEN

logging.getLogger("papermill").setLevel(logging.CRITICAL)  # failures are told in the edition, not in a log
logging.getLogger("traitlets").setLevel(logging.CRITICAL)

START_SECONDS = 120  # for a kernel to start on a busy machine
MESSAGE_SECONDS = 60  # for a kernel to send what a cell printed
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
REPEATABLE = {"PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": "0", "TZ": "UTC"}
FOREIGN = ("MPLBACKEND", "PYTHONSTARTUP")  # of the user's own shell; would change what a notebook shows
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class BoundKernelManager(AsyncKernelManager):
    """A kernel of this very Python that talks over files instead of ports and ends with this process."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.connection_file = os.path.join(tempfile.mkdtemp(dir=os.environ["JUPYTER_RUNTIME_DIR"]), "k.json")

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """Return the command of the kernel; a kernelspec of the user's own could name another Python."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", self.connection_file]
        return [*command, "--HistoryManager.enabled=False", *(extra_arguments or [])]

    async def start_kernel(self, **kwargs: Any) -> None:  # type: ignore[override]
        """Start the kernel so that it is killed when this process ends."""
        parent = os.getpid()
        await super().start_kernel(**kwargs, preexec_fn=lambda: die_with_parent(parent))


def die_with_parent(parent: int) -> None:
    """Have this process killed when its parent ends, however that ends.

    Args:
        parent: Process id that the parent has; when it is gone already, this process ends at once.
    """
    if _prctl is not None:
        _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def watch_parent(parent: int) -> None:
    """Do as `die_with_parent`, also where the system cannot: there a thread looks twice a second."""
    die_with_parent(parent)
    if _prctl is None:

        def poll() -> None:
            while os.getppid() == parent:
                time.sleep(0.5)
            os._exit(1)

        threading.Thread(target=poll, daemon=True).start()


def prepare_process(runtime_dir: str) -> None:
    """Set the environment that kernels of this process get: one thread, own folders, repeatable output, no fitting."""
    for name in FOREIGN:
        os.environ.pop(name, None)
    own = {"JUPYTER_RUNTIME_DIR": runtime_dir, "IPYTHONDIR": os.path.join(runtime_dir, "ipython")}
    os.environ.update(THREADS | REPEATABLE | own | {FROZEN: "1"})


def check_parameters(notebook: Path, parameters: Mapping[str, str | int | float]) -> None:
    """Check that a notebook declares every parameter, and that each is plain text or a number.

    Raises:
        ValueError: A parameter that the notebook does not declare (papermill would only warn), or a
            value that is neither text nor a number.
    """
    for name, value in parameters.items():
        if type(value) not in (str, int, float) or not name.isidentifier():
            raise ValueError(f"parameter {name!r} = {value!r} must be a plain name with text or a number")
    try:
        declared = papermill.inspect_notebook(_escape_braces(notebook))
    except ValueError as error:  # no notebook, or no kernel named in it
        raise ValueError(f"{notebook}: {error} Save it from JupyterLab with the kernel python3") from None
    if unknown := [name for name in parameters if name not in declared]:
        raise ValueError(
            f"{notebook}: does not declare {', '.join(unknown)}; its cell tagged `parameters` declares "
            f"{', '.join(declared) or 'nothing'}: set a default for each there"
        )


def execute_notebook(
    notebook: Path,
    parameters: Mapping[str, str | int | float],
    *,
    cell_timeout: float,
    hide: Callable[[str], str] = str,
) -> tuple[nbformat.NotebookNode, dict[str, str]]:
    """Execute a notebook in its own folder and return it with what went wrong.

    Args:
        notebook: The notebook's file; it is not changed.
        parameters: Values for its parameters, checked with `check_parameters`.
        cell_timeout: Seconds before a cell is given up.
        hide: Takes machine paths out of an error's text.

    Returns:
        The executed notebook in repeatable form (`normalize_notebook`), up to the failed cell; and the
        failure: empty when all went well, otherwise `cell` (as `In [4]`), `code` (its first line) and
        `error`.
    """
    folder = Path(tempfile.mkdtemp(dir=os.environ["JUPYTER_RUNTIME_DIR"]))
    executed = folder / "executed.ipynb"
    problem = ""
    try:
        papermill.execute_notebook(
            _escape_braces(notebook),
            _escape_braces(executed),
            parameters=dict(parameters),
            kernel_name="python3",
            language="python",
            cwd=str(notebook.parent),
            progress_bar=False,
            start_timeout=START_SECONDS,
            execution_timeout=cell_timeout,
            iopub_timeout=MESSAGE_SECONDS,
            kernel_manager_class=BoundKernelManager,
            shutdown_kernel="immediate",
            config=Config({"KernelManager": {"transport": "ipc"}}),
        )
    except PapermillExecutionError as error:
        problem = f"{error.ename}: {error.evalue}"
    except CellTimeoutError:
        problem = f"the cell took longer than {cell_timeout:g} seconds (batch.cell_timeout)"
    except DeadKernelError:
        problem = "the kernel died, perhaps for want of memory"
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    result = nbformat.read(executed if executed.exists() else notebook, as_version=4)
    failure = {**_find_failed_cell(result), "error": hide(problem)} if problem else {}
    shutil.rmtree(folder, ignore_errors=True)
    return normalize_notebook(result, hide=hide), failure


def normalize_notebook(notebook: nbformat.NotebookNode, *, hide: Callable[[str], str] = str) -> nbformat.NotebookNode:
    """Return the notebook without what differs between two equal runs.

    Times, papermill's notes, widget states, standard error, memory addresses and random cell ids go;
    printed text in pieces becomes one piece. Sources, execution counts and outputs stay.

    Args:
        notebook: An executed notebook; it is changed in place.
        hide: Takes machine paths out of an error's text.
    """
    metadata = notebook.metadata
    notebook["metadata"] = {name: metadata[name] for name in ("kernelspec", "language_info") if name in metadata}
    notebook.cells = [cell for cell in notebook.cells if ERROR_MARKER_TAG not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(notebook.cells, start=1):
        cell["id"] = f"cell-{number}"
        for name in ("papermill", "execution", "ExecuteTime"):
            cell.metadata.pop(name, None)
        if cell.cell_type == "code":
            cell.outputs = _merge_streams([output for output in cell.outputs if output.get("name") != "stderr"])
            for output in cell.outputs:
                _normalize_output(output, hide)
    notebook["nbformat"], notebook["nbformat_minor"] = 4, 5
    return notebook


def _normalize_output(output: nbformat.NotebookNode, hide: Callable[[str], str]) -> None:
    data = output.get("data", {})
    data.pop("application/vnd.jupyter.widget-view+json", None)
    if "text/plain" in data:
        data["text/plain"] = re.sub(r" at 0x[0-9a-f]{6,}", "", data["text/plain"])
    if output.output_type == "error":
        output.evalue = hide(output.evalue)
        output.traceback = [hide(line) for line in output.traceback]


def _merge_streams(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    merged: list[nbformat.NotebookNode] = []
    for output in outputs:
        if merged and output.output_type == "stream" and merged[-1].output_type == "stream":
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def _find_failed_cell(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Return the number and the first line of the last cell that was begun."""
    begun = [cell for cell in notebook.cells if cell.metadata.get("papermill", {}).get("start_time")]
    code = [cell for cell in begun if cell.cell_type == "code" and cell.source.strip()]
    if not code:
        return {"cell": "before the first cell", "code": ""}
    return {"cell": f"In [{len(code)}]", "code": code[-1].source.partition("\n")[0]}


def _escape_braces(path: Path) -> str:
    """Return a path as papermill wants it: braces would be taken for its own placeholders."""
    return str(path).replace("{", "{{").replace("}", "}}")
