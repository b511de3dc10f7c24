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
from tests.tiny import REPOSITORY, make_programme

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


def finish(process):
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told.decode()


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


def check_whole(root, keys):
    """Check that what readers see is one of these editions, whole."""
    published = root / "reports" / AS_OF
    manifest = json.loads((published / "manifest.json").read_bytes())
    assert manifest["key"] in keys
    assert edition.is_intact(published, manifest["outputs"])
    files = {str(path.relative_to(published)) for path in published.rglob("*") if path.is_file()}
    assert files == {*manifest["outputs"], "manifest.json"}
    return manifest["key"]


def test_killed_at_random_moments_and_started_again(tmp_path):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    for root in (undisturbed, disturbed):
        make_programme(root)
        finish(start(root, root / "first.log"))
    begin = time.monotonic()
    finish(start(undisturbed, undisturbed / "log", key="1"))
    duration = time.monotonic() - begin
    old, new = (
        json.loads((root / "reports" / AS_OF / "manifest.json").read_bytes())["key"]
        for root in (disturbed, undisturbed)
    )
    assert old != new

    moments = random.Random(20260630)
    runs, round_number, killed = 0, 0, 0
    while killed < KILLS:
        round_number += 1  # an edition that is complete makes way for the next key
        key, log = str(round_number), disturbed / f"log-{round_number}"
        seen = {old}
        while killed < KILLS:
            recorded, logged = set(read_journal(disturbed)), Counter(read_log(log))
            process = start(disturbed, log, key)
            runs += 1
            time.sleep(moments.uniform(0.05, 1.1 * duration))
            process.send_signal(signal.SIGKILL)
            finished_first = process.wait() == 0
            process.stderr.close()
            again = Counter(read_log(log)) - logged
            assert not recorded & set(again), "a page was made again that the journal had"
            manifest = json.loads((disturbed / "reports" / AS_OF / "manifest.json").read_bytes())
            check_whole(disturbed, {*seen, manifest["key"]} if manifest["models"] == f"tiny-{key}" else seen)
            if finished_first:
                break
            killed += 1
        recorded, logged = set(read_journal(disturbed)), Counter(read_log(log))
        finish(start(disturbed, log, key))
        assert not recorded & set(Counter(read_log(log)) - logged)
        manifest = json.loads((disturbed / "reports" / AS_OF / "manifest.json").read_bytes())
        assert manifest["models"] == f"tiny-{key}"
        old = check_whole(disturbed, {manifest["key"]})

    finish(start(undisturbed, undisturbed / "log", key=key))
    equal = [(root / "reports" / AS_OF / "manifest.json").read_bytes() for root in (undisturbed, disturbed)]
    assert equal[0] == equal[1]
    assert read_journal(disturbed) == []


def test_no_process_outlives_a_killed_run(tmp_path):
    make_programme(tmp_path)
    process = start(tmp_path, tmp_path / "log")
    deadline = time.monotonic() + 60
    while len(read_journal(tmp_path)) < 5 and time.monotonic() < deadline:  # four tables, then pages are under way
        time.sleep(0.02)
    assert len(find_processes(tmp_path)) > 2
    process.kill()
    process.wait()
    process.stderr.close()
    deadline = time.monotonic() + 5
    while find_processes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert find_processes(tmp_path) == []
