"""The suite's own rules bite: what a test leaves behind fails the run and is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.house.suite import run_suite

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.no_server


def test_a_tidy_suite_is_green_and_its_directory_is_gone(tmp_path: Path) -> None:
    done = run_suite(tmp_path, "import os\ndef test_it(tmp_path):\n    print('HOME', os.environ['HOME'])\n")
    assert done.returncode == 0, done.stdout


def test_a_worker_of_a_parallel_run_tells_its_breaches(tmp_path: Path) -> None:
    code = "import pathlib\ndef test_it():\n    pathlib.Path.home().joinpath('.leaked').write_text('x')\n"
    done = run_suite(tmp_path, code, "-n", "1")
    assert done.returncode == 1, done.stdout
    assert ".leaked" in done.stdout


def test_a_failed_test_whose_clean_up_never_ends_ends_the_run_and_is_named(tmp_path: Path) -> None:
    code = (
        "import asyncio\n"
        "async def test_it():\n"
        "    async def swallow():\n"
        "        while True:\n"
        "            try:\n"
        "                await asyncio.sleep(0.01)\n"
        "            except BaseException:\n"
        "                pass\n"
        "    swallowing = asyncio.create_task(swallow())\n"
        "    await asyncio.sleep(0.1)\n"
        "    assert False\n"
    )
    done = run_suite(tmp_path, code, "-n", "1", "--max-worker-restart", "0", "-o", "hang_timeout=2")
    assert done.returncode == 1, done.stdout
    assert "crashed while running" in done.stdout
    assert "_cancel_all_tasks" in done.stderr, done.stderr


LEFT_BEHIND = {
    "process": (
        "import subprocess, sys\n"
        "def test_it():\n"
        "    global left\n"
        "    forever = [sys.executable, '-c', 'import signal; signal.pause()']\n"
        "    left = subprocess.Popen(forever, start_new_session=True)\n"
    ),
    "file": "def test_it():\n    open('/tmp/rdskit-test-outside', 'w').close()\n",
    "home": "import pathlib\ndef test_it():\n    pathlib.Path.home().joinpath('.leaked').write_text('x')\n",
    "task": (
        "import asyncio\n"
        "async def test_it():\n"
        "    global left\n"
        "    left = asyncio.get_running_loop().create_task(asyncio.Event().wait(), name='forgotten')\n"
    ),
}


@pytest.fixture(scope="module")
def run_that_leaves(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Return a run in which each test leaves something of another kind behind."""
    try:
        return run_suite(tmp_path_factory.mktemp("leaves"), LEFT_BEHIND)
    finally:
        Path("/tmp/rdskit-test-outside").unlink(missing_ok=True)  # noqa: S108 - outside on purpose


@pytest.mark.parametrize(
    "words",
    [
        "was left behind",
        "a file outside the checkout was written: /tmp/rdskit-test-outside",
        ".leaked",
        "tasks were left running: ['forgotten",
    ],
    ids=LEFT_BEHIND,
)
def test_what_is_left_behind_fails_the_run(run_that_leaves: subprocess.CompletedProcess[str], words: str) -> None:
    assert run_that_leaves.returncode == 1, run_that_leaves.stdout
    assert words in run_that_leaves.stdout


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_a_skip_that_is_not_listed_fails_in_ci(tmp_path: Path, ci: str, status: int) -> None:
    done = run_suite(tmp_path, "import pytest\ndef test_it():\n    pytest.skip('no reason')\n", CI=ci)
    assert done.returncode == status, done.stdout
    assert "NOT RUN" in done.stdout


LOGIN = "from rdskit.kernel.ports import Login\nlogin = Login('app', 'S3cret-of-this-run')\n"
SHOWING = {
    "stdout": "def test_it():\n    print('using', login.password)\n",
    "log": "import logging\ndef test_it():\n    logging.getLogger('rdskit').warning('with %s', login.password)\n",
    "error": (
        "import pytest, rdskit\n"
        "def test_it():\n"
        "    with pytest.raises(rdskit.ConnectError):\n"
        "        raise rdskit.AuthenticationError(f'postgresql://app:{login.password}@db was refused')\n"
    ),
    "event": (
        "from rdskit.events import QueryFinished\n"
        "from rdskit.runtime.observers import Observers\n"
        "def test_it():\n"
        "    sql = f'alter role app password {login.password!r}'\n"
        "    Observers([print]).notify(QueryFinished(sql, 0.1, None))\n"
    ),
    "file": "def test_it(tmp_path):\n    (tmp_path / 'daemon.log').write_text(login.password)\n    assert 0\n",
}


@pytest.fixture(scope="module")
def run_that_shows(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Return a run in which each test shows a password at another place."""
    return run_suite(tmp_path_factory.mktemp("shows"), {name: LOGIN + code for name, code in SHOWING.items()})


@pytest.mark.parametrize(
    "place",
    [
        "test_stdout.py::test_it: a password or token is in captured stdout call",
        "test_log.py::test_it: a password or token is in captured log call",
        "test_error.py::test_it: a password or token is in the message of AuthenticationError",
        "test_event.py::test_it: a password or token is in an event of the class QueryFinished",
        "daemon.log",
    ],
    ids=SHOWING,
)
def test_a_secret_that_is_shown_fails_the_run(run_that_shows: subprocess.CompletedProcess[str], place: str) -> None:
    assert run_that_shows.returncode == 1, run_that_shows.stdout
    told = [line for line in run_that_shows.stdout.splitlines() if line.startswith("SHOWN")]
    assert place in "".join(told), run_that_shows.stdout
    assert "S3cret-of-this-run" not in "".join(told)


def test_secrets_that_are_used_and_not_shown_are_fine(tmp_path: Path) -> None:
    done = run_suite(tmp_path, LOGIN + "def test_it():\n    print(login)\n")
    assert done.returncode == 0, done.stdout
