import subprocess
import sys
import time

import pytest

from partnerseg import cli, edition
from tests import tiny
from tests.tiny import make_notebook, make_programme

AS_OF = "2026-06-30"


def test_run_tells_where_the_edition_is_and_what_to_do_next(tmp_path, monkeypatch, capsys):
    tiny.install_models(monkeypatch.setattr)
    params = make_programme(tmp_path)
    command = ["run", "--params", str(params), "--regions", "Київ,all", "--jobs", "2", "--as-of", "2026-05-31"]
    assert cli.main([*command, "--out", str(tmp_path / "elsewhere")]) == 0
    told, progress = capsys.readouterr()
    assert str(tmp_path / "elsewhere" / "2026-05-31" / "index.html") in told
    assert "partnerseg check" in told and "JupyterLab" in told
    assert "page 4 of 4" in progress
    assert not (tmp_path / "elsewhere" / "2026-05-31" / "north").exists()

    assert cli.main([*command, "--out", str(tmp_path / "elsewhere")]) == 0
    assert "Nothing changed" in capsys.readouterr().out

    make_notebook(tmp_path / "notebooks" / "02-second.ipynb", "1 / 0", title="What comes second?")
    assert cli.main([*command, "--out", str(tmp_path / "elsewhere")]) == 1
    assert "failed: Київ/02-second: In [3]: ZeroDivisionError: division by zero" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--regions", "nord"], "region 'nord' is not one of this programme"),
        (["--as-of", "June"], "'June' must be a date as YYYY-MM-DD"),
        (["--jobs", "0"], "jobs is 0, must be at least 1"),
        (["--params", "nowhere"], "nowhere/programme.yaml: there is no such file"),
    ],
)
def test_wrong_use_is_a_sentence_without_traceback(tmp_path, monkeypatch, capsys, words, message):
    tiny.install_models(monkeypatch.setattr)
    assert cli.main(["run", "--params", str(make_programme(tmp_path)), *words]) == 2
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told


def test_an_error_of_another_package_keeps_its_traceback(tmp_path, monkeypatch):
    tiny.install_models(monkeypatch.setattr)
    monkeypatch.setattr("partnerseg.programme_pass.open_models", lambda params, progress=None: int("bug"))
    with pytest.raises(ValueError, match="bug"):
        cli.main(["run", "--params", str(make_programme(tmp_path))])


def test_a_second_run_exits_with_75(tmp_path, monkeypatch, capsys):
    tiny.install_models(monkeypatch.setattr)
    params = make_programme(tmp_path)
    with edition.lock_edition(tmp_path / "reports", AS_OF):
        assert cli.main(["run", "--params", str(params)]) == 75
    assert "is being made by process" in capsys.readouterr().err


def test_ctrl_c_stops_at_once_and_leaves_no_process(tmp_path):
    import signal

    from tests.test_kill import find_processes

    params = make_programme(tmp_path, regions=())
    make_notebook(tmp_path / "notebooks" / "02-second.ipynb", "import time\ntime.sleep(600)")
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.tiny", "run", "--params", str(params)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tiny.REPOSITORY,
    )
    while "page 1 of 2" not in (line := run.stderr.readline()):
        assert line, "it ended before its first page"
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=20) == 130
    told = run.stderr.read()
    assert "the same command goes on where it stopped" in told and "Traceback" not in told
    deadline = time.monotonic() + 10
    while find_processes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert find_processes(tmp_path) == []


def test_the_command_starts_light():
    heavy = ["papermill", "nbclient", "pandas", "numpy", "matplotlib", "sklearn", "umap", "hdbscan", "duckdb", "ibis"]
    code = f"import sys, partnerseg.cli; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_simulate_then_check(tmp_path, capsys):
    assert cli.main(["simulate", str(tmp_path / "raw"), "--partners", "120", "--seed", "3"]) == 0
    assert "120 partners" in capsys.readouterr().out
    assert any((tmp_path / "raw").rglob("*.csv"))


@pytest.mark.parametrize("words", [[], ["run"], ["fly"], ["run", "--params", "x", "--jobs", "two"]])
def test_wrong_words_exit_with_2(words, capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(words)
    assert exit_info.value.code == 2
    assert "usage: partnerseg" in capsys.readouterr().err
