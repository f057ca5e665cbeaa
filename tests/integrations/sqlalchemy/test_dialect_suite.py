"""SQLAlchemy's own dialect suite: a part of it, with each driver, ends the same with our plugin as without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
#: Connections, transactions, rows and parameters: what could differ below a plugin. The script runs everything.
PART = (
    "Isolation or Autocommit or InsertBehavior or Returning or RowFetch or ServerSideCursors or Exception or Escaping"
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("driver", ["postgresql+psycopg", "postgresql+asyncpg", "mysql+pymysql", "mariadb+pymysql"])
def test_the_same_tests_pass(driver: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, str(ROOT / "tools/dialect_suite.py"), driver, "-k", PART, "--json", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (outcome,) = json.loads(report.read_text())
    passed = [test for test, how in outcome["rdskit"].items() if how == "passed"]
    assert outcome["rdskit"] == outcome["plain"]
    assert len(passed) >= 30
