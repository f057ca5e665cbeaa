"""The suite's own rules bite: what a test leaves behind fails the run and is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = [
    f"tests.plugins.{name}"
    for name in ("hangs", "isolation", "breaches", "confidentiality", "leftovers", "skips", "tasks")
]


def run_suite(folder: Path, code: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one test file under the rules, as a suite of its own."""
    (folder / "test_inner.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += [word for plugin in PLUGINS for word in ("-p", plugin)] + ["-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *options, str(folder / "test_inner.py")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_tidy_suite_is_green_and_its_directory_is_gone(tmp_path: Path) -> None:
    done = run_suite(tmp_path, "import os\ndef test_it(tmp_path):\n    print('HOME', os.environ['HOME'])\n")
    assert done.returncode == 0, done.stdout


def test_a_worker_of_a_parallel_run_tells_its_breaches(tmp_path: Path) -> None:
    code = "import pathlib\ndef test_it():\n    pathlib.Path.home().joinpath('.leaked').write_text('x')\n"
    done = run_suite(tmp_path, code, "-n", "2")
    assert done.returncode == 1, done.stdout
    assert ".leaked" in done.stdout
    tidy = run_suite(tmp_path, "def test_it():\n    pass\n", "-n", "2")
    assert tidy.returncode == 0, tidy.stdout


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


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            (
                "import subprocess, sys\n"
                "def test_it():\n"
                "    global left\n"
                "    forever = [sys.executable, '-c', 'import signal; signal.pause()']\n"
                "    left = subprocess.Popen(forever, start_new_session=True)\n"
            ),
            "was left behind",
        ),
        (
            "def test_it():\n    open('/tmp/rdskit-test-outside', 'w').close()\n",
            "a file outside the checkout was written: /tmp/rdskit-test-outside",
        ),
        (
            "import pathlib\ndef test_it():\n    pathlib.Path.home().joinpath('.leaked').write_text('x')\n",
            ".leaked",
        ),
        (
            (
                "import asyncio\n"
                "async def test_it():\n"
                "    global left\n"
                "    left = asyncio.get_running_loop().create_task(asyncio.Event().wait(), name='forgotten')\n"
            ),
            "tasks were left running: ['forgotten",
        ),
    ],
    ids=["process", "file", "home", "task"],
)
def test_what_is_left_behind_fails_the_run(tmp_path: Path, code: str, words: str) -> None:
    try:
        done = run_suite(tmp_path, code)
    finally:
        Path("/tmp/rdskit-test-outside").unlink(missing_ok=True)  # noqa: S108 - outside on purpose
    assert done.returncode == 1, done.stdout
    assert words in done.stdout


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_a_skip_that_is_not_listed_fails_in_ci(tmp_path: Path, ci: str, status: int) -> None:
    done = run_suite(tmp_path, "import pytest\ndef test_it():\n    pytest.skip('no reason')\n", CI=ci)
    assert done.returncode == status, done.stdout
    assert "NOT RUN" in done.stdout


LOGIN = "from rdskit.kernel.ports import Login\nlogin = Login('app', 'S3cret-of-this-run')\n"


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("def test_it():\n    print('using', login.password)\n", "captured stdout call"),
        (
            "import logging\ndef test_it():\n    logging.getLogger('rdskit').warning('with %s', login.password)\n",
            "captured log call",
        ),
        (
            (
                "import pytest, rdskit\n"
                "def test_it():\n"
                "    with pytest.raises(rdskit.ConnectError):\n"
                "        raise rdskit.AuthenticationError(f'postgresql://app:{login.password}@db was refused')\n"
            ),
            "the message of AuthenticationError",
        ),
        (
            (
                "from rdskit.events import QueryFinished\n"
                "from rdskit.runtime.observers import Observers\n"
                "def test_it():\n"
                "    sql = f'alter role app password {login.password!r}'\n"
                "    Observers([print]).notify(QueryFinished(sql, 0.1, None))\n"
            ),
            "an event of the class QueryFinished",
        ),
        (
            "def test_it(tmp_path):\n    (tmp_path / 'daemon.log').write_text(login.password)\n    assert 0\n",
            "daemon.log",
        ),
    ],
    ids=["stdout", "log", "error", "event", "file"],
)
def test_a_secret_that_is_shown_fails_the_run(tmp_path: Path, code: str, place: str) -> None:
    done = run_suite(tmp_path, LOGIN + code)
    assert done.returncode == 1, done.stdout
    told = [line for line in done.stdout.splitlines() if line.startswith("SHOWN")]
    assert place in "".join(told), done.stdout
    assert "S3cret-of-this-run" not in "".join(told)


def test_secrets_that_are_used_and_not_shown_are_fine(tmp_path: Path) -> None:
    done = run_suite(tmp_path, LOGIN + "def test_it():\n    print(login)\n")
    assert done.returncode == 0, done.stdout
