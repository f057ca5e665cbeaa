"""Each run has a home and a temporary directory of its own inside the checkout, and none of the developer's settings.

Several runs may go on at once in one checkout, so the directory carries the process id. It is removed after a green
run; what a killed run left behind, the next run removes.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import psutil
import pytest

from rdskit.local.engines.unpacked import cache_directory

CHECKOUT = Path(__file__).resolve().parents[2]
RUNS = CHECKOUT / ".pytest_tmp"
#: In the environment of everything that this run starts: by it a left-over process is known.
MARK = "RDSKIT_TEST_RUN"
FOREIGN = ("AWS_", "PG", "MYSQL_", "RDSKIT_", "XDG_")
#: The one place outside the checkout: servers that are unpacked there once serve every run of this user.
SERVERS = cache_directory()


def run_directory() -> Path:
    """The directory of this run, known to whoever needs it before pytest's own fixtures exist."""
    return RUNS / str(os.getpid())


def remove_runs_of_the_dead() -> None:
    """Remove the directories of runs whose process is gone."""
    for directory in RUNS.iterdir() if RUNS.is_dir() else ():
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
    # A run that is told to end ends as with Ctrl-C: its fixtures stop the servers that they started.
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
