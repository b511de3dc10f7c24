"""SIGKILL at random moments, each followed by a restart. PARTNERSEG_KILLS sets how many (4)."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from partnerseg import edition
from tests.tiny import REPOSITORY, make_notebook, make_programme

AS_OF = "2026-06-30"
KILLS = int(os.environ.get("PARTNERSEG_KILLS", "4"))


def start(root, log, key="0"):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.tiny", "run", "--params", str(root / "params"), "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=REPOSITORY,
        env=os.environ | {"TINY_LOG": str(log), "TINY_KEY": key},
    )


def finish(process, allowed=(0,)):
    _, told = process.communicate(timeout=120)
    assert process.returncode in allowed, told.decode()


def find_processes(root):
    """Return ids of running processes whose working folder, command or environment names the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            folder = os.readlink(entry / "cwd")
        except OSError:
            continue
        if int(entry.name) != os.getpid() and (str(root).encode() in told or folder.startswith(str(root))):
            found.append(int(entry.name))
    return found


def read_journal(root):
    path = root / "reports" / ".staging" / f"{AS_OF}.jsonl"
    tasks = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            tasks.append(json.loads(line)["task"])
        except ValueError:
            continue
    return tasks


def read_log(log):
    return log.read_text(encoding="utf-8").split() if log.exists() else []


def read_published(root):
    """Return the manifest of what readers see now, after checking that the edition is whole."""
    published = root / "reports" / AS_OF
    manifest = json.loads((published / "manifest.json").read_bytes())
    assert edition.is_intact(published, manifest["outputs"])
    files = {str(path.relative_to(published)) for path in published.rglob("*") if path.is_file()}
    assert files == {*manifest["outputs"], "manifest.json"}
    return manifest


def publish_something(root):
    """Publish an edition that has nothing in common with those of the run."""
    staging = edition.Staging(root / "reports", AS_OF)
    outputs = {"index.html": edition.write_file(staging.directory / "index.html", b"the edition before")}
    staging.publish({"key": "before " * 2, "models": "before", "tasks": [], "outputs": outputs})


def test_killed_at_random_moments_and_started_again(tmp_path):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    for root in (undisturbed, disturbed):
        make_programme(root, regions=["Київ"])
    publish_something(disturbed)
    begin = time.monotonic()
    finish(start(undisturbed, undisturbed / "log"))
    duration = time.monotonic() - begin

    moments, kills, before, key = random.Random(20260630), 0, "before", 0
    while True:
        recorded, logged = set(read_journal(disturbed)), Counter(read_log(disturbed / "log"))
        process = start(disturbed, disturbed / "log", str(key))
        if kills < KILLS:
            time.sleep(moments.uniform(0.05, 1.1 * duration))
            process.kill()
        finish(process, allowed=(0, -signal.SIGKILL))
        kills += process.returncode != 0
        made_again = recorded & set(Counter(read_log(disturbed / "log")) - logged)
        assert not made_again, "the journal had them already"
        assert read_published(disturbed)["models"] in (before, f"tiny-{key}")
        if process.returncode == 0:
            assert read_published(disturbed)["models"] == f"tiny-{key}"
            assert read_journal(disturbed) == []
            if kills >= KILLS:
                break
            before, key = f"tiny-{key}", key + 1  # it came through: on to an edition of other models

    if key:
        finish(start(undisturbed, undisturbed / "log", str(key)))
    assert read_published(undisturbed) == read_published(disturbed)
    assert len({(root / "reports" / AS_OF / "manifest.json").read_bytes() for root in (undisturbed, disturbed)}) == 1


def test_no_process_outlives_a_killed_run(tmp_path):
    make_programme(tmp_path, regions=())
    make_notebook(tmp_path / "notebooks" / "02-second.ipynb", "import time\ntime.sleep(600)")
    process = start(tmp_path, tmp_path / "log")
    deadline = time.monotonic() + 60
    while "all/01-first" not in read_journal(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(find_processes(tmp_path)) > 2  # the run, its workers, the kernel that sleeps
    process.kill()
    process.wait()
    process.stderr.close()
    deadline = time.monotonic() + 5
    while find_processes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert find_processes(tmp_path) == []
