"""Each run has a home and a temporary directory of its own, and none of the developer's settings.

They are in memory where there is enough, else inside the checkout: servers wait for a disk at each commit, checkpoint
and end, which takes half of the time of a test that starts some. No test takes the machine's power away, so nothing
that a server promises needs the disk.

Several runs may go on at once in one checkout, so the directory carries the process id. It is removed after a green
run; what a killed run left behind, the next run removes.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import tempfile
from pathlib import Path

import psutil
import pytest

from rdskit.local.engines.unpacked import cache_directory

CHECKOUT = Path(__file__).resolve().parents[2]
#: Where runs are without enough memory.
ON_DISK = CHECKOUT / ".pytest_tmp"
#: Where they are with it; ``make clean`` knows the name.
IN_MEMORY = Path(f"/dev/shm/rdskit-tests{str(CHECKOUT).replace('/', '-')}")  # noqa: S108 - looked at before its use
ENOUGH = 6 * 1024**3  # bytes: the servers of four workers at a time
#: In the environment of everything that this run starts: by it a left-over process is known.
MARK = "RDSKIT_TEST_RUN"
FOREIGN = ("AWS_", "PG", "MYSQL_", "RDSKIT_", "XDG_")
#: The one place outside the checkout: servers that are unpacked there once serve every run of this user.
SERVERS = cache_directory()


def run_directory() -> Path:
    """Return the directory of this run, which exists before pytest's own fixtures do."""
    return _runs() / str(os.getpid())


@functools.cache
def _runs() -> Path:
    return IN_MEMORY if _is_ours(IN_MEMORY) and _has_room(IN_MEMORY) else ON_DISK


def _is_ours(directory: Path) -> bool:
    """Return whether a directory, made where it is missing, belongs to this user: any user may write beside it."""
    try:
        directory.mkdir(exist_ok=True)
        return not directory.is_symlink() and directory.stat().st_uid == os.getuid()
    except OSError:  # this system has no such place, or another user's file is there
        return False


def _has_room(directory: Path) -> bool:
    """Return whether memory can take a run, whose tests start programs of their own there."""
    found = os.statvfs(directory)
    free = min(found.f_bavail * found.f_frsize, psutil.virtual_memory().available)
    return free >= ENOUGH and not found.f_flag & os.ST_NOEXEC


def remove_runs_of_the_dead() -> None:
    """Remove the directories of runs whose process is gone."""
    for directory in (each for runs in (ON_DISK, IN_MEMORY) if runs.is_dir() for each in runs.iterdir()):
        if not (directory.name.isdigit() and psutil.pid_exists(int(directory.name))):
            shutil.rmtree(directory, ignore_errors=True)


def isolate_environment(directory: Path) -> None:
    """Point home and temporary files into the run's directory, and forget the developer's AWS and database settings."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    for name, folder in (("HOME", "home"), ("TMPDIR", "tmp")):
        (directory / folder).mkdir()
        os.environ[name] = str(directory / folder)
    os.environ["XDG_CACHE_HOME"] = str(SERVERS.parent.parent)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ[MARK] = str(directory)
    tempfile.tempdir = None


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # A run that receives SIGTERM ends as with Ctrl-C: its fixtures stop the servers that they started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    remove_runs_of_the_dead()
    directory = run_directory()
    directory.mkdir(mode=0o700, parents=True)
    isolate_environment(directory)
    if config.option.basetemp is None:
        config.option.basetemp = str(directory / "pytest")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    if not any(run_directory().glob("pytest/*/*")):
        shutil.rmtree(run_directory(), ignore_errors=True)
