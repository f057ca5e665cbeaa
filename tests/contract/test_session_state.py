"""No session state crosses check-in: each kind that an engine has is changed, and a reset takes it back.

The settings are enumerated by the server itself, so a new version's settings are tried too.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from rdskit.kernel.ports import Connection
    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(90)

LIMIT = 10.0
numbers = itertools.count()
#: What is changed, and the query that shows it. ``{role}`` is a role granted to its creator only.
POSTGRES_STATE: dict[str, tuple[list[str], str]] = {
    "role": (["set role {role}"], "select current_user"),
    "role by set_config": (["select set_config('role', '{role}', false)"], "select current_user"),
    "session authorization": (["set session authorization {role}"], "select session_user, current_user"),
    "role within another authorization": (
        ["set session authorization {role}", "set role {role}"],
        "select session_user, current_user",
    ),
    "search path": (["set search_path = pg_temp, pg_catalog"], "select current_setting('search_path')"),
    "temporary table": (["create temp table kept (n int)"], "select to_regclass('pg_temp.kept')"),
    "temporary view": (["create temp view kept as select 1 as n"], "select to_regclass('pg_temp.kept')"),
    "temporary function": (
        ["create function pg_temp.kept() returns int language sql as 'select 1'"],
        "select count(*) from pg_proc where proname = 'kept'",
    ),
    "temporary type": (["create type pg_temp.kept as (n int)"], "select to_regtype('pg_temp.kept')"),
    "prepared name": (["prepare kept as select 1"], "select count(*) from pg_prepared_statements where from_sql"),
    "prepared name with quotes": (
        ['prepare "k""e; pt" as select 1'],
        "select count(*) from pg_prepared_statements where from_sql",
    ),
    "cursor with hold": (["declare kept cursor with hold for select 1"], "select count(*) from pg_cursors"),
    "channel": (["listen kept"], "select count(*) from pg_listening_channels()"),
    "advisory lock": (
        ["select pg_advisory_lock(4711)"],
        "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
    ),
    "shared advisory lock": (
        ["select pg_advisory_lock_shared(4711)", "select pg_advisory_lock_shared(4711)"],
        "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
    ),
    "custom setting": (["set app.tenant = 'acme'"], "select coalesce(current_setting('app.tenant', true), '')"),
    "custom setting by function": (
        ["select set_config('app.tenant', 'acme', false)"],
        "select coalesce(current_setting('app.tenant', true), '')",
    ),
    "time zone": (["set time zone 'Asia/Tokyo'"], "select current_setting('timezone')"),
    "isolation": (
        ["set session characteristics as transaction isolation level serializable, read only"],
        "select current_setting('transaction_isolation'), current_setting('transaction_read_only')",
    ),
    "names": (["set names 'LATIN1'"], "select current_setting('client_encoding')"),
    "application name": (["set application_name = 'kept'"], "select current_setting('application_name')"),
    "replication role": (
        ["set session_replication_role = replica"],
        "select current_setting('session_replication_role')",
    ),
}
VARIABLES = "select @kept, @`k e`"
FAMILY_STATE: dict[str, tuple[list[str], str]] = {
    "role": (["set role {role}"], "select current_role()"),
    "user variable": (["set @kept = 1, @`k e` = 2"], VARIABLES),
    "user variable in a query": (["select 1 into @kept"], VARIABLES),
    "current database": (["use information_schema"], "select database()"),
    "names": (["set names latin1"], "select @@character_set_client, @@character_set_results, @@collation_connection"),
    "time zone": (["set time_zone = '+09:00'"], "select @@time_zone"),
    "sql mode": (["set sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'"], "select @@sql_mode"),
    "autocommit": (["set autocommit = 0"], "select @@autocommit"),
    "isolation": (["set session transaction isolation level serializable"], "show session variables like '%isolation'"),
    "temporary table": (["create temporary table kept (n int)"], "select count(*) from kept"),
    "prepared name": (["prepare kept from 'select 1'"], "execute kept"),
    "named lock": (["select get_lock('{role}', 1)"], "select is_used_lock('{role}') = connection_id()"),
    "last insert id": (["select last_insert_id(4711)"], "select last_insert_id()"),
    "time": (["set timestamp = 1000000000"], "select unix_timestamp() < 1100000000"),
    "foreign keys": (["set foreign_key_checks = 0, unique_checks = 0"], "select @@foreign_key_checks, @@unique_checks"),
    "locked tables": (["lock tables numbers read"], "select (select count(*) from names)"),
    "handler": (["handler numbers open"], "handler numbers read first"),
    "global read lock": (["flush tables with read lock"], "insert into names values (null)"),
}


async def ask(connection: Connection, text: str) -> object:
    """Return the rows; for a query that is refused, the class of the error.

    Each question is prepared again: MySQL answers database() as of the moment when its statement was prepared.
    """
    try:
        return [tuple(row) for row in await connection.fetch_all(f"{text} -- {next(numbers)}", (), LIMIT)]
    except DriverError as error:
        return type(error.public).__name__


@pytest.fixture
async def role(engine: Engine, watcher: Connection) -> AsyncIterator[str]:
    """Create a role that the session may take on."""
    name = f"kept_{engine.database.name}"
    await watcher.execute(f"create role {name}", (), LIMIT)
    if not engine.is_postgres:
        await watcher.execute("create table numbers (n int)", (), LIMIT)
        await watcher.execute("create table names (n int)", (), LIMIT)
    if engine.name == "mysql":
        await watcher.execute(f"grant {name} to current_user()", (), LIMIT)
    yield name
    await watcher.execute(f"drop role {name}", (), LIMIT)


async def test_no_kind_of_session_state_survives_a_reset(
    engine: Engine, connection: Connection, watcher: Connection, role: str
) -> None:
    left: dict[str, Any] = {}
    for kind, (changes, question) in engine.pick(POSTGRES_STATE, FAMILY_STATE).items():
        text = question.format(role=role)
        fresh = await ask(connection, text)
        for change in changes:
            await connection.control(change.format(role=role), LIMIT)  # not prepared: MariaDB takes a prepared USE back
        assert await ask(connection, text) != fresh or kind == "locked tables", f"{kind} does not show in {text!r}"
        await connection.reset(LIMIT)
        if (found := await ask(connection, text)) != fresh:
            left[kind] = found
    assert left == {}
    assert await ask(watcher, "select 1") == [(1,)]


async def test_statements_are_prepared_again_after_the_caller_dropped_them(
    engine: Engine, connection: Connection
) -> None:
    text = engine.text("select ? + 1")
    assert (await connection.fetch_all(engine.pick("select $1::int + 1", text), (1,), LIMIT))[0][0] == 2
    if engine.is_postgres:
        await connection.execute("deallocate all", (), LIMIT)
    await connection.reset(LIMIT)
    assert (await connection.fetch_all(engine.pick("select $1::int + 1", text), (1,), LIMIT))[0][0] == 2


async def test_every_setting_is_back_after_a_reset(engine: Engine, connection: Connection, watcher: Connection) -> None:
    """Each setting that a session may change is changed to another value, all of them, and then compared."""
    fresh = await settings(engine, watcher)
    changed = await change_all(engine, connection)
    assert len(changed) >= engine.pick(160, 120), sorted(changed)
    await connection.reset(LIMIT)
    after = await settings(engine, connection)
    assert {name: after[name] for name in changed - PASSING if after[name] != fresh[name]} == {}
    assert {name for name in fresh if after[name] != fresh[name]} - PASSING == set()


#: They tell of the session and of the moment, and no caller can set them to last.
PASSING = {"pseudo_thread_id", "rand_seed1", "rand_seed2", "timestamp", "in_transaction", "statement_id"}
#: Where a change ends the session or the test, not what it shows: a session that is not allowed any memory or time.
UNTOUCHED = {
    *("gtid_next", "pseudo_thread_id", "session_track_gtids", "max_session_mem_used", "max_statement_time"),
    *("log_bin", "sql_log_off", "default_tablespace", "temp_tablespaces", "transaction_timeout", "statement_timeout"),
    *("max_execution_time", "wait_timeout", "net_read_timeout", "net_write_timeout", "connection_memory_limit"),
    *("lock_timeout", "zero_damaged_pages", "debug_discard_caches", "max_stack_depth", "rand_seed1", "rand_seed2"),
    *("gtid_seq_no", "server_id", "gtid_domain_id", "skip_replication", "wsrep_on", "sql_log_bin", "insert_id"),
    *("event_source", "exit_on_error", "log_statement", "log_min_messages", "session_authorization"),
}


async def settings(engine: Engine, connection: Connection) -> dict[str, str]:
    text = engine.pick("select name, setting from pg_settings", "show session variables")
    return {str(name).lower(): str(value) for name, value in await connection.fetch_all(text, (), LIMIT)}


async def change_all(engine: Engine, connection: Connection) -> set[str]:
    """Change what can be changed, and give the names of what shows another value then."""
    before = await settings(engine, connection)
    candidates = await (postgres_candidates(connection) if engine.is_postgres else family_candidates(before))
    for name, values in candidates.items():
        for value in () if name in UNTOUCHED else values:
            setting = f'set "{name}" = {value}' if "." not in name else f"set {name} = {value}"
            try:
                await connection.execute(setting if engine.is_postgres else f"set session {name} = {value}", (), LIMIT)
            except DriverError:
                continue
            break
    after = await settings(engine, connection)
    return {name for name in before if after[name] != before[name]}


async def postgres_candidates(connection: Connection) -> dict[str, list[str]]:
    text = (
        "select name, vartype, setting, enumvals, min_val, max_val from pg_settings "
        "where context in ('user', 'superuser') order by name"
    )
    found: dict[str, list[str]] = {}
    for name, kind, value, choices, least, most in await connection.fetch_all(text, (), LIMIT):
        if kind == "bool":
            found[name] = ["off" if value == "on" else "on"]
        elif kind == "enum":
            found[name] = [f"'{choice}'" for choice in choices if choice != value]
        elif kind in {"integer", "real"}:
            found[name] = [number for number in (most, least, "1", "2") if number != value]
        else:
            found[name] = [f"'{text}'" for text in ("C", "UTC", "ISO, DMY", "LATIN1", "kept", "1") if text != value]
    return found


async def family_candidates(before: Mapping[str, str]) -> dict[str, list[str]]:
    flags = {"ON": ["OFF", "0"], "OFF": ["ON", "1"], "YES": ["NO"], "NO": ["YES"]}
    words = ["'latin1'", "'latin1_swedish_ci'", "'MyISAM'", "'en_GB'", "'SERIALIZABLE'", "'+09:00'", "''", "1"]
    return {
        name: flags.get(value) or ([str(int(value) * 2 + 1), "1024", "4096", "1", "0"] if value.isdigit() else words)
        for name, value in before.items()
    }
