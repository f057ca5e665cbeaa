"""The master user of every PostgreSQL that is installed here: it reaches neither the machine nor the superuser."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from rdskit.local.engines.postgres.providers import installed
from rdskit.local.engines.postgres.throwaway import throwaway_postgres
from rdskit.local.fleet.postgres import roles
from tests.local.fleet.clients import PASSWORD, USER
from tests.local.fleet.conftest import spec
from tests.local.hostile_sql import STATEMENTS

if TYPE_CHECKING:
    from pathlib import Path

    from rdskit.local.engines.postgres.providers import Binaries


@pytest.mark.parametrize("binaries", installed(), ids=lambda binaries: binaries.version)
def test_statements_that_reach_the_machine(binaries: Binaries, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    with throwaway_postgres(tmp_path / "server", binaries=binaries) as server:
        with server.connect() as session:
            session.execute("create role rdsadmin superuser")
        roles.set_up(server, spec())
        login = {"host": server.host, "port": server.port, "user": USER, "password": PASSWORD, "dbname": "postgres"}
        with contextlib.closing(psycopg.connect(autocommit=True, **login)) as connection:  # type: ignore[arg-type]
            connection.execute("create table loot (t text)")
            done = []
            for statement in STATEMENTS:
                with contextlib.suppress(psycopg.Error):
                    connection.execute(statement.format(trap=trap).replace(" app", f" {USER}"))
                    done.append(statement)
            assert done == []
            connection.execute("create role more login password 'x'; grant pg_monitor to more")
    assert not trap.exists()
