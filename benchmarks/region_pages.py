"""CPU seconds of a region's pages, with the models frozen before: five kernels, five pages, one worker process.

python benchmarks/region_pages.py [PARAMS_DIR] [REGION]
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from partnerseg.batch import Plan
from partnerseg.pages import make_pages
from partnerseg.params import load_params
from partnerseg.programme_pass import open_models

BUDGET = 25.0  # seconds


def measure_pages(params_dir: str, region: str) -> float:
    """Make the region's pages in a temporary folder, print what they cost and return the CPU seconds."""
    params = load_params(params_dir)
    open_models(params)
    with tempfile.TemporaryDirectory() as folder:
        staging = Path(folder) / ".staging" / params.programme.as_of
        staging.mkdir(parents=True)
        pages = list(Plan(params, [region], Path(folder)).pages(staging))
        begin, before = time.perf_counter(), read_cpu()
        for finished in make_pages(pages, 1):
            error = f"  failed: {finished.failure['error']}" if finished.failure else ""
            size = (staging / f"{finished.task}.html").stat().st_size
            print(f"{finished.task:<24} {time.perf_counter() - begin:6.1f} s since the start, {size:>9,} bytes{error}")
        cpu, wall = read_cpu() - before, time.perf_counter() - begin
    print(f"{len(pages)} pages: {cpu:.1f} s of CPU (at most {BUDGET:g}), {wall:.1f} s in all")
    return cpu


def read_cpu() -> float:
    """Return the CPU seconds of all children that have ended; kernels are children of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    given = dict(zip(("params_dir", "region"), sys.argv[1:], strict=False))
    sys.exit(measure_pages(**({"params_dir": "params", "region": "north"} | given)) > BUDGET)
