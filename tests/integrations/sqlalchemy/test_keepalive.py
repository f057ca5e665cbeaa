"""Connections of SQLAlchemy's pool to a server that is gone without a word end by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.plugins.keepalive import CLIENT_PORT, seconds_to_live, seconds_unacknowledged

if TYPE_CHECKING:
    from sqlalchemy import URL


def question(url: URL) -> sqlalchemy.TextClause:
    return text(CLIENT_PORT["postgresql" if url.get_backend_name() == "postgresql" else "mysql"])


def test_a_connection_of_an_engine_is_asked(sync_url: URL) -> None:
    engine = sqlalchemy.create_engine(sync_url)
    with engine.connect() as connection:
        assert_watched(int(connection.scalar(question(sync_url)) or 0))
    engine.dispose()


async def test_a_connection_of_an_asynchronous_engine_is_asked(async_url: URL) -> None:
    engine = create_async_engine(async_url)
    async with engine.connect() as connection:
        assert_watched(int(await connection.scalar(question(async_url)) or 0))
    await engine.dispose()


def assert_watched(port: int) -> None:
    assert seconds_to_live(port) == 25
    assert seconds_unacknowledged(port) == 30
