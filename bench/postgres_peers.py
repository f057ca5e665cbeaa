"""PostgreSQL, asyncpg, and who builds on PostgreSQL's drivers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import psycopg_pool
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

import rdskit
from peers import AsyncPeer, Engine, SyncPeer, cursor_call, wrapper_peer
from raw_vs_raw import QUERY, fill
from rdskit.local.engines.postgres.throwaway import throwaway_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres

NAMED = QUERY.replace("$1", ":id")
FORMAT = QUERY.replace("$1", "%s")


@contextlib.contextmanager
def start(directory: Path) -> Iterator[ThrowawayPostgres]:
    with throwaway_postgres(directory) as server:
        asyncio.run(fill(server.dsn))
        yield server


async def open_raw(server: ThrowawayPostgres) -> AsyncPeer:
    connection = await asyncpg.connect(server.dsn)
    return lambda: connection.fetchrow(QUERY, 7), connection.close


async def open_rdskit(server: ThrowawayPostgres) -> AsyncPeer:
    db = await rdskit.connect(server.dsn.partition("?")[0], tls="off")
    return lambda: db.fetch_one(NAMED, id=7), db.close


async def open_asyncpg_pool(server: ThrowawayPostgres) -> AsyncPeer:
    pool = await asyncpg.create_pool(server.dsn, min_size=1, max_size=10)
    return lambda: pool.fetchrow(QUERY, 7), pool.close


async def open_asyncpg_pool_without_reset(server: ThrowawayPostgres) -> AsyncPeer:
    async def nothing(_connection: object) -> None:
        pass

    pool = await asyncpg.create_pool(server.dsn, min_size=1, max_size=10, reset=nothing)
    return lambda: pool.fetchrow(QUERY, 7), pool.close


async def open_psycopg_pool(server: ThrowawayPostgres) -> AsyncPeer:
    options = {"autocommit": True, "prepare_threshold": 0}
    pool = psycopg_pool.AsyncConnectionPool(server.dsn, min_size=1, max_size=10, open=False, kwargs=options)
    await pool.open(wait=True)

    async def call() -> object:
        async with pool.connection() as connection:
            cursor = await connection.execute(FORMAT, (7,))
            return await cursor.fetchone()

    return call, pool.close


async def open_sqlalchemy(server: ThrowawayPostgres) -> AsyncPeer:
    url = sqlalchemy.make_url(server.dsn).set(drivername="postgresql+asyncpg", query={})
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    statement = sqlalchemy.text(NAMED)

    async def call() -> object:
        async with engine.connect() as connection:
            return (await connection.execute(statement, {"id": 7})).one()

    return call, engine.dispose


def open_psycopg(server: ThrowawayPostgres) -> SyncPeer:
    connection = psycopg.connect(server.dsn, autocommit=True, prepare_threshold=0)
    return cursor_call(connection, FORMAT), connection.close


def open_wrapper(server: ThrowawayPostgres, **options: Any) -> SyncPeer:
    return wrapper_peer(psycopg.Connection.connect, server, FORMAT, dbname="postgres", prepare_threshold=0, **options)


POSTGRES = Engine(
    name="postgres",
    driver="asyncpg",
    sync_driver="psycopg",
    gate=1.10,
    start=start,
    open_raw=open_raw,
    open_sync_raw=open_psycopg,
    async_peers={
        "rdskit": open_rdskit,
        "asyncpg.Pool": open_asyncpg_pool,
        "asyncpg.Pool, no reset": open_asyncpg_pool_without_reset,
        "psycopg_pool (psycopg)": open_psycopg_pool,
        "SQLAlchemy async": open_sqlalchemy,
    },
    sync_peers={
        "AWS wrapper, no plugins": lambda server: open_wrapper(server, plugins=""),
        "AWS wrapper, default plugins": open_wrapper,
    },
)
