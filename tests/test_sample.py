"""What a newcomer does: the README's commands and example, and the pages of the sample in a browser with no network."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from tests.browser import CHROMIUM, Browser, start_browser

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def run_command(command: str) -> str:
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def read_manifest(edition: Path) -> dict:
    return json.loads((edition / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def edition() -> Path:
    """The edition of the sample, made by the README's first command."""
    printed = run_command("make run")
    index = Path(re.findall(r"\S+index\.html", printed)[-1])
    assert index.is_file()
    return index.parent


def test_make_run_again_changes_nothing_and_executes_no_notebook(edition):
    before = read_manifest(edition)
    stamps = {path: path.stat().st_mtime_ns for path in edition.resolve().rglob("*") if path.is_file()}
    printed = run_command("make run")
    assert "index.html" in printed
    assert read_manifest(edition) == before
    assert {path: path.stat().st_mtime_ns for path in edition.resolve().rglob("*") if path.is_file()} == stamps


def test_commands_of_the_readme_run(edition):
    commands = [
        line.split("#")[0].strip()
        for block in re.findall(r"```sh\n(.*?)```", README, re.S)
        for line in block.splitlines()
    ]
    assert [command for command in commands if command.startswith("make")] == [
        "make run",
        "make test",
        "make lab",
        "make notebooks",
        "make lint",
    ]
    own = [command for command in commands if "partnerseg" in command]
    assert len(own) == 2
    for command in own:
        run_command(command.replace(".venv/bin/", f"{BIN}/"))
    for target in ("test", "lab", "notebooks", "lint"):
        run_command(f"make --dry-run {target}")


def test_example_of_the_readme_runs():
    (example,) = re.findall(r"```python\n(.*?)```", README, re.S)
    done = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "score" in done.stdout


def test_region_tables_equal_the_programme_bit_for_bit(edition):
    whole = pd.read_parquet(edition / "all" / "tables" / "partners.parquet")
    regions = [path for path in edition.iterdir() if (path / "tables").is_dir() and path.name != "all"]
    assert len(regions) == 4
    seen = 0
    for path in regions:
        part = pd.read_parquet(path / "tables" / "partners.parquet")
        pd.testing.assert_frame_equal(part, whole.loc[part.index], check_exact=True)
        seen += len(part)
    assert seen == len(whole) == 2000


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with start_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def test_the_browser_tells_of_requests_and_errors(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<img src='http://example.invalid/x.png'><script>undefined_name()</script>", encoding="utf-8")
    visit = browser.open(page)
    assert visit.asked == ["http://example.invalid/x.png"]
    assert "undefined_name" in " ".join(visit.console)


def test_every_page_opens_offline_without_requests_or_errors(edition, browser):
    pages = sorted(edition.resolve().rglob("*.html"))
    assert len(pages) == 1 + 5 * 5
    figures = 0
    for page in pages:
        source = page.read_text(encoding="utf-8")
        visit = browser.open(page)
        assert not visit.asked, f"{page}: {visit.asked}"
        assert not visit.console, f"{page}: {visit.console}"
        drawings = len(re.findall(r"<svg[^>]*role=.img.", source))
        assert drawings == source.count("<svg") == visit.drawings
        figures += drawings
        for link in re.findall(r'href="([^"#:]+)(?:#[^"]*)?"', source):
            assert (page.parent / unquote(link)).exists(), f"{page}: {link}"
    assert figures > 100


@pytest.mark.parametrize("name", ["index", "all/02-segments", "north/04-journey", "Київ/05-effect"])
def test_pages_fit_a_phone(edition, browser, name):
    assert browser.open(edition.resolve() / f"{name}.html", width=320).width <= 320
