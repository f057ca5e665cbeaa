"""Session state of every kind, set in every way that SQL has, is gone when the next caller gets the connection.

The kinds are the settings of the server's own catalog and what `test_session_state` lists. The gate takes a seeded
sample, soak takes all.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest

import rdskit
from rdskit.errors import RdskitError
from rdskit.kernel.ports import DriverError
from tests.contract import test_session_state
from tests.contract.test_session_state import (
    FAMILY_STATE,
    LIMIT,
    PASSING,
    POSTGRES_STATE,
    ask,
    family_candidates,
    postgres_candidates,
)
from tests.plugins.rounds import gate_and_soak

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rdskit.kernel.ports import Connection
    from tests.contract.conftest import Engine

pytestmark = pytest.mark.timeout(90)

role = test_session_state.role
SEED = 18
#: Values that change a setting and let the session go on. None: the setting cannot be changed to last.
CHOSEN: dict[str, str | None] = {
    # PostgreSQL
    "statement_timeout": "'1h'",
    "lock_timeout": "'1h'",
    "transaction_timeout": "'1h'",
    "idle_session_timeout": "'1h'",
    "idle_in_transaction_session_timeout": "'1h'",
    "max_stack_depth": "'150kB'",
    "default_tablespace": "'pg_default'",
    "temp_tablespaces": "'pg_default'",
    "log_min_messages": "'error'",
    "log_statement": "'ddl'",
    "exit_on_error": "'off'",
    "event_source": None,  # of Windows, set at the start
    "session_authorization": None,  # a kind of its own
    "role": None,
    # MySQL and MariaDB
    "max_execution_time": "3600000",
    "max_statement_time": "3600",
    "wait_timeout": "3600",
    "net_read_timeout": "61",
    "net_write_timeout": "62",
    "max_session_mem_used": "4611686018427387904",
    "connection_memory_limit": "4294967296",
    "gtid_next": None,  # 'AUTOMATIC' but for replicas
    "session_track_gtids": "'OWN_GTID'",
    "sql_log_bin": "0",
    "sql_log_off": "1",
    "insert_id": None,  # of the next insert
    "wsrep_on": None,  # needs Galera
}
#: A trigger that sets these ends the whole server (MariaDB 11.8).
ENDS_MARIADB = {"tx_read_only", "transaction_read_only"}
POSTGRES = """
create function run(s text) returns int language plpgsql as $$ begin execute s; return 1; end $$;
create function wrapped(s text) returns int language sql as 'select run(s)';
create procedure do_run(s text) language plpgsql as $$ begin execute s; end $$;
create table changes (s text);
create table late (s text);
create function on_change() returns trigger language plpgsql as $$ begin execute new.s; return new; end $$;
create trigger before_change before insert on changes for each row execute function on_change();
create constraint trigger at_commit after insert on late deferrable initially deferred
    for each row execute function on_change()
"""


class Kind(NamedTuple):
    """Something of a session that can be changed.

    Attributes:
        name: of it.
        changes: the statements that change it.
        question: the query that shows it.
        setting: name and value, for a setting.
    """

    name: str
    changes: Sequence[str]
    question: str
    setting: tuple[str, str] | None = None


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def by_code(pattern: str) -> Callable[[Kind], list[str]]:
    return lambda kind: [pattern.format(quoted(change)) for change in kind.changes]


def by_block(kind: Kind) -> list[str]:
    return [f"do $block$ begin {' '.join(f'execute {quoted(each)};' for each in kind.changes)} end $block$"]


def by_set_config(kind: Kind) -> list[str]:
    if kind.setting is None:
        return []
    name, value = kind.setting
    return [f"select set_config('{name}', {quoted(value.strip(chr(39)))}, false)"]


def by_prepared_set_config(kind: Kind) -> list[str]:
    return [f"prepare asked as {change}" for change in by_set_config(kind)] + ["execute asked"] * bool(kind.setting)


POSTGRES_WAYS: dict[str, Callable[[Kind], list[str]]] = {
    "plain": lambda kind: list(kind.changes),
    "function": by_code("select run({})"),
    "function of a function": by_code("select wrapped({}) as n"),
    "procedure": by_code("call do_run({})"),
    "trigger": by_code("insert into changes values ({})"),
    "trigger at commit": by_code("insert into late values ({})"),
    "block": by_block,
    "set_config": by_set_config,
    "prepared": by_prepared_set_config,
}


def by_prepared(kind: Kind) -> list[str]:
    return [
        statement
        for number, change in enumerate(kind.changes)
        for statement in (f"prepare asked{number} from {quoted(change)}", f"execute asked{number}")
    ]


FAMILY_WAYS: dict[str, Callable[[Kind], list[str]]] = {
    "plain": lambda kind: list(kind.changes),
    "prepared": by_prepared,
    "function": lambda kind: [f"select changed_{kind.name}() as n"],
    "procedure": lambda kind: [f"call change_{kind.name}()"],
    "trigger": lambda kind: [f"insert into on_{kind.name} values (1)"],
}


class Tried(NamedTuple):
    """What a run has tried: how often each way was refused, changed nothing, or changed the session; what it left."""

    refused: Counter[str]
    changed: Counter[str]
    left: dict[str, object]


async def shows(connection: Connection, kind: Kind, statements: Sequence[str]) -> bool:
    """Return whether statements change a session that nothing resets; it is as new afterwards."""
    fresh = await ask(connection, kind.question)
    try:
        for statement in statements:
            await connection.control(statement, LIMIT)
        return await ask(connection, kind.question) != fresh
    finally:
        await connection.reset(LIMIT)


async def setting_kinds(engine: Engine, connection: Connection, chance: random.Random, count: int) -> list[Kind]:
    """Return a kind for settings that can be changed, chosen at random, with values that show."""
    if engine.is_postgres:
        candidates = await postgres_candidates(connection)
        change, question = "set {} = {}", "select current_setting('{}')"
    else:
        rows = await connection.fetch_all("show session variables", (), LIMIT)
        candidates = await family_candidates({str(name).lower(): str(value) for name, value in rows})
        change, question = "set session {} = {}", "show session variables where variable_name = '{}'"
    names = sorted(candidates.keys() - PASSING)
    chance.shuffle(names)
    found: list[Kind] = []
    for name in itertools.takewhile(lambda _: len(found) < count, names):
        values = [CHOSEN[name]] if name in CHOSEN else candidates[name]
        for value in filter(None, values):
            kind = Kind(name, [change.format(name, value)], question.format(name), (name, value))
            with contextlib.suppress(DriverError):
                if await shows(connection, kind, kind.changes):
                    found.append(kind)
                    break
    return found


async def define_routines(connection: Connection, kind: Kind) -> None:
    """Create the code of MySQL that changes a session; what the server does not allow there is left out."""
    body = " ".join(f"{each.replace('select ', 'do ', 1) if ' into ' not in each else each};" for each in kind.changes)
    for definition in (
        f"create function changed_{kind.name}() returns int deterministic begin {body} return 1; end",
        f"create procedure change_{kind.name}() begin {body} end",
        f"create table on_{kind.name} (n int)",
        f"create trigger before_{kind.name} before insert on on_{kind.name} for each row begin {body} end",
    ):
        with contextlib.suppress(DriverError):
            await connection.control(definition, LIMIT)


async def call(db: rdskit.Database, statements: Sequence[str]) -> None:
    (statement,) = statements
    await (db.fetch_all(statement) if statement.startswith("select") else db.execute(statement))


async def in_transaction(db: rdskit.Database, statements: Sequence[str]) -> None:
    async with db.transaction() as tx:
        for statement in statements:
            await (tx.fetch_all(statement) if statement.startswith("select") else tx.execute(statement))


async def held(db: rdskit.Database, statements: Sequence[str]) -> None:
    async with db.connection() as connection:
        for statement in statements:
            await (connection.fetch_all(statement) if statement.startswith("select") else connection.execute(statement))


class Seen(NamedTuple):
    """What the next caller sees.

    Attributes:
        state: the answer to the kind's question, or the error's name.
        settings: all, where they were asked.
        number: of the connection: a new one would prove nothing.
    """

    state: object
    settings: Mapping[str, object]
    number: int


async def seen(db: rdskit.Database, engine: Engine, kind: Kind, *, settings: bool) -> Seen:
    try:
        state: object = [tuple(row) for row in await db.fetch_all(f"{kind.question} -- {next(numbers)}")]
    except RdskitError as error:
        state = type(error).__name__
    text = engine.pick("select name, setting from pg_settings", "show session variables")
    rows = await db.fetch_all(text) if settings else []
    shown = {str(name).lower(): value for name, value in rows}
    number = await db.fetch_value(engine.pick("select pg_backend_pid()", "select connection_id()"))
    return Seen(state, {name: shown[name] for name in shown.keys() - PASSING - OF_THE_SERVER}, number)


numbers = itertools.count()
#: What moves by itself: positions in the binary log by what any session writes, and sql_log_off, which MySQL shows as
#: on for a moment around FLUSH TABLES WITH READ LOCK. Its own kind is asked for it alone.
OF_THE_SERVER = {
    *("gtid_binlog_pos", "gtid_binlog_state", "gtid_current_pos", "last_gtid", "gtid_executed", "sql_log_off"),
}


async def try_way(
    db: rdskit.Database, engine: Engine, connection: Connection, kind: Kind, way: str, tried: Tried
) -> None:
    """Change the session of the pool's only connection by each caller in turn, and look at it as the next one."""
    if engine.name == "mariadb" and way == "trigger" and kind.name in ENDS_MARIADB:
        return
    statements = (POSTGRES_WAYS if engine.is_postgres else FAMILY_WAYS)[way](kind)
    try:
        if not statements or not await shows(connection, kind, statements):
            return
    except DriverError:
        tried.refused[way] += 1
        return
    tried.changed[way] += 1
    fresh = await seen(db, engine, kind, settings=True)
    callers = (call, in_transaction, held) if len(statements) == 1 else (in_transaction, held)
    for round_, caller in itertools.product(range(2), callers):
        with contextlib.suppress(RdskitError):  # a server may refuse it in a transaction; that leaves nothing either
            await caller(db, statements)
        last = round_ == 1 and caller is held
        found = await seen(db, engine, kind, settings=last)
        if found != (fresh if last else fresh._replace(settings={})):
            tried.left[f"{kind.name} by {way}, {caller.__name__} {round_}"] = difference(fresh, found)


def difference(before: Seen, after: Seen) -> object:
    changed = {name: value for name, value in after.settings.items() if before.settings.get(name) != value}
    return before.state, after.state, changed, before.number == after.number


@pytest.mark.parametrize("count", gate_and_soak(4, 10_000))
async def test_no_state_set_in_any_way_is_seen_by_the_next_caller(
    engine: Engine, connection: Connection, watcher: Connection, role: str, count: int
) -> None:
    chance = random.Random(SEED)
    tried = Tried(Counter(), Counter(), {})

    kinds = await setting_kinds(engine, connection, chance, count)
    listed = engine.pick(POSTGRES_STATE, FAMILY_STATE)
    for name in chance.sample(sorted(listed), min(count, len(listed))):
        changes, question = listed[name]
        kinds.append(
            Kind(name.replace(" ", "_"), [each.format(role=role) for each in changes], question.format(role=role))
        )
    if engine.is_postgres:
        for definition in POSTGRES.split(";\n"):
            await watcher.control(definition, LIMIT)
    else:
        for kind in kinds:
            await define_routines(watcher, kind)
    ways = POSTGRES_WAYS if engine.is_postgres else FAMILY_WAYS
    async with rdskit.connect(engine.database.url, tls="off", min_size=1, max_size=1) as db:
        if engine.is_postgres:
            await db.fetch_all("select run('select 1')")  # loads PL/pgSQL, which has settings of its own
        for kind, way in itertools.product(kinds, ways):
            await try_way(db, engine, connection, kind, way, tried)
    print(f"{engine.name}: {len(kinds)} kinds, changed {dict(tried.changed)}, refused {dict(tried.refused)}")  # noqa: T201 - the report of a soak run
    assert tried.left == {}, "\n".join(f"{k}: {v}" for k, v in tried.left.items())
    assert len(kinds) >= min(count, 100)
    assert tried.changed["plain"] >= 0.9 * len(kinds), "the server has ended, or refuses what it took before"
    assert [way for way in ways if not tried.changed[way]] == []
