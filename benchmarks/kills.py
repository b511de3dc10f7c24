"""SIGKILL at random moments of a run of the sample programme, each followed by a restart: is anything lost or redone?

python benchmarks/kills.py [KILLS]    (20; the sample's raw files must be there: `make data/raw/sample/partners.csv`)

Printed: how often it was killed and where, whether readers ever saw half an edition, what was made twice, and
whether the manifest equals that of an undisturbed run. Exit code 0 when all is well.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from partnerseg import edition

ROOT = Path(__file__).parents[1]
AS_OF = "2026-06-30"


def make_home(home: Path) -> Path:
    """Make a programme of its own that reads the sample's raw files; return the folder of its parameters."""
    params = home / "params"
    for part in ("regions", "sources"):
        shutil.copytree(ROOT / "params" / part, params / part)
    (home / "data").mkdir()
    (home / "data" / "raw").symlink_to(ROOT / "data" / "raw")
    (params / "programme.yaml").write_text(
        f"extends: {os.path.relpath(ROOT / 'params' / 'programme.yaml', params)}\n"
        "programme: {data_dir: ../data}\nbatch: {reports_dir: ../reports}\n",
        encoding="utf-8",
    )
    return params


def start_run(params: Path) -> subprocess.Popen:
    """Start `partnerseg run` in a process of its own."""
    command = [sys.executable, "-m", "partnerseg.cli", "run", "--params", str(params)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def stamp_finished(home: Path) -> dict[str, int]:
    """Return the time of writing of everything that is finished: frozen steps, and the files of journaled tasks."""
    stamps = {}
    for path in home.glob("data/processed/models-*/[!.]*"):
        stamps[str(path.relative_to(home))] = path.stat().st_mtime_ns
    journal = home / "reports" / ".staging" / f"{AS_OF}.jsonl"
    for line in journal.read_bytes().splitlines() if journal.exists() else []:
        try:
            outputs = json.loads(line)["outputs"]
        except ValueError:
            continue  # cut by the kill: that task counts as not finished
        for name in outputs:
            path = home / "reports" / ".staging" / AS_OF / name
            stamps[name] = path.stat().st_mtime_ns if path.exists() else 0
    return stamps


def find_phase(home: Path) -> str:
    """Tell what a killed run was at."""
    models = list(home.glob("data/processed/models-*/complete.json"))
    steps = len(list(home.glob("data/processed/models-*/[!.]*")))
    pages = sum(name.endswith(".html") for name in stamp_finished(home))
    return f"pages {pages // 5 * 5}+" if models else f"step {steps + 1} of the programme pass"


def is_half(home: Path) -> bool:
    """Tell whether readers see an edition that is not whole."""
    published = home / "reports" / AS_OF
    return published.exists() and not edition.is_intact(
        published, edition.read_manifest(published).get("outputs", {"": ""})
    )


def main(kills: int) -> int:
    """Run the sample undisturbed and disturbed, and compare."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        params, begin = make_home(home), time.monotonic()
        if start_run(params).wait():
            raise SystemExit("the undisturbed run failed")
        duration = time.monotonic() - begin
        expected = (home / "reports" / AS_OF / "manifest.json").read_bytes()
        shutil.rmtree(home / "reports")
        shutil.rmtree(home / "data" / "processed")

        moments, done, halves, redone, phases = random.Random(20260630), 0, 0, 0, Counter()
        while True:
            before = stamp_finished(home)
            run = start_run(params)
            if done < kills:
                time.sleep(moments.uniform(0.2, 0.25 * duration))
                run.kill()
            _, told = run.communicate()
            if run.returncode not in (0, -signal.SIGKILL):
                raise SystemExit(told.decode())
            halves += is_half(home)
            if run.returncode == 0:
                break
            done += 1
            phases[find_phase(home)] += 1
            after = stamp_finished(home)
            redone += sum(after.get(name) != stamp for name, stamp in before.items())
        same = (home / "reports" / AS_OF / "manifest.json").read_bytes() == expected
        print(f"undisturbed: {duration:.0f} s; killed {done} times: {dict(phases)}")
        print(f"half editions seen: {halves}; finished parts made again: {redone}; manifest identical: {same}")
        return int(bool(halves or redone or not same))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
