import fcntl
import hashlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from partnerseg import edition
from partnerseg.edition import Finished, Staging, write_file

AS_OF = "2026-06-30"


def publish(reports, *, key, pages=("all/a.html",), failure=None):
    """Make and publish an edition whose pages hold their key."""
    staging = Staging(reports, AS_OF)
    tasks = []
    for page in pages:
        outputs = {page: write_file(staging.directory / page, key.encode() * 50_000)}
        staging.record(finished := Finished(page, f"{key}-{page}", outputs, failure or {}))
        tasks.append({"task": finished.task, "key": finished.key, "outputs": outputs, "failure": finished.failure})
    outputs = {name: sha for task in tasks for name, sha in task["outputs"].items()}
    staging.publish({"key": key * 12, "tasks": tasks, "outputs": outputs})
    return (reports / AS_OF).resolve()


def test_readers_always_find_a_whole_edition(tmp_path):
    publish(tmp_path, key="0")
    seen, stop = {"0"}, threading.Event()

    def read():
        while not stop.is_set():
            try:
                folder = (tmp_path / AS_OF).resolve()
                manifest = json.loads((folder / "manifest.json").read_bytes())
                whole = edition.is_intact(folder, manifest["outputs"])
            except OSError:
                whole = False
            seen.add(manifest["key"][0] if whole else "broken")

    reader = threading.Thread(target=read)
    reader.start()
    for key in "123456789":
        publish(tmp_path, key=key, pages=[f"{key}/{n}.html" for n in range(9)])
        while not seen & {key, "broken"}:
            time.sleep(0.001)  # until the reader has met it
    stop.set()
    reader.join()
    assert seen == set("0123456789")


def test_the_edition_before_is_kept_and_older_ones_go(tmp_path):
    folders = [publish(tmp_path, key=key) for key in "abc"]
    assert set((tmp_path / ".editions").iterdir()) == set(folders[1:])


def test_the_same_edition_again_gets_a_folder_of_its_own(tmp_path):
    first, second = publish(tmp_path, key="a"), publish(tmp_path, key="a")
    assert first != second
    assert (first / "manifest.json").read_bytes() == (second / "manifest.json").read_bytes()


def test_a_folder_of_another_make_is_replaced_and_kept_aside(tmp_path):
    (tmp_path / AS_OF).mkdir()
    (tmp_path / AS_OF / "index.html").write_text("old")
    publish(tmp_path, key="a")
    assert (tmp_path / AS_OF).is_symlink()
    assert [path.read_text() for path in (tmp_path / ".editions").glob("*before*/index.html")] == ["old"]


def test_what_is_not_in_the_manifest_is_not_published(tmp_path):
    staging = Staging(tmp_path, AS_OF)
    write_file(staging.directory / "old region" / "page.html", b"stale")
    (staging.directory / ".a.html.123.part").write_text("cut by a kill")
    folder = publish(tmp_path, key="a")
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) == ["all", "all/a.html", "manifest.json"]


def test_a_task_is_reused_from_the_journal_and_from_published_folders(tmp_path):
    staging = Staging(tmp_path, AS_OF)
    finished = Finished("all/a", "k", {"all/a.html": write_file(staging.directory / "all" / "a.html", b"page")}, {})
    staging.record(finished)
    assert Staging(tmp_path, AS_OF).reuse("k") == finished
    publish(tmp_path, key="b", pages=["all/b.html"])
    again = Staging(tmp_path, AS_OF)
    assert again.reuse("k") is None  # its file went with the edition that did not want it
    assert again.reuse("b-all/b.html").task == "all/b.html"
    assert (again.directory / "all" / "b.html").read_bytes() == b"b" * 50_000


def test_a_task_is_not_reused_when_its_file_changed_or_it_failed(tmp_path):
    folder = publish(tmp_path, key="a")
    (folder / "all" / "a.html").write_text("spoilt")
    assert Staging(tmp_path, AS_OF).reuse("a-all/a.html") is None
    publish(tmp_path, key="b", failure={"error": "no"})
    assert Staging(tmp_path, AS_OF).reuse("b-all/a.html") is None


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_journal_cut_anywhere_loses_only_its_last_line(tmp_path, cut):
    staging = Staging(tmp_path, AS_OF)
    for name in ("a", "b"):
        outputs = {name: write_file(staging.directory / name, name.encode())}
        staging.record(Finished(name, name, outputs, {}))
    staging.journal.write_bytes(staging.journal.read_bytes()[:-cut])
    again = Staging(tmp_path, AS_OF)
    assert again.reuse("a") and (again.reuse("b") is None or cut == 1)
    again.record(Finished("c", "c", {"a": hashlib.sha256(b"a").hexdigest()}, {}))
    assert Staging(tmp_path, AS_OF).reuse("c")


def test_a_kill_between_the_two_steps_of_publishing_loses_nothing(tmp_path, monkeypatch):
    old = publish(tmp_path, key="a")
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "replace", lambda *paths: os.rename(*paths) if str(paths[1]).endswith(("html", "json")) else 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            publish(tmp_path, key="b")
    assert (tmp_path / AS_OF).resolve() == old
    assert Staging(tmp_path, AS_OF).reuse("b-all/a.html")
    assert json.loads((publish(tmp_path, key="b") / "manifest.json").read_bytes())["key"][0] == "b"


def test_the_previous_edition_is_the_last_earlier_one_with_summaries(tmp_path):
    for as_of, name in (("2026-03-31", edition.SUMMARIES), ("2026-04-30", edition.SUMMARIES), ("2026-05-31", "else")):
        write_file(tmp_path / as_of / "manifest.json", json.dumps({"outputs": {name: ""}}).encode())
    assert edition.find_previous(tmp_path, AS_OF) == tmp_path / "2026-04-30"
    assert edition.find_previous(tmp_path, "2026-04-30") == tmp_path / "2026-03-31"
    assert edition.find_previous(tmp_path, "2026-03-31") is None


def test_a_second_run_stops_at_once_and_names_the_first(tmp_path):
    with (
        edition.lock_edition(tmp_path, AS_OF),
        pytest.raises(edition.EditionBusy, match=rf"process {os.getpid()} on .* since \d{{4}}-"),
        edition.lock_edition(tmp_path, AS_OF),
    ):
        pass
    with edition.lock_edition(tmp_path, AS_OF), edition.lock_edition(tmp_path, "2026-07-31"):
        pass  # it was released, and another date is another edition


def test_a_run_waits_for_the_workers_of_a_killed_one(tmp_path):
    hold = (
        "import sys, time, pathlib; from partnerseg import edition;"
        "edition.hold_staging(pathlib.Path(sys.argv[1])); print(flush=True); time.sleep(1)"
    )
    staging = Staging(tmp_path, AS_OF).directory
    worker = subprocess.Popen([sys.executable, "-c", hold, str(staging)], stdout=subprocess.PIPE)
    worker.stdout.readline()
    with open(staging.with_name(f"{AS_OF}.workers")) as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with edition.lock_edition(tmp_path, AS_OF):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    worker.communicate()
