"""The connection budget of all processes, and sessions that an RDS Proxy has no reason to pin."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rdskit
from rdskit.client.pool import PoolLimits, overdraft
from rdskit.kernel.endpoints import Endpoint

if TYPE_CHECKING:
    from tests.plugins.postgres import TestDatabase

MANY = 30  # processes whose maximum no test server has room for
ABSURD = 2000  # processes of which not even the minimum fits

SIZES = st.integers(0, 50)


@given(SIZES, SIZES, st.integers(1, 64), st.integers(0, 5000))
def test_a_budget_is_kept_or_the_excess_is_told(least: int, more: int, processes: int, room: int) -> None:
    limits = PoolLimits(min_size=least, max_size=max(1, least + more))
    excess = overdraft(limits, processes, room)
    if excess is None:
        assert limits.max_size * processes <= room
    else:
        assert excess.wanted > room
        assert excess.hopeless == (limits.min_size * processes > room)


async def test_processes_that_want_too_much_are_told_with_the_figures(
    database: TestDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "rdskit.pool"):
        async with rdskit.connect(database.url, tls="off", max_size=10):
            assert not _told(caplog)
        async with rdskit.connect(database.url, tls="off", max_size=10, processes=MANY) as db:
            assert await db.fetch_value("select 1") == 1
            most = await db.fetch_value("show max_connections")
    (message,) = _told(caplog)
    assert f"{MANY} process(es) with max_size=10 want {MANY * 10} connections" in message
    assert f"max_connections {most}" in message
    with pytest.raises(rdskit.ConfigError, match=rf"{ABSURD} process\(es\) with min_size=2 want {ABSURD * 2}"):
        await rdskit.connect(database.url, tls="off", processes=ABSURD)


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "rdskit.pool"]


async def test_the_number_of_processes_comes_from_the_environment(
    database: TestDatabase, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", str(MANY))
    with caplog.at_level(logging.WARNING, "rdskit.pool"):
        async with rdskit.connect(database.url, tls="off"):
            pass
        async with rdskit.connect(database.url, tls="off", processes=1):
            pass
    assert len(_told(caplog)) == 1
    with pytest.raises(rdskit.ConfigError, match="processes=0"):
        await rdskit.connect(database.url, tls="off", processes=0)


async def test_a_users_own_limit_counts(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", min_size=0, max_size=1) as admin:
        await admin.execute("create role limited login password 'limited-password' connection limit 1")
        try:
            url = f"postgresql://limited:limited-password@{database.host}:{database.port}/{database.name}"
            with pytest.raises(rdskit.ConfigError, match=r"has room for 1 .*own limit 1"):
                await rdskit.connect(url, tls="off", min_size=2)
        finally:
            await admin.execute("drop role limited")


@pytest.mark.parametrize(
    ("host", "is_proxy"),
    [
        ("orders.proxy-abcdefghijkl.eu-west-1.rds.amazonaws.com", True),
        ("reader.endpoint.proxy-abcdefghijkl.cn-north-1.rds.amazonaws.com.cn", True),
        ("orders.abcdefghijkl.eu-west-1.rds.amazonaws.com", False),
        ("orders.cluster-ro-abcdefghijkl.eu-west-1.rds.amazonaws.com", False),
        ("db.proxy-server.example.com", False),
    ],
)
def test_an_rds_proxy_is_known_by_its_name(host: str, *, is_proxy: bool) -> None:
    assert Endpoint(host, 5432).is_rds_proxy is is_proxy


async def test_nothing_is_kept_that_a_proxy_would_pin(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", min_size=0, max_size=1, pinning="avoid") as db:
        await db.execute("create table things (id int primary key, name text)")
        for number in range(5):
            assert await db.execute("insert into things values (:id, 'x')", id=number) == 1
            assert len(await db.fetch_all("select * from things where id <= :id", id=number)) == number + 1
        assert await db.fetch_value("select count(*) from pg_prepared_statements where not from_sql") == 0
        await db.execute("alter table things add column age int default 3")
        row = await db.fetch_one("select * from things where id <= :id", id=0)
        assert row is not None
        assert row.age == 3
        backends = []
        for _ in range(3):  # after the first time the catalog is asked about the names in these statements
            with pytest.raises(rdskit.IntegrityError):
                async with db.transaction() as tx:
                    await tx.execute("insert into things values (0, 'again')")
            backends.append(await db.fetch_value("select pg_backend_pid()"))
        backend = backends[-1]
        assert backends[1] == backend
        async with db.transaction() as tx:
            await tx.execute("set statement_timeout = '77s'")
        assert await db.fetch_value("select pg_backend_pid()") != backend
        assert await db.fetch_value("show statement_timeout") == "0"
        assert db.stats().failures == 0


async def test_statements_are_kept_prepared_elsewhere(database: TestDatabase) -> None:
    async with rdskit.connect(database.url, tls="off", min_size=0, max_size=1) as db:
        await db.fetch_value("select 1")
        assert await db.fetch_value("select count(*) from pg_prepared_statements") > 0
    with pytest.raises(rdskit.ConfigError, match="pinning='never' is not known"):
        await rdskit.connect(database.url, tls="off", pinning="never")  # type: ignore[arg-type]
