"""What a newcomer does: the README's commands and example, and the pages of the sample in a browser with no network."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
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
        "make lint",
    ]
    own = [command for command in commands if "partnerseg" in command]
    assert len(own) == 2
    for command in own:
        run_command(command.replace(".venv/bin/", f"{BIN}/"))
    for target in ("test", "lab", "lint"):
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


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_every_page_opens_offline_without_requests_or_errors(edition, tmp_path):
    pages = sorted(edition.resolve().rglob("*.html"))
    assert len(pages) == 1 + 5 * 5
    figures = 0
    for number, page in enumerate(pages):
        log, profile = tmp_path / f"{number}.json", tmp_path / f"profile{number}"
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        command += ["--disable-component-update", "--disable-sync", "--no-first-run", "--enable-logging=stderr"]
        command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", f"--log-net-log={log}"]
        done = subprocess.run(
            [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120, check=True
        )
        assert "CONSOLE" not in done.stderr, f"{page}: {done.stderr}"
        asked = re.findall(r'"url":"(?:https?|wss?)://[^"]*"', log.read_text(encoding="utf-8", errors="replace"))
        assert not asked, f"{page}: {asked}"
        source = page.read_text(encoding="utf-8")
        for text in (source, done.stdout):
            assert text.count("<svg") == source.count("<svg")
            assert len(re.findall(r"<svg[^>]*role=.img.", text)) == source.count("<svg")
        figures += source.count("<svg")
        for link in re.findall(r'href="([^"#:]+)(?:#[^"]*)?"', source):
            from urllib.parse import unquote

            assert (page.parent / unquote(link)).exists(), f"{page}: {link}"
    assert figures > 100
