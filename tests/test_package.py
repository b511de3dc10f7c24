import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import partnerseg

ROOT = Path(__file__).parents[1]
# A host that serves packages, or a path of the machine on which something was written.
ADDRESS = re.compile(r"https?://(files|registry|index|pip|pypi|deb|security|conda|repo)\.[a-z.-]+|/(work|root|home)/")
HEAVY = {"pandas", "numpy", "sklearn", "numba", "umap", "hdbscan", "matplotlib", "duckdb", "ibis", "papermill", "scipy"}


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def test_import_loads_nothing_heavy():
    code = "import sys, partnerseg; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "partnerseg" in loaded
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize("name", partnerseg.__all__)
def test_every_public_noun_is_there(name):
    assert getattr(partnerseg, name) is not None


def test_unknown_noun_tells_the_known_ones():
    with pytest.raises(AttributeError, match="open_programme"):
        partnerseg.open_program  # noqa: B018


def test_rooms_do_not_import_each_other_and_imports_point_down():
    layers = ["params", "programme", "features", "room", "report", "models", "segment_results"]
    layers += ["results", "programme_pass", "edition", "execution", "pages", "hand_over", "batch", "cli"]
    rooms = {"segments", "rating", "journey", "effect"}
    same = {"rating_results": "segment_results", "journey_results": "segment_results"}
    package = ROOT / "src" / "partnerseg"
    seen = 0
    for path in package.rglob("*.py"):
        own = path.relative_to(package).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for other in re.findall(r"^\s*from partnerseg\.(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            seen += 1
            if own == other:
                continue
            assert not (own in rooms and other in rooms), f"{path}: the rooms never import each other"
            level = [layers.index("room" if name in rooms else same.get(name, name)) for name in (own, other)]
            assert level[0] > level[1], f"{path} imports {other}: imports point down only"
    assert seen > 10


def test_repository_names_no_package_host_and_no_machine():
    files = tracked_files()
    assert len(files) > 30
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if path == Path(__file__):
            continue
        found = ADDRESS.search(text)
        assert found is None, f"{path}: {found.group() if found else ''}"


def test_lock_holds_every_dependency_with_hashes():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = (
        project["project"]["dependencies"] + project["dependency-groups"]["dev"] + project["build-system"]["requires"]
    )
    for requirement in wanted:
        name = re.match(r"[\w-]+", requirement).group()
        assert re.search(rf"^{name}(\[[\w,]+\])?==\S+.*\\\n\s+--hash=sha256:", lock, re.MULTILINE), name


def test_environment_is_what_pyproject_says(tmp_path):
    command = [Path(sys.executable).parent / "pyproject2conda", "yaml", "--name", "partnerseg", "--group", "dev"]
    command += ["--python-include", "infer", "--no-header", "--output", tmp_path / "environment.yml"]
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True, capture_output=True)
    generated = (tmp_path / "environment.yml").read_text(encoding="utf-8")
    assert (ROOT / "environment.yml").read_text(encoding="utf-8") == generated, "run `make lock`"
