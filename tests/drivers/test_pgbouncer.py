"""Behind a real pgbouncer in transaction mode: the error says what to pass, and that works."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.local.engines import privilege
from rdskit.local.engines.addresses import free_port
from rdskit.local.engines.mysql.installations import loader_of
from rdskit.local.engines.unpacked import PackageSet, cache_directory, ensure_unpacked
from rdskit.local.engines.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres

pytestmark = pytest.mark.timeout(120)
PACKAGES = PackageSet("pgbouncer", "PgBouncer", ("pgbouncer",), ("pgbouncer",))
TEXTS = [f"select {number} + cast(:n as int)" for number in range(7)]


@pytest.fixture(scope="module")
def pooled(postgres: ThrowawayPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a pgbouncer in transaction mode with two sessions on the server for all clients, and give its URL."""
    root = ensure_unpacked(PACKAGES, cache_directory(), print)
    folder = tmp_path_factory.mktemp("pgbouncer")
    port = free_port(postgres.host)
    assert port is not None
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"""
        [databases]
        * = host={postgres.host} port={postgres.port} user={postgres.superuser} password={postgres.password}
        [pgbouncer]
        listen_addr = {postgres.host}
        listen_port = {port}
        unix_socket_dir =
        auth_type = any
        pool_mode = transaction
        default_pool_size = 2
        """.replace("        ", "")
    )
    started_as = privilege.current()
    started_as.own(folder)
    command = [*started_as.prefix, *loader_of(root), str(root / "usr" / "sbin" / "pgbouncer"), str(settings)]
    log = (folder / "pgbouncer.log").open("w")
    with log, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, **started_as.identity) as process:
        try:
            assert poll(lambda: "process up" in (folder / "pgbouncer.log").read_text(), timeout=30)
            yield f"postgresql://{postgres.superuser}@{postgres.host}:{port}/postgres"
        finally:
            process.terminate()


async def failures(db: rdskit.Database) -> list[rdskit.QueryError]:
    """Return what statements end with that many callers run, each several times."""
    found = []

    async def ask(number: int) -> None:
        try:
            assert await db.fetch_value(TEXTS[number % 7], n=number) == number % 7 + number
        except rdskit.QueryError as error:
            found.append(error)

    for _ in range(4):
        await asyncio.gather(*map(ask, range(40)))
    return found


async def test_a_lost_statement_names_the_option(pooled: str) -> None:
    async with rdskit.connect(pooled, tls="off", min_size=4, max_size=4) as db:
        found = await failures(db)
    assert {error.sqlstate for error in found} <= {"26000", "42P05"}
    assert found, "this pgbouncer keeps statements: the test has nothing to show"
    for error in found:
        assert "behind pgbouncer in transaction mode" in str(error)
        assert "pass pinning='avoid' to rdskit.connect" in str(error)
        assert "statement_cache_size" not in str(error), "an option of asyncpg's"


async def test_the_option_works(pooled: str) -> None:
    async with rdskit.connect(pooled, tls="off", min_size=4, max_size=4, pinning="avoid") as db:
        assert await failures(db) == []
        async with db.transaction() as tx:
            assert await tx.fetch_value(TEXTS[1], n=1) == 2
