"""The SQL prompt on every engine: statements, transactions, headings without rows, tables, Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from rdskit.cli.main import app
from rdskit.errors import ConfigError, RdskitError
from rdskit.operate.shell.candidates import Candidates
from rdskit.operate.shell.schema import known_columns
from rdskit.operate.shell.session import ShellSession
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import rdskit
    from tests.contract.conftest import Engine

TABLE = "create table people (id int primary key, name varchar(40))"
ROWS = "insert into people values (1, 'Ada'), (2, null)"


def shell(engine: Engine, *words: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["shell", engine.database.url, "--tls", "off", *words])
    assert result.exit_code == status, result.output
    return result.stdout


def test_statements_and_transactions(engine: Engine) -> None:
    told = shell(engine, "-c", f"{TABLE}; {ROWS}; begin; delete from people; rollback; select * from people")
    assert told.startswith("CREATE TABLE in ")
    assert "INSERT: 2 rows in " in told
    assert "id | name\n---+-----\n 1 | Ada\n 2 | NULL\n(2 rows in " in told
    assert shell(engine, "-c", "select name, id from people order by id", "--csv") == "name,id\nAda,1\n,2\n"
    assert shell(engine, "-c", "select name, id from people where id = 9", "--csv") == "name,id\n"
    (answer,) = json.loads(shell(engine, "-c", "select * from people", "--json"))["results"]
    assert (answer["columns"], answer["rows"], answer["count"]) == (["id", "name"], [[1, "Ada"], [2, None]], 2)
    assert "people" in shell(engine, "-c", "\\d")
    described = shell(engine, "-c", "\\d people").splitlines()
    assert ("id" in described[2], "not null" in described[2]) == (True, True)
    assert any("primary key" in line for line in described)


async def test_the_session_keeps_its_transaction_when_a_statement_is_canceled(
    engine: Engine, db: rdskit.Database, running: Callable[[str], Any]
) -> None:
    said: list[str] = []
    session = ShellSession(db, said.append)
    await session.open()
    await session.run(TABLE)
    await session.run("begin")
    host = session.host
    call = asyncio.ensure_future(session.run(f"select 'mark-shell', {engine.sleep.format(600)}"))
    await eventually(lambda: running("mark-shell"))
    await session.cancel()
    with contextlib.suppress(RdskitError):  # MySQL's sleep() answers 1 when it is interrupted
        await asyncio.wait_for(call, 20)
    assert (session.in_transaction, session.host, said) == (True, host, [])
    await session.run("rollback")
    assert (await session.run("select 1 as one")).rows == [(1,)]
    await session.close()


async def test_limits_names_and_what_is_refused(db: rdskit.Database) -> None:
    said: list[str] = []
    session = ShellSession(db, said.append)
    await session.open()
    await session.run(TABLE)
    await session.run(ROWS)
    first = await session.run("select id from people order by id", limit=1)
    assert (first.rows, first.more) == ([(1,)], True)
    assert Candidates(await known_columns(session)).for_text("select na", " from people")[1][0] == "name"
    for wrong in ("savepoint here", "commit"):
        with contextlib.suppress(ConfigError):
            await session.run(wrong)
            raise AssertionError(wrong)
    await session.run("begin")
    await session.close()
    assert said == ["the open transaction was rolled back"]
