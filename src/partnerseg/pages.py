"""Pages made in worker processes: a notebook for a region, executed, rendered, written into the staging folder."""

import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from partnerseg.edition import Finished, hold_staging, write_file

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from partnerseg.report.html import PageContext


@dataclass(frozen=True)
class Page:
    """One notebook for one region: everything that a worker process needs to make it.

    Attributes:
        task: `region/notebook`.
        key: Hash of everything the page depends on.
        notebook: The notebook's file.
        parameters: What the notebook gets.
        cell_timeout: Seconds before a cell is given up.
        context: What the page says about itself and its neighbors.
        staging: Folder of the edition that is being made.
        hidden: Machine paths and the words that stand for them in messages.
    """

    task: str
    key: str
    notebook: Path
    parameters: dict[str, str]
    cell_timeout: float
    context: "PageContext"
    staging: Path
    hidden: dict[str, str]


def make_pages(pages: Sequence[Page], jobs: int) -> Iterator[Finished]:
    """Make pages in worker processes and yield each when it is finished, failed ones too.

    Args:
        pages: Pages of one edition.
        jobs: Pages made at the same time.
    """
    left = {page.task: page for page in pages}
    if not left:
        return
    with _runtime_dir(pages[0].staging) as runtime:
        for page, finished in _try_pages(pages, jobs, runtime):
            if finished:
                del left[page.task]
                yield finished
        for page in left.values():  # a worker died: each alone now, so that only the culprit fails
            for _, finished in _try_pages([page], 1, runtime):
                died = {"cell": "unknown", "code": "", "error": "the process that made the page died, twice"}
                yield finished or _finish_page(page, None, died)


def _try_pages(pages: Sequence[Page], jobs: int, runtime: Path) -> Iterator[tuple[Page, Finished | None]]:
    """Yield every page with what became of it; None when a worker process died meanwhile."""
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(os.getpid(), runtime, pages[0].staging),
    )
    try:
        futures = {pool.submit(make_page, page): page for page in pages}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                yield futures[future], None
        pool.shutdown()
    except BaseException:  # interrupted: do not wait for the pages that are being made
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
        raise


def _start_worker(parent: int, runtime: Path, staging: Path) -> None:
    from partnerseg.execution import prepare_process, watch_parent

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's business
    watch_parent(parent)
    hold_staging(staging)
    prepare_process(str(runtime))


def make_page(page: Page) -> Finished:
    """Execute a page's notebook, render it and put both into the staging folder; runs in a worker process."""
    from partnerseg.execution import execute_notebook

    def hide(text: str) -> str:
        for path in sorted(page.hidden, key=len, reverse=True):
            text = text.replace(path, page.hidden[path])
        return text

    notebook, failure = execute_notebook(page.notebook, page.parameters, cell_timeout=page.cell_timeout, hide=hide)
    return _finish_page(page, notebook, failure)


def _finish_page(page: Page, notebook: "NotebookNode | None", failure: dict[str, str]) -> Finished:
    """Write the executed notebook and its page, or the page that says why there is none."""
    import nbformat

    from partnerseg.report.html import render_page

    html = ""
    if not failure and notebook is not None:
        try:
            html = render_page(notebook, page.context)
        except Exception as error:
            failure = {"cell": "the whole page", "code": "", "error": f"{type(error).__name__}: {error}"}
    if failure:
        html = render_page(_describe_failure(page, failure), page.context)
    files = {f"{page.task}.html": html}
    if notebook is not None:
        files[f"{page.task}.ipynb"] = nbformat.writes(notebook)
    outputs = {name: write_file(page.staging / name, text.encode()) for name, text in files.items()}
    return Finished(page.task, page.key, outputs, failure)


def _describe_failure(page: Page, failure: dict[str, str]) -> "NotebookNode":
    from nbformat import v4

    from partnerseg.report.html import show_text
    from partnerseg.report.language import say

    language = page.context.language
    sentences = [
        say("index.no_page", language=language),
        say(
            "index.failure",
            language=language,
            region=page.context.region_name,
            page=page.context.page,
            cell=failure["cell"],
            error=failure["error"],
        ),
    ]
    data, about = show_text(sentences)._repr_mimebundle_()
    output = v4.new_output("display_data", data=data, metadata=about)
    title = v4.new_markdown_cell(f"# {dict(page.context.pages)[page.context.page]}", id="title")
    return v4.new_notebook(cells=[title, v4.new_code_cell(id="failure", outputs=[output])])


@contextmanager
def _runtime_dir(staging: Path) -> Iterator[Path]:
    """Give a short-named folder for the kernels' sockets; what a killed run left of its own is removed first."""
    note = staging.with_name(f"{staging.name}.runtime")
    if note.exists():
        left = Path(note.read_text())
        if left.parent == Path(tempfile.gettempdir()) and left.name.startswith("partnerseg-"):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="partnerseg-", ignore_cleanup_errors=True) as runtime:
        note.write_text(runtime)
        yield Path(runtime)
    note.unlink()
