"""Server settings that are chosen at connect: they hold for every connection, and a reset returns to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import rdskit.sync
from rdskit.kernel.session_settings import as_assignments, as_start_up_parameters, checked_settings, refuse_reserved
from rdskit.kernel.targets import Engine as ServerEngine

if TYPE_CHECKING:
    from tests.contract.conftest import Engine

POSTGRES = {"statement_timeout": "5s", "enable_seqscan": False, "work_mem": 4096, "shop.note": "it's \\ 100 %"}
FAMILY = {"lock_wait_timeout": 7, "lc_time_names": "de_DE", "foreign_key_checks": False}


def settings(engine: Engine) -> dict[str, Any]:
    return POSTGRES if engine.is_postgres else FAMILY


def shown(engine: Engine) -> str:
    if engine.is_postgres:
        return (
            "select concat_ws('|', current_setting('statement_timeout'), current_setting('enable_seqscan'), "
            "current_setting('work_mem'), current_setting('shop.note'))"
        )
    return (
        "select concat_ws('|', @@session.lock_wait_timeout, @@session.lc_time_names, @@session.foreign_key_checks + 0)"
    )


async def test_every_connection_has_them_and_a_reset_returns_to_them(engine: Engine) -> None:
    expected = engine.pick("5s|off|4MB|it's \\ 100 %", "7|de_DE|0")
    change = engine.pick("set statement_timeout = '1h'", "set session lock_wait_timeout = 100")
    async with rdskit.connect(engine.database.url, tls="off", min_size=1, max_size=1, settings=settings(engine)) as db:
        assert await db.fetch_value(shown(engine)) == expected
        async with db.connection() as held:
            await held.execute(change)
            assert await held.fetch_value(shown(engine)) != expected
        assert await db.fetch_value(shown(engine)) == expected
        assert db.stats().writer.opened == 1  # the same connection, reset


async def test_they_take_effect(engine: Engine) -> None:
    limit = engine.pick({"statement_timeout": "50ms"}, {"max_statement_time": 0.05}, {"max_execution_time": 50})
    endless = engine.pick(
        "select pg_sleep(60)",
        "select count(*) from information_schema.columns a, information_schema.columns b, information_schema.columns c",
    )
    async with rdskit.connect(engine.database.url, tls="off", settings=limit) as db:
        with pytest.raises(rdskit.RdskitError, match=r"statement timeout|max_statement_time|maximum statement exec"):
            await db.fetch_value(endless)


async def test_a_reopened_connection_has_them(engine: Engine) -> None:
    async with rdskit.connect(engine.database.url, tls="off", min_size=1, max_size=1, settings=settings(engine)) as db:
        before = await db.fetch_value(shown(engine))
        with pytest.raises(rdskit.QueryTimeout):
            await db.fetch_value(f"select {engine.sleep.format(30)}", timeout=0.1)
        assert await db.fetch_value(shown(engine)) == before


@pytest.mark.parametrize("wrong", ["unknown", "value"])
async def test_what_the_server_refuses_is_a_config_error_at_once(engine: Engine, wrong: str) -> None:
    chosen = {
        "unknown": {"no_such_setting": 1},
        "value": engine.pick({"statement_timeout": "5 parsecs"}, {"lc_time_names": "it's \\"}),
    }[wrong]
    named = engine.pick(next(iter(chosen)), "no_such_setting" if wrong == "unknown" else "it's")
    with pytest.raises(rdskit.ConfigError, match=rf"refused settings=: .*{named}.*; correct the name or the value"):
        await rdskit.connect(engine.database.url, tls="off", settings=chosen)


def test_sync(engine: Engine) -> None:
    with rdskit.sync.connect(engine.database.url, tls="off", settings=settings(engine)) as db:
        assert db.fetch_value(shown(engine)) == engine.pick("5s|off|4MB|it's \\ 100 %", "7|de_DE|0")


@pytest.mark.parametrize("name", ["client_encoding", "Application_Name", "role", "_pq_.x", "rdskit.tenant", "options"])
def test_what_rdskit_relies_on_is_refused_on_postgres(name: str) -> None:
    with pytest.raises(rdskit.ConfigError, match=f"'{name}' cannot be chosen: "):
        refuse_reserved(checked_settings({name: "x"}), ServerEngine.POSTGRES)


@pytest.mark.parametrize("name", ["sql_mode", "TIME_ZONE", "autocommit", "collation_connection", "tx_read_only"])
@pytest.mark.parametrize("engine_kind", [ServerEngine.MYSQL, ServerEngine.MARIADB])
def test_what_rdskit_relies_on_is_refused_on_mysql(name: str, engine_kind: ServerEngine) -> None:
    with pytest.raises(rdskit.ConfigError, match=f"'{name}' cannot be chosen: "):
        refuse_reserved(checked_settings({name: "x"}), engine_kind)


@pytest.mark.parametrize(
    "given",
    [
        "lock_timeout=1",
        {"": 1},
        {"a = 1, global b": 1},
        {"a;b": 1},
        {"@@x": 1},
        {"work_mem\n": 1},
        {1: 1},
        {"a": None},
        {"a": [1]},
        {"a": float("nan")},
        {"a": "secret\0role\0admin"},
        {"a": "secret\ud800"},
    ],
)
async def test_what_cannot_be_sent_is_refused_before_a_connection(given: Any) -> None:
    with pytest.raises(rdskit.ConfigError, match=r"^settings") as caught:
        await rdskit.connect("postgresql://app@127.0.0.1:1/x", settings=given)
    assert "secret" not in str(caught.value)


async def test_a_session_that_must_keep_nothing_has_none(engine: Engine) -> None:
    with pytest.raises(rdskit.ConfigError, match=r"settings= cannot be used with .* RDS Proxy would pin"):
        await rdskit.connect(engine.database.url, tls="off", pinning="avoid", settings=settings(engine))


def test_how_they_are_written() -> None:
    chosen = checked_settings({"a": "it's \\", "b": True, "c": 1.5, "d": -3})
    assert as_assignments(chosen) == "set session a = 'it''s \\\\', session b = 1, session c = 1.5, session d = -3"
    assert as_start_up_parameters(chosen) == {"a": "it's \\", "b": "on", "c": "1.5", "d": "-3"}
    assert not as_assignments(checked_settings(None))
