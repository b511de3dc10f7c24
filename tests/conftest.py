"""A PostgreSQL server for the tests that need one."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def as_postgres(command):
    """The server refuses to run as root: then its own user runs it."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


@pytest.fixture(scope="module")
def postgres():
    """A PostgreSQL server of its own; its connection string."""
    if not BINARIES:
        pytest.skip("no PostgreSQL server is installed in /usr/lib/postgresql: what needs a database is not tested")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("there is no user postgres to run the PostgreSQL server: what needs a database is not tested")
    binaries = BINARIES[-1].parent
    home = Path(tempfile.mkdtemp(prefix="pg"))
    if os.geteuid() == 0:
        shutil.chown(home, "postgres")
    control = str(binaries / "pg_ctl")
    run = {"check": True, "capture_output": True, "cwd": "/"}
    try:
        subprocess.run(
            as_postgres(
                [
                    str(binaries / "initdb"),
                    "-D",
                    f"{home}/data",
                    "-U",
                    "tester",
                    "-A",
                    "trust",
                    "-E",
                    "UTF8",
                    "--locale=C.UTF-8",
                ]
            ),
            **run,
        )
        options = f"-c listen_addresses='' -k {home} -c datestyle=german -c timezone=America/New_York -c fsync=off"
        subprocess.run(
            as_postgres([control, "-D", f"{home}/data", "-l", f"{home}/log", "-o", options, "-w", "start"]), **run
        )
        try:
            yield f"postgresql://tester@/postgres?host={home}"
        finally:
            subprocess.run(as_postgres([control, "-D", f"{home}/data", "-m", "immediate", "stop"]), **run)
    finally:
        shutil.rmtree(home, ignore_errors=True)
