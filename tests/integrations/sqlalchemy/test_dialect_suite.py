"""SQLAlchemy's own dialect suite: a part of it ends the same with our plugin as without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.rounds import soak

ROOT = Path(__file__).resolve().parents[3]
#: Connections, transactions, rows and parameters: what could differ below a plugin. The script runs everything.
PART = (
    "Isolation or Autocommit or InsertBehavior or Returning or RowFetch or ServerSideCursors or Exception or Escaping"
)


#: Both protocols, and both kinds of driver: one of asyncio and one that blocks.
GATE = ("postgresql+asyncpg", "mysql+pymysql")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("driver", GATE)
def test_none_of_the_tests_fails(driver: str, tmp_path: Path) -> None:
    ours, _ = outcomes(driver, tmp_path, "--alone")
    assert list(ours.values()).count("passed") >= 30


@pytest.mark.parametrize("driver", soak(*GATE, "postgresql+psycopg", "mariadb+pymysql"))
def test_the_same_tests_pass(driver: str, tmp_path: Path) -> None:
    ours, plain = outcomes(driver, tmp_path)
    assert ours == plain
    assert list(ours.values()).count("passed") >= 30


def outcomes(driver: str, folder: Path, *options: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return how each test ended with our plugin, and how it should have ended."""
    report = folder / "report.json"
    command = [sys.executable, str(ROOT / "tools/dialect_suite.py"), driver, "-k", PART, "--json", str(report)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (outcome,) = json.loads(report.read_text())
    return outcome["rdskit"], outcome["plain"]
