"""An edition on disk: who makes it, what of it is finished, how it is published.

reports/2026-06-30            what readers open: a link to the published folder
reports/.editions/            published folders, never changed afterwards
reports/.staging/2026-06-30/  the edition that is being made, and beside it its journal:
                              one line a finished task
reports/.lock-2026-06-30      who makes it
"""

import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
SUMMARIES = "tables/regions.parquet"


class EditionBusy(RuntimeError):
    """Somebody else makes this edition now; the message names who."""


@dataclass(frozen=True)
class Finished:
    """A finished task of an edition, as a line of the journal and as an entry of the manifest.

    Attributes:
        task: What was made, as `north/02-segments`.
        key: Hash of everything that the task depends on.
        outputs: SHA-256 of every file made, by its path inside the edition.
        failure: Empty when all went well; otherwise `cell`, `error` and `message`, all text.
    """

    task: str
    key: str
    outputs: dict[str, str]
    failure: dict[str, str]


def hash_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal text.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "empty"
        >>> _ = path.write_bytes(b"")
        >>> hash_file(path)[:12]
        'e3b0c44298fc'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_value(value: Any) -> str:
    """Return the SHA-256 of plain data (dicts, lists, text, numbers); the order of keys does not matter.

    Example:
        >>> hash_value({"a": 1, "b": 2}) == hash_value({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_file(path: Path, content: bytes) -> str:
    """Write a file so that nobody ever sees a part of it, and return its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(part, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    return hashlib.sha256(content).hexdigest()


@contextmanager
def lock_edition(reports: Path, as_of: str) -> Iterator[None]:
    """Hold the edition of a date for one run; the lock ends with the process, however it ends.

    Raises:
        EditionBusy: Another run holds it.
    """
    reports.mkdir(parents=True, exist_ok=True)
    with open(reports / f".lock-{as_of}", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read() or "another run"
            raise EditionBusy(
                f"the edition of {as_of} in {reports} is being made by {holder}; wait until it ends, or stop it"
            ) from None
        file.truncate(0)
        start = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {start}")
        file.flush()
        _wait_for_orphans(reports / ".staging" / as_of)
        yield


def hold_staging(staging: Path) -> None:
    """Show, as long as this worker process lives, that it writes into the staging folder."""
    descriptor = os.open(staging.with_name(f"{staging.name}.workers"), os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def _wait_for_orphans(staging: Path) -> None:
    """Wait until the workers of a run that was killed are gone too: they must not write into this one."""
    path = staging.with_name(f"{staging.name}.workers")
    path.parent.mkdir(exist_ok=True)
    with open(path, "a") as file:
        for _ in range(600):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.1)
    raise EditionBusy(f"{path}: processes of a stopped run still hold it; end them, then run again")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of an edition's folder; empty when there is none that can be read."""
    try:
        return json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}


def is_intact(folder: Path, outputs: dict[str, str]) -> bool:
    """Tell whether every output is in the folder, with its hash."""
    return all((folder / name).is_file() and hash_file(folder / name) == sha for name, sha in outputs.items())


def find_previous(reports: Path, as_of: str) -> Path | None:
    """Return the latest published edition of an earlier date that has summaries of its regions.

    Editions of the same date do not count: making one again must give the same index.
    """
    for folder in sorted(reports.glob("[0-9]*-[0-9]*-[0-9]*"), reverse=True):
        if folder.name < as_of and SUMMARIES in read_manifest(folder).get("outputs", {}):
            return folder
    return None


class Staging:
    """The edition of a date that is being made. Only one process, the holder of the lock, may have one.

    Args:
        reports: Folder of the editions.
        as_of: Date of the edition.
    """

    def __init__(self, reports: Path, as_of: str) -> None:
        self.reports, self.as_of = reports, as_of
        self.editions = reports / ".editions"
        self.directory = reports / ".staging" / as_of
        self.journal = reports / ".staging" / f"{as_of}.jsonl"
        self.editions.mkdir(parents=True, exist_ok=True)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._finished: dict[str, list[tuple[Path, Finished]]] = {}
        self._read_finished()

    def _read_finished(self) -> None:
        """Note what this run need not do again: from the journal and from published folders of the date."""
        lines = self.journal.read_bytes() if self.journal.exists() else b""
        if lines and not lines.endswith(b"\n"):
            self._append(b"\n")  # the line was cut by a kill: it stays, and counts for nothing
        for line in lines.splitlines():
            try:
                self._note(self.directory, json.loads(line))
            except ValueError:
                continue
        for folder in self.editions.glob(f"{self.as_of}-*"):
            for entry in read_manifest(folder).get("tasks", []):
                self._note(folder, entry)

    def _note(self, folder: Path, entry: dict[str, Any]) -> None:
        finished = Finished(**entry)
        self._finished.setdefault(finished.key, []).append((folder, finished))

    def _append(self, line: bytes) -> None:
        with open(self.journal, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def reuse(self, key: str) -> Finished | None:
        """Return the task of this key if it has succeeded before and its files are intact, now in staging."""
        for folder, finished in self._finished.get(key, []):
            if finished.failure or not is_intact(folder, finished.outputs):
                continue
            if folder != self.directory:
                for name in finished.outputs:
                    _link_file(folder / name, self.directory / name)
            return finished
        return None

    def record(self, finished: Finished) -> None:
        """Write to the journal that a task is finished; its files are in staging."""
        self._append(json.dumps(asdict(finished), ensure_ascii=False).encode() + b"\n")

    def publish(self, manifest: dict[str, Any]) -> Path:
        """Make the staged edition the one that readers open, in one step, and return its path.

        The folder that was published before is kept beside it; older ones of the same date go.

        Args:
            manifest: What the edition is made of; `outputs` (hash by path) are all files that stay.
        """
        for path in sorted(self.directory.rglob("*"), reverse=True):
            if path.is_dir():
                _remove_if_empty(path)
            elif str(path.relative_to(self.directory)) not in manifest["outputs"]:
                path.unlink()
        content = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        write_file(self.directory / MANIFEST, content)
        published = self.reports / self.as_of
        previous = published.resolve()
        target = self._free_folder(manifest["key"][:12])
        os.rename(self.directory, target)
        if published.is_dir() and not published.is_symlink():  # not made here: it moves aside
            previous = self._free_folder("before")
            os.rename(published, previous)
        link = self.editions / f".link-{self.as_of}"
        link.unlink(missing_ok=True)
        link.symlink_to(target.relative_to(self.reports))
        os.replace(link, published)
        self.journal.unlink(missing_ok=True)
        for folder in self.editions.glob(f"{self.as_of}-*"):
            if folder != target and folder.resolve() != previous.resolve():
                shutil.rmtree(folder)
        return published

    def _free_folder(self, name: str) -> Path:
        names = (f"{self.as_of}-{name}{f'-{n}' if n else ''}" for n in range(10_000))
        return next(self.editions / free for free in names if not (self.editions / free).exists())


def _link_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
