"""The program of docs/cache.md runs as it stands, on PostgreSQL and on MySQL."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rdskit.integrations.pytest_plugin.databases import FreshDatabase
    from rdskit.local.engines.valkey.server import ValkeyServer

PAGE = Path(__file__).resolve().parents[3] / "docs/cache.md"


@pytest.mark.parametrize("engine", ["database", "mysql_database"])
def test_the_program_of_the_page_runs(
    engine: str, request: pytest.FixtureRequest, valkey: ValkeyServer, tmp_path: Path
) -> None:
    database: FreshDatabase = request.getfixturevalue(engine)
    (program,) = re.findall(r"^```python program\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    script = tmp_path / "program.py"
    program = program.replace('namespace="shop"', f'namespace="{engine}", timeout=3')
    script.write_text(program.replace('os.environ["DATABASE_URL"]', 'os.environ["DATABASE_URL"], tls="off"'))
    environment = {**os.environ, "DATABASE_URL": database.url, "REDIS_URL": valkey.url}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['Ada', 'Bob'] 2 hits, 1 load\n['Ada']\n"
