"""The batch: the programme pass, then every notebook for every region, published as one edition."""

import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partnerseg import edition
from partnerseg.edition import Finished, Staging, hash_file, hash_value, write_file
from partnerseg.pages import Page, make_pages
from partnerseg.params import Params, load_params

if TYPE_CHECKING:
    import pandas as pd

    from partnerseg.programme_pass import Models
    from partnerseg.report.html import Measure

TABLES = ("partners", "plan")  # of the frozen results, in every region's folder
MEASURES = {  # of the summaries, in the index; the unit of each
    "revenue": "currency",
    "revenue_per_partner": "currency",
    "partners": "count",
    "active_share": "share",
    "engagement_rate": "share",
    "conversion": "share",
    "score": "points",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class BatchError(ValueError):
    """A run that cannot begin: says what is wrong and where to change it."""


@dataclass(frozen=True)
class RunResult:
    """What a run has done.

    Attributes:
        index: The edition's first page.
        made: Tasks done by this run, as `north/02-segments`; none when nothing had changed.
        failures: Pages that could not be made.
    """

    index: Path
    made: tuple[str, ...]
    failures: tuple[Finished, ...]


class Plan:
    """What an edition consists of, before anything is made: its regions, notebooks, tasks and keys."""

    def __init__(self, params: Params, codes: Sequence[str], reports: Path) -> None:
        from partnerseg.programme_pass import models_key
        from partnerseg.report.language import say

        self.params, self.codes, self.reports = params, codes, reports
        self.as_of = params.programme.as_of
        self.models = models_key(params)
        self.by_region = {code: load_params(params.directory, region=code, as_of=self.as_of) for code in codes}
        whole = say("page.whole", language=params.report.language)
        self.names = {code: whole if code == "all" else self.by_region[code].region_name or code for code in codes}
        self.notebooks = sorted(params.batch.notebooks_dir.glob("*.ipynb"))
        if not self.notebooks:
            raise BatchError(f"{params.batch.notebooks_dir}: there are no notebooks (*.ipynb); set batch.notebooks_dir")
        self.titles = {path.stem: _read_question(path) for path in self.notebooks}
        self.previous = edition.find_previous(reports, self.as_of)

    @cached_property
    def common(self) -> dict[str, Any]:
        """What every page depends on; part of the manifest."""
        return {
            "models": self.models,
            "package": _hash_package(),
            "environment": {"python": ".".join(map(str, sys.version_info[:3])), "packages": _read_versions()},
            "regions": self.names,
            "titles": self.titles,
        }

    @cached_property
    def notebook_hashes(self) -> dict[str, str]:
        """SHA-256 of every notebook, by its file's name."""
        return {path.name: hash_file(path) for path in self.notebooks}

    @cached_property
    def parameters(self) -> dict[str, str]:
        """Hash of the parameters of every region."""
        return {code: hash_value(_plain_parameters(params)) for code, params in self.by_region.items()}

    @cached_property
    def table_keys(self) -> dict[str, str]:
        """Key of every task that writes tables, by its name."""
        keys = {f"{code}/tables": hash_value([self.models, code]) for code in self.codes}
        return {"tables": hash_value([self.models])} | keys

    @cached_property
    def page_keys(self) -> dict[str, str]:
        """Key of every page, by its task."""
        return {
            f"{code}/{path.stem}": hash_value([self.common, self.parameters[code], path.stem, sha])
            for code in self.codes
            for path, sha in zip(self.notebooks, self.notebook_hashes.values(), strict=True)
        }

    @cached_property
    def key(self) -> str:
        """Hash of everything the edition depends on, what it is compared with included."""
        before = edition.read_manifest(self.previous)["outputs"][edition.SUMMARIES] if self.previous else ""
        return hash_value([self.page_keys, self.table_keys, before])

    def pages(self, staging: Path) -> Iterator[Page]:
        """Yield every page."""
        for code, params in self.by_region.items():
            for notebook in self.notebooks:
                yield self._page(code, params, notebook, staging)

    def _page(self, code: str, params: Params, notebook: Path, staging: Path) -> Page:
        from partnerseg.report.html import PageContext

        task = f"{code}/{notebook.stem}"
        context = PageContext(
            programme=params.programme.name,
            region=code,
            region_name=self.names[code],
            as_of=self.as_of,
            language=params.report.language,
            page=notebook.stem,
            pages=list(self.titles.items()),
            regions=[(other, name, f"../{other}/{notebook.stem}.html") for other, name in self.names.items()],
            edition_key=self.models,
            versions=self.common["environment"]["packages"],
            seed=params.segments.random_state,
            parameters=_flatten(_plain_parameters(params)),
        )
        return Page(
            task=task,
            key=self.page_keys[task],
            notebook=notebook,
            parameters={
                "region": code,
                "as_of": self.as_of,
                "params_dir": os.path.relpath(params.directory, notebook.parent),
            },
            cell_timeout=params.batch.cell_timeout,
            context=context,
            staging=staging,
            hidden={
                str(staging): "edition",
                str(params.programme.data_dir): "data",
                str(params.directory): "params",
                str(notebook.parent): "notebooks",
                str(Path(__file__).parent): "partnerseg",
                sys.prefix: "python",
                sys.base_prefix: "python",
                str(Path.home()): "~",
            },
        )


def run(
    params_dir: str | Path,
    *,
    regions: Sequence[str] | None = None,
    as_of: str = "",
    jobs: int | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> RunResult:
    """Make the edition of a date: fit the models once, then every notebook for every region, and publish it.

    Whatever is finished is kept: a run that was stopped, even killed, goes on where it stopped when
    it is started again; a run with nothing changed does nothing; after a failure only the failed
    pages are tried again. Readers see the last published edition until the new one is complete.

    Args:
        params_dir: Folder of the parameters.
        regions: Codes of the regions in the edition, `all` for the whole programme's pages; None means
            all of them. An edition that was published for the same date is replaced as a whole.
        as_of: Date `YYYY-MM-DD` in place of `programme.as_of`.
        jobs: Notebooks run at the same time, in place of `batch.jobs`.
        out: Folder of the editions, in place of `batch.reports_dir`.
        progress: Tell on standard error how far it is.

    Returns:
        Where the edition is, what this run did and which pages failed.

    Raises:
        ParamsError: The parameters are refused.
        BatchError: A region, notebook or parameter of a notebook is not there.
        EditionBusy: Another run makes this edition now.
    """
    params = load_params(params_dir, as_of=as_of)
    reports = Path(out).resolve() if out else params.batch.reports_dir
    jobs = params.batch.jobs if jobs is None else jobs
    if jobs < 1:
        raise BatchError(f"jobs is {jobs}, must be at least 1")
    codes = _choose_regions(params, regions)
    telling = _Progress(progress)
    with edition.lock_edition(reports, params.programme.as_of):
        telling.say("reading the sources, comparing with the published edition")
        plan = Plan(params, codes, reports)
        index = reports / plan.as_of / "index.html"
        published = edition.read_manifest(index.parent)
        complete = published.get("key") == plan.key and not published["failed"]
        if complete and edition.is_intact(index.parent, published["outputs"]):
            return RunResult(index, (), ())
        return _make_edition(plan, jobs, telling)


def _make_edition(plan: Plan, jobs: int, progress: "_Progress") -> RunResult:
    from partnerseg.execution import check_parameters
    from partnerseg.programme_pass import open_models

    staging = Staging(plan.reports, plan.as_of)
    done = {task: staging.reuse(key) for task, key in (plan.table_keys | plan.page_keys).items()}
    tasks = {task: finished for task, finished in done.items() if finished}
    pages = [page for page in plan.pages(staging.directory) if page.task not in tasks]
    for page in {page.notebook: page for page in pages}.values():
        check_parameters(page.notebook, page.parameters)
    models = open_models(plan.params, progress=lambda step: progress.say(f"whole programme: {step}"))
    made = []
    for finished in _save_tables(plan, models, staging, [task for task in plan.table_keys if task not in tasks]):
        made.append(finished)
        staging.record(finished)
    for finished in progress.count(make_pages(pages, min(jobs, len(pages))), len(pages)):
        made.append(finished)
        staging.record(finished)
    tasks |= {finished.task: finished for finished in made}
    entries = [tasks[task] for task in (*plan.table_keys, *plan.page_keys)]
    failures = tuple(entry for entry in entries if entry.failure)
    outputs = {name: sha for entry in entries for name, sha in entry.outputs.items()}
    outputs["index.html"] = write_file(
        staging.directory / "index.html", _render_index(plan, models, staging.directory, failures).encode()
    )
    published = staging.publish(
        {
            "key": plan.key,
            "programme": plan.params.programme.name,
            "as_of": plan.as_of,
            **plan.common,
            "inputs": models.programme.key,
            "parameters": plan.parameters,
            "notebooks": plan.notebook_hashes,
            "seeds": {name: value for name, value in _flatten(plan.params.to_dict()).items() if "random_state" in name},
            "tasks": [asdict(entry) for entry in entries],
            "failed": [entry.task for entry in failures],
            "outputs": outputs,
        }
    )
    return RunResult(published / "index.html", tuple(entry.task for entry in made), failures)


def _save_tables(plan: Plan, models: "Models", staging: Staging, tasks: Iterable[str]) -> Iterator[Finished]:
    """Write the result tables: one row a partner for every region, and one row a region."""
    for task in tasks:
        code = task.partition("/")[0]
        regional = task != "tables"
        frames = (
            {name: models.table(name, region=code) for name in TABLES} if regional else {"regions": models.summaries}
        )
        outputs = {}
        for name, frame in frames.items():
            for path, content in {f"{name}.parquet": frame.to_parquet(), f"{name}.csv": encode_csv(frame)}.items():
                outputs[f"{task}/{path}"] = write_file(staging.directory / task / path, content)
        yield Finished(task, plan.table_keys[task], outputs, {})


def encode_csv(frame: "pd.DataFrame") -> bytes:
    """Encode a table as CSV that spreadsheets read as it is meant: UTF-8 with its mark, and no formulas.

    Text that a spreadsheet would take for a formula gets an apostrophe in front; numbers keep every digit.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"name": ["=1+1", "Львів"], "gain": [-0.1, 2.0]}, index=["-a", "b"])
        >>> print(encode_csv(frame.rename_axis("partner_id")).decode("utf-8-sig"), end="")
        partner_id,name,gain
        '-a,'=1+1,-0.1
        b,Львів,2.0
    """

    def defuse(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

    flat = frame.reset_index()
    for column in flat.columns:
        if flat[column].dtype.kind not in "biufcmM":
            flat[column] = flat[column].astype(object).map(defuse)
    return flat.to_csv(index=False, lineterminator="\n").encode("utf-8-sig")


def _render_index(plan: Plan, models: "Models", staging: Path, failures: Sequence[Finished]) -> str:
    import nbformat
    import pandas as pd

    from partnerseg.report.html import Answer, Failure, IndexContext, collect_findings, render_index

    summary = models.summaries.reindex(list(plan.codes))
    failed = {entry.task for entry in failures}
    first = {code: [s for s in plan.titles if f"{code}/{s}" not in failed][:1] for code in plan.codes}
    answers = []
    for slug, title in plan.titles.items():
        task = f"{plan.codes[0]}/{slug}"
        if task in failed:
            answers.append(Answer(title, "", ""))
        else:
            notebook = nbformat.from_dict(json.loads((staging / f"{task}.ipynb").read_bytes()))
            findings = [finding["finding"] for finding in collect_findings(notebook)]
            answers.append(Answer(title, findings[0] if findings else "", f"{task}.html"))
    before = pd.read_parquet(plan.previous / edition.SUMMARIES) if plan.previous else None
    measures = _choose_measures(summary, plan.params.programme.currency)
    return render_index(
        IndexContext(
            programme=plan.params.programme.name,
            as_of=plan.as_of,
            language=plan.params.report.language,
            edition_key=plan.models,
            regions=[
                (code, plan.names[code], f"{code}/{slugs[0]}.html" if slugs else "") for code, slugs in first.items()
            ],
            summary=summary,
            measures=measures,
            answers=answers,
            changes=None if before is None else _compare_summaries(before, summary, measures).rename(index=plan.names),
            failures=[
                Failure(
                    plan.names[entry.task.partition("/")[0]],
                    plan.titles[entry.task.partition("/")[2]],
                    entry.failure["cell"],
                    entry.failure["error"],
                )
                for entry in failures
            ],
        )
    )


def _choose_measures(summary: "pd.DataFrame", currency: str) -> list["Measure"]:
    """Return the measures that the index shows, the one that it sorts by first."""
    from partnerseg.report.html import Measure
    from partnerseg.report.language import say_name

    return [
        Measure(name, say_name(name).capitalize(), currency if unit == "currency" else unit)
        for name, unit in MEASURES.items()
        if name in summary
    ]


def _compare_summaries(before: "pd.DataFrame", now: "pd.DataFrame", measures: Sequence["Measure"]) -> "pd.DataFrame":
    """Return by how much each measure of each region changed; without regions where nothing did."""
    titles = {measure.column: measure.title for measure in measures if measure.column in before}
    change = (now[list(titles)] - before.reindex(now.index)[list(titles)]).rename(columns=titles)
    return change[change.fillna(0).ne(0).any(axis=1)].rename_axis("region")


def _choose_regions(params: Params, regions: Sequence[str] | None) -> list[str]:
    known = ["all", *(region.code for region in params.regions)]
    if regions is None:
        return known
    asked = [unicodedata.normalize("NFC", code.strip()) for code in regions]
    if unknown := [code for code in asked if code not in known]:
        raise BatchError(
            f"region {unknown[0]!r} is not one of this programme; choose from {', '.join(known)}, "
            f"or add a file to {params.directory / 'regions'}"
        )
    if not asked:
        raise BatchError(f"no region is named; choose from {', '.join(known)}")
    return [code for code in known if code in asked]


def _read_question(notebook: Path) -> str:
    """Return the first heading of a notebook, the question that its page answers."""
    try:
        cells = json.loads(notebook.read_bytes())["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    except (ValueError, KeyError, TypeError):
        raise BatchError(f"{notebook}: is no notebook of format 4; save it from JupyterLab") from None
    heading = re.search(r"^# +(.+?)\s*$", "\n".join(texts), flags=re.MULTILINE)
    if heading is None:
        raise BatchError(f"{notebook}: has no title; begin it with a cell `# The question it answers`")
    return heading[1]


def _plain_parameters(params: Params) -> dict[str, Any]:
    """Return the parameters that a page depends on and may show: no machine paths, not how the batch runs."""
    plain = params.to_dict()
    for name in ("directory", "batch", "sources", "regions"):
        plain.pop(name)
    plain["programme"].pop("data_dir")
    return plain


def _flatten(values: dict[str, Any], at: str = "") -> dict[str, Any]:
    """Return settings by dotted key; tables of settings are left out."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{at}{name}.")
        elif not isinstance(value, list):
            flat[f"{at}{name}"] = value
        elif not any(isinstance(item, dict) for item in value):
            flat[f"{at}{name}"] = ", ".join(map(str, value))
    return flat


def _hash_package() -> str:
    package = Path(__file__).parent
    files = [path for path in sorted(package.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return hash_value([(str(path.relative_to(package)), hash_file(path)) for path in files])


def _read_versions() -> dict[str, str]:
    """Return the version of this package and of each that it asks for."""
    asked = [re.split(r"[^\w.-]", line)[0] for line in metadata.requires("partnerseg") or () if "extra ==" not in line]
    return {name: metadata.version(name) for name in sorted({"partnerseg", *asked})}


class _Progress:
    """Tell on standard error how far a run is: a bar on a terminal, a line a step elsewhere."""

    def __init__(self, wanted: bool) -> None:
        self.wanted, self.bar = wanted, wanted and sys.stderr.isatty()

    def say(self, text: str) -> None:
        if self.wanted:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def count(self, pages: Iterable[Finished], total: int) -> Iterator[Finished]:
        from tqdm import tqdm

        for number, page in enumerate(tqdm(pages, total=total, unit="page", disable=not self.bar), start=1):
            if not self.bar:
                self.say(f"page {number} of {total}: {page.task}{': failed' if page.failure else ''}")
            yield page
