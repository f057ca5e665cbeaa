"""``rdskit setup`` makes our tables, and may be run again."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

import psycopg
from typer.testing import CliRunner

import rdskit
from rdskit.cli.main import app

if TYPE_CHECKING:
    import pytest

    from tests.plugins.postgres import TestDatabase

NAMES = ["rdskit_txn", "rdskit_idempotency", "rdskit_outbox"]


def test_it_makes_the_tables_and_names_them(database: TestDatabase) -> None:
    for _ in range(2):
        result = CliRunner().invoke(app, ["setup", database.url, "--tls", "off"])
        assert result.exit_code == 0, result.output
        assert [line.split()[1] for line in result.stdout.splitlines()] == NAMES
    told = CliRunner().invoke(app, ["setup", database.url, "--tls", "off", "--json"])
    assert json.loads(told.stdout) == {"tables": NAMES}
    with psycopg.connect(database.url) as connection:
        found = connection.execute("select tablename from pg_tables where tablename like 'rdskit%'").fetchall()
    assert sorted(name for (name,) in found) == sorted(NAMES)


def test_a_server_that_is_not_there_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rdskit, "connect", functools.partial(rdskit.connect, timeout=1.0))  # else it tries for ten
    result = CliRunner().invoke(app, ["setup", "postgresql://u@127.0.0.1:1/x", "--tls", "off"])
    assert result.exit_code == 1
