import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from partnerseg import batch, edition
from tests import tiny
from tests.tiny import CALCULATE, REGIONS, make_notebook, make_programme

AS_OF = "2026-06-30"


@pytest.fixture
def programme(tmp_path, monkeypatch):
    """A tiny programme with a single region, and a log of the notebooks that were run to their end."""
    tiny.install_models(monkeypatch.setattr)
    monkeypatch.setenv("TINY_LOG", str(tmp_path / "log"))
    return make_programme(tmp_path, regions=REGIONS[1:])


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """An edition of the tiny programme that nobody changes."""
    root = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        tiny.install_models(patch.setattr)
        batch.run(make_programme(root), progress=False)
    return root / "reports" / AS_OF


def read_log(root):
    path = root / "log"
    return sorted(path.read_text(encoding="utf-8").split()) if path.exists() else []


def manifest(root):
    return json.loads((root / "reports" / AS_OF / "manifest.json").read_bytes())


def test_edition_has_every_page_table_and_an_index(published):
    files = {str(path.relative_to(published)) for path in published.rglob("*") if path.is_file()}
    pages = {
        f"{code}/{stem}.{kind}"
        for code in ("all", *REGIONS)
        for stem in ("01-first", "02-second")
        for kind in ("html", "ipynb")
    }
    names = [f"{name}.{kind}" for name in ("partners", "plan") for kind in ("parquet", "csv")]
    tables = {f"{code}/tables/{name}" for code in ("all", *REGIONS) for name in names}
    assert files == pages | tables | {"tables/regions.parquet", "tables/regions.csv", "index.html", "manifest.json"}


def test_edition_is_a_link_to_a_folder_beside_it(published):
    assert published.is_symlink()
    assert not Path(os.readlink(published)).is_absolute()
    assert [path.name for path in (published.parent / ".staging").iterdir()] == [f"{AS_OF}.workers"]


def test_links_between_pages_lead_somewhere(published):
    for page in published.rglob("*.html"):
        for href in re.findall(r'href="([^"#:]+)"', page.read_text(encoding="utf-8")):
            assert (page.parent / unquote(href)).exists(), (page, href)


def test_manifest_names_every_file_and_no_machine(published):
    content = json.loads((published / "manifest.json").read_bytes())
    files = {str(path.relative_to(published)) for path in published.rglob("*") if path.is_file()}
    assert set(content["outputs"]) == files - {"manifest.json"}
    assert edition.is_intact(published, content["outputs"])
    text = json.dumps(content)
    assert sys.prefix not in text and str(published.parent) not in text and str(tiny.REPOSITORY) not in text
    assert content["seeds"] == {"rating.random_state": 0, "segments.random_state": 0}
    assert {"inputs", "package", "environment", "parameters", "notebooks", "models"} <= set(content)


def test_two_programmes_that_are_equal_give_equal_bytes(published, tmp_path, monkeypatch):
    tiny.install_models(monkeypatch.setattr)
    batch.run(make_programme(tmp_path / "elsewhere"), jobs=1, progress=False)
    assert (tmp_path / "elsewhere" / "reports" / AS_OF / "manifest.json").read_bytes() == (
        published / "manifest.json"
    ).read_bytes()


def test_region_tables_are_the_programme_rows_bit_for_bit(published):
    whole = pd.read_parquet(published / "all" / "tables" / "partners.parquet")
    for region in REGIONS:
        own = pd.read_parquet(published / region / "tables" / "partners.parquet")
        pd.testing.assert_frame_equal(own, whole[whole["region"] == region], check_exact=True)
        text = pd.read_csv(
            published / region / "tables" / "partners.csv", dtype={"partner_id": str}, keep_default_na=False
        )
        assert [float(score or "nan").hex() for score in text["score"]] == [score.hex() for score in own["score"]]


def test_csv_holds_no_formula():
    frame = pd.DataFrame({"name": ["=1+1", "+1", "-1", "@a", "\tb", "＝2", "plain", None], "gain": [-1.5] * 8})
    lines = batch.encode_csv(frame.rename_axis("row")).decode("utf-8-sig").splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == ["'=1+1", "'+1", "'-1", "'@a", "'\tb", "'＝2", "plain", ""]
    assert {line.split(",")[2] for line in lines[1:]} == {"-1.5"}


def test_a_second_run_with_nothing_changed_executes_nothing(programme, tmp_path):
    first = batch.run(programme, regions=["Київ"], progress=False)
    assert read_log(tmp_path) == ["Київ/01-first", "Київ/02-second"]
    folder = first.index.parent.resolve()
    second = batch.run(programme, regions=["Київ"], progress=False)
    assert second == batch.RunResult(first.index, (), ())
    assert read_log(tmp_path) == ["Київ/01-first", "Київ/02-second"]
    assert first.index.parent.resolve() == folder


def test_only_what_changed_is_made_again(programme, tmp_path):
    batch.run(programme, regions=["Київ"], progress=False)
    make_notebook(tmp_path / "notebooks" / "02-second.ipynb", CALCULATE, "3", title="What comes second?")
    (tmp_path / "log").unlink()
    result = batch.run(programme, regions=["Київ"], progress=False)
    assert read_log(tmp_path) == ["Київ/02-second"]
    assert result.made == ("Київ/02-second",)


def test_a_page_that_somebody_changed_is_made_again(programme, tmp_path):
    index = batch.run(programme, regions=["Київ"], progress=False).index
    page = index.parent / "Київ" / "01-first.html"
    good = page.read_bytes()
    page.write_text("spoilt")
    assert batch.run(programme, regions=["Київ"], progress=False).made == ("Київ/01-first",)
    assert page.read_bytes() == good


def test_one_failure_leaves_the_other_pages_alone_and_is_told(programme, tmp_path):
    batch.run(programme, progress=False)  # a good page that a failed one must not show
    (tmp_path / "log").unlink()
    broken = "if region != 'all':\n    raise KeyError('no such stage <b>' + params_dir)"
    make_notebook(tmp_path / "notebooks" / "02-second.ipynb", CALCULATE, broken, title="What comes second?")
    result = batch.run(programme, progress=False)
    assert [page.task for page in result.failures] == ["Київ/02-second"]
    assert read_log(tmp_path) == ["all/02-second"]
    index = result.index.read_text(encoding="utf-8")
    assert "In [4]" in index and "no such stage &lt;b&gt;" in index
    page = (result.index.parent / "Київ" / "02-second.html").read_text(encoding="utf-8")
    assert "This page could not be made." in page and "no such stage" in page
    assert manifest(tmp_path)["failed"] == ["Київ/02-second"]

    assert batch.run(programme, progress=False).made == ("Київ/02-second",)  # only what failed is tried again


def test_a_dead_kernel_and_an_endless_cell_fail_their_own_pages(tmp_path, monkeypatch):
    tiny.install_models(monkeypatch.setattr)
    params = make_programme(tmp_path, regions=(), cell_timeout=2)
    make_notebook(tmp_path / "notebooks" / "02-second.ipynb", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    make_notebook(tmp_path / "notebooks" / "03-third.ipynb", "import time\ntime.sleep(600)")
    result = batch.run(params, progress=False)
    failures = {page.task: (page.failure["cell"], page.failure["error"]) for page in result.failures}
    assert failures == {
        "all/02-second": ("In [3]", "the kernel died, perhaps for want of memory"),
        "all/03-third": ("In [3]", "the cell took longer than 2 seconds (batch.cell_timeout)"),
    }
    assert "What comes first?" in (result.index.parent / "all" / "01-first.html").read_text(encoding="utf-8")


def test_a_worker_that_dies_fails_only_its_own_page(programme, tmp_path):
    kill = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"
    make_notebook(tmp_path / "notebooks" / "02-second.ipynb", kill, title="What comes second?")
    result = batch.run(programme, regions=["Київ"], progress=False)
    assert [page.task for page in result.failures] == ["Київ/02-second"]
    assert "Київ/01-first" in read_log(tmp_path)


def test_a_notebook_without_a_parameter_is_an_error_before_anything_runs(programme, tmp_path):
    make_notebook(tmp_path / "notebooks" / "02-second.ipynb", parameters='region = "all"\nas_of = ""')
    with pytest.raises(ValueError, match=r"02-second\.ipynb: does not declare params_dir.*declares region, as_of"):
        batch.run(programme, progress=False)
    assert read_log(tmp_path) == []


def test_only_text_and_numbers_reach_papermill(tmp_path):
    from partnerseg.execution import check_parameters

    notebook = tmp_path / "a.ipynb"
    make_notebook(notebook)
    for bad in ({"region": ["x"]}, {"region": None}, {"region\nimport os": "x"}, {"region": True}):
        with pytest.raises(ValueError, match="must be a plain name with text or a number"):
            check_parameters(notebook, bad)


def test_a_region_code_is_text_whatever_it_holds(tmp_path, monkeypatch):
    tiny.install_models(monkeypatch.setattr)
    monkeypatch.setenv("TINY_LOG", str(tmp_path / "log"))
    batch.run(make_programme(tmp_path / "{braces}", regions=["NO"]), regions=["NO"], progress=False)
    assert read_log(tmp_path) == ["NO/01-first", "NO/02-second"]


@pytest.mark.parametrize(
    ("regions", "message"),
    [(["nord"], "region 'nord' is not one of this programme; choose from all, Київ"), ([], "no region is named")],
)
def test_unknown_regions_are_refused(programme, regions, message):
    with pytest.raises(batch.BatchError, match=message):
        batch.run(programme, regions=regions, progress=False)


def test_output_that_differs_between_equal_runs_is_taken_out(tmp_path):
    from nbformat import v4

    from partnerseg.execution import normalize_notebook

    def executed(minute, cuts):
        text = "one\ntwo\n"
        streams = [v4.new_output("stream", text=text[:cuts]), v4.new_output("stream", text=text[cuts:])]
        noise = v4.new_output("stream", name="stderr", text=f"warning at {minute}")
        plain = {"text/plain": f"<object at 0x7f0000{minute}0>"}
        value = v4.new_output("execute_result", data=plain, execution_count=1)
        cell = v4.new_code_cell("1", outputs=[streams[0], noise, streams[1], value], execution_count=1)
        cell.metadata["papermill"] = {"start_time": minute}
        cell.metadata["execution"] = {"iopub.status.busy": minute}
        return v4.new_notebook(cells=[cell], metadata={"papermill": {"duration": minute}})

    first, second = normalize_notebook(executed("1234", 2)), normalize_notebook(executed("5678", 5))
    assert first == second
    assert [output.get("text") for output in first.cells[0].outputs] == ["one\ntwo\n", None]
    assert first.cells[0].execution_count == 1


def test_the_index_compares_with_the_last_earlier_date(programme):
    first = batch.run(programme, regions=["all"], progress=False)
    assert "This is the first edition" in first.index.read_text(encoding="utf-8")
    same = batch.run(programme, regions=["all"], as_of="2026-07-31", progress=False)
    assert "Nothing changed since the last edition" in same.index.read_text(encoding="utf-8")


def test_changes_are_differences_of_regions_that_changed():
    from partnerseg.report.html import Measure

    before = pd.DataFrame({"partners": [3, 2], "old": [1, 1]}, index=["all", "north"])
    now = pd.DataFrame({"partners": [10, 2, 5], "score": [50.0, 60.0, 70.0]}, index=["all", "north", "new"])
    changes = batch._compare_summaries(before, now, [Measure("score", "Score"), Measure("partners", "Partners")])
    assert changes.to_dict() == {"Partners": {"all": 7.0}}


def test_a_run_of_an_edition_in_work_stops_at_once(programme, tmp_path):
    with edition.lock_edition(tmp_path / "reports", AS_OF), pytest.raises(edition.EditionBusy):
        batch.run(programme, progress=False)
    assert read_log(tmp_path) == []
