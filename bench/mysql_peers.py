"""MySQL and MariaDB, asyncmy with its statement cache, and who builds on their drivers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import aiomysql
import asyncmy
import mysql.connector
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

import rdskit
from peers import AsyncPeer, Engine, SyncPeer, cursor_call, wrapper_peer
from rdskit.local.engines.mysql.throwaway import throwaway_mariadb, throwaway_mysql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rdskit.local.engines.mysql.throwaway import ThrowawayFamilyServer

FORMAT = "select id, name, email from users where id = %s"
NAMED = FORMAT.replace("%s", ":id")
ROWS = ", ".join(f"({n}, 'name {n}', 'user{n}@example.com')" for n in range(1, 1001))
SETUP = (
    "create database bench",
    "create table bench.users (id int primary key, name varchar(100) not null, email varchar(100) not null)",
    f"insert into bench.users values {ROWS}",
    "analyze table bench.users",
)


def started(run: Callable[[Path], AbstractContextManager[Any]]) -> Callable[[Path], AbstractContextManager[Any]]:
    """Return a function that starts a server of one product, with the table that every query here reads."""

    @contextlib.contextmanager
    def start(directory: Path) -> Iterator[ThrowawayFamilyServer]:
        with run(directory) as server:
            with server.connect() as session:
                for statement in SETUP:
                    session.execute(statement)
            yield server

    return start


def login(server: ThrowawayFamilyServer) -> dict[str, Any]:
    return {"host": server.host, "port": server.port, "user": server.superuser, "password": server.password}


async def open_raw(server: ThrowawayFamilyServer) -> AsyncPeer:
    connection = await asyncmy.connect(**login(server), database="bench", autocommit=True, stmt_cache_size=100)

    async def call() -> object:
        async with connection.cursor() as cursor:
            await cursor.execute(FORMAT, (7,))
            return await cursor.fetchone()

    return call, connection.ensure_closed


async def open_rdskit(server: ThrowawayFamilyServer) -> AsyncPeer:
    db = await rdskit.connect(
        f"mysql://{server.superuser}:{server.password}@{server.host}:{server.port}/bench", tls="off"
    )
    return lambda: db.fetch_one(NAMED, id=7), db.close


async def open_asyncmy_pool(server: ThrowawayFamilyServer) -> AsyncPeer:
    return await _pooled(asyncmy, server, stmt_cache_size=100)


async def open_aiomysql_pool(server: ThrowawayFamilyServer) -> AsyncPeer:
    return await _pooled(aiomysql, server)


async def _pooled(driver: Any, server: ThrowawayFamilyServer, **options: Any) -> AsyncPeer:
    pool = await driver.create_pool(**login(server), db="bench", autocommit=True, minsize=1, maxsize=10, **options)

    async def call() -> object:
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(FORMAT, (7,))
            return await cursor.fetchone()

    async def close() -> None:
        pool.close()
        await pool.wait_closed()

    return call, close


async def open_sqlalchemy(server: ThrowawayFamilyServer) -> AsyncPeer:
    url = sqlalchemy.URL.create("mysql+asyncmy", server.superuser, server.password, server.host, server.port, "bench")
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    statement = sqlalchemy.text(NAMED)

    async def call() -> object:
        async with engine.connect() as connection:
            return (await connection.execute(statement, {"id": 7})).one()

    return call, engine.dispose


def open_connector(server: ThrowawayFamilyServer) -> SyncPeer:
    connection = mysql.connector.connect(**login(server), database="bench", autocommit=True)
    return cursor_call(connection, FORMAT), connection.close


def open_wrapper(server: ThrowawayFamilyServer, **options: Any) -> SyncPeer:
    return wrapper_peer(mysql.connector.connect, server, FORMAT, database="bench", **options)


def _engine(name: str, run: Callable[[Path], AbstractContextManager[Any]]) -> Engine:
    return Engine(
        name=name,
        driver="asyncmy",
        sync_driver="mysql-connector",
        gate=1.12,
        start=started(run),
        open_raw=open_raw,
        open_sync_raw=open_connector,
        async_peers={
            "rdskit": open_rdskit,
            "asyncmy.Pool": open_asyncmy_pool,
            "aiomysql.Pool (aiomysql)": open_aiomysql_pool,
            "SQLAlchemy async": open_sqlalchemy,
        },
        sync_peers={
            "AWS wrapper, no plugins": lambda server: open_wrapper(server, plugins=""),
            "AWS wrapper, default plugins": open_wrapper,
        },
    )


MARIADB = _engine("mariadb", throwaway_mariadb)
MYSQL = _engine("mysql", throwaway_mysql)
