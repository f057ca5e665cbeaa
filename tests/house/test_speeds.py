"""``make quick`` selects the tests that start no server, and shows that it selected well: it refuses to start one."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.house.suite import ROOT, run_suite
from tests.plugins.budgets import BUDGETS, room_of, table
from tests.plugins.no_servers.sitecustomize import started_server

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.no_server

STARTING = {
    "fixture": "@pytest.fixture\ndef server():\n    throwaway_postgres\ndef test_server(server):\n    pass\n",
    "fixture_of_a_fixture": (
        "@pytest.fixture\ndef server():\n    throwaway_postgres\n@pytest.fixture\ndef db(server):\n    pass\n"
        "def test_server(db):\n    pass\n"
    ),
    "fixture_by_name": (
        "@pytest.fixture\ndef server():\n    throwaway_postgres\n"
        "@pytest.mark.parametrize('name', ['server'])\n"
        "def test_server(request, name):\n    request.getfixturevalue(name)\n"
    ),
    "body": "def test_server():\n    throwaway_postgres\n",
    "import_in_the_body": (
        "def test_server():\n    from rdskit.local.engines.postgres.throwaway import throwaway_postgres\n"
    ),
    "inner_function": "def test_server():\n    def start():\n        throwaway_postgres\n",
    "helper": "def helper():\n    throwaway_postgres\ndef test_server():\n    helper()\n",
    "method": "class Helper:\n    def start(self):\n        lifecycle.up\ndef test_server():\n    Helper()\n",
    "context_manager": (
        "@contextlib.contextmanager\ndef helper():\n    throwaway_postgres\ndef test_server():\n    helper()\n"
    ),
    "table": "KINDS = {'postgres': throwaway_postgres}\ndef test_server():\n    KINDS['postgres']\n",
    "partial": "start = functools.partial(throwaway_postgres, 1)\ndef test_server():\n    start()\n",
    "program": "def test_server():\n    subprocess.run\n",
    "program_of_asyncio": "async def test_server():\n    asyncio.create_subprocess_exec\n",
}
IMPORTS = (
    "import asyncio, contextlib, functools, subprocess, sys\nimport pytest\n"
    "from rdskit.local import lifecycle\nfrom rdskit.local.engines.postgres.throwaway import throwaway_postgres\n"
)


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the names of what quick selects among tests that start a server, each beside one that does not."""
    files = {name: f"{IMPORTS}{code}def test_pure():\n    lifecycle.env\n" for name, code in STARTING.items()}
    return run_suite(tmp_path_factory.mktemp("selected"), files, "--speed", "quick", "--collect-only", "-q").stdout


@pytest.mark.parametrize("name", STARTING)
def test_a_test_that_may_start_a_server_is_not_quick(selected: str, name: str) -> None:
    assert f"test_{name}.py::test_pure" in selected
    assert f"test_{name}.py::test_server" not in selected


STARTED = {
    "postgres": "['postgres', '-D', 'data']",
    "rdskit.local.daemon": "[sys.executable, '-m', 'rdskit.local.daemon']",
}


def test_a_quick_test_that_starts_a_server_fails_and_other_programs_run(tmp_path: Path) -> None:
    bodies = ["subprocess.run([sys.executable, '-c', ''], check=True)"]
    for command in STARTED.values():
        start = f"import subprocess, sys; subprocess.run({command})"
        bodies += [start, f"subprocess.run([sys.executable, '-c', {start!r}], check=True)"]
    tests = [f"@pytest.mark.no_server\ndef test_{number}():\n    {body}\n" for number, body in enumerate(bodies)]
    done = run_suite(tmp_path, IMPORTS + "".join(tests), "--speed", "quick")
    assert "4 failed, 1 passed" in done.stdout, done.stdout
    for name in STARTED:
        refused = f"ServerStartedError: {name} is started, but make quick runs only tests that start no server"
        # Where CI is set, pytest's summary repeats the whole message.
        tracebacks = [line for line in done.stdout.splitlines() if not line.startswith("FAILED ")]
        assert sum(line.endswith(f".{refused}") for line in tracebacks) == 2, "one in the test itself, one in its child"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["/usr/lib/postgresql/18/bin/postgres", "-D", "data"], "postgres"),
        (["/lib/ld-linux-x86-64.so.2", "/cache/mysql/usr/sbin/mysqld", "--defaults-file=x"], "mysqld"),
        (["unshare", "--user", "mariadbd", "--bootstrap"], "mariadbd"),
        (["python", "-m", "rdskit.local.endpoints"], "rdskit.local.endpoints"),
        (["postgres", "--version"], None),
        (["python", "-m", "rdskit", "local", "status"], None),
    ],
)
def test_a_server_is_known_by_its_command(command: list[str], name: str | None) -> None:
    assert started_server(command) == name


def test_soak_and_gate_are_apart(tmp_path: Path) -> None:
    code = "import pytest\ndef test_gate():\n    pass\n@pytest.mark.soak\ndef test_soak():\n    pass\n"
    for speed, ran in (("gate", "test_gate"), ("quick", "test_gate"), ("soak", "test_soak")):
        done = run_suite(tmp_path, code, "-v", "--speed", speed)
        assert f"{ran} PASSED" in done.stdout
        assert "1 passed, 1 deselected" in done.stdout


def test_random_examples_are_the_same_in_each_run_of_the_gate(tmp_path: Path) -> None:
    code = (
        "from hypothesis import given, strategies\n"
        "@given(strategies.integers())\ndef test_it(number):\n    print('example', number)\n"
    )
    done = run_suite(tmp_path, {"first": code, "second": code}, "-s")
    seen = [each.partition("\n")[0] for each in done.stdout.split("example ")[1:]]
    half = len(seen) // 2
    assert half > 10
    assert seen[:half] == seen[half:]


def test_rooms_are_shown_beside_their_budgets() -> None:
    assert [
        room_of(f"tests/{path}::test_it") for path in ("test_sync.py", "client/pool/test_a.py", "local/fleet/test_a.py")
    ] == [*("public", "client", "local/fleet")]
    lines = list(table({"client": 90.0, "new": 3.0}, 3, {"other_room": 40, "rooms": {"client": 29}}))
    assert [line.split()[:3] for line in lines[1:]] == [
        ["client", "30.0", "29"],
        ["new", "1.0", "40"],
        ["all", "31.0", "29"],
    ]
    assert "OVER" in lines[1]
    assert "OVER" not in lines[2]


def test_every_file_with_a_known_length_exists() -> None:
    budgets = tomllib.loads(BUDGETS.read_text())
    assert [name for name in budgets["files"] if not (ROOT / "tests" / name).exists()] == []


def test_a_second_run_waits_and_says_for_what(tmp_path: Path) -> None:
    def alone(title: str) -> subprocess.Popen[str]:
        program = "print('begun', flush=True); input()"
        return subprocess.Popen(
            [sys.executable, str(ROOT / "tools/alone.py"), title, sys.executable, "-c", program],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    with alone("make test") as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "begun\n"
        with alone("make bench") as second:
            assert second.stderr is not None
            assert f"make bench waits for: make test in {os.getcwd()} (pid {first.pid})" in second.stderr.readline()  # noqa: PTH109 - as printed
            first.communicate("\n")
            assert second.communicate("\n") == ("begun\n", "")
    assert (first.returncode, second.returncode) == (0, 0)


def test_a_run_that_is_told_to_end_passes_it_on(tmp_path: Path) -> None:
    program = (
        "import signal\ntry:\n    print('begun', flush=True)\n    signal.pause()\nfinally:\n    print('cleaned')\n"
    )
    command = [
        sys.executable,
        "-c",
        f"import signal\nsignal.signal(signal.SIGTERM, signal.default_int_handler)\n{program}",
    ]
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tools/alone.py"), "make soak", *command],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        run.terminate()
        assert run.communicate()[0] == "cleaned\n"
    assert run.returncode == 130
