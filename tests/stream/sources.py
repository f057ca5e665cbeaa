"""A database of each engine whose changes can be captured, and a copy that follows them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import rdskit
from rdskit.stream.capture import Kind, drop, status
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    import pytest

    from rdskit.stream.capture import Change, Changes

ENGINES = ["postgres", "mysql", "mariadb"]


class Captured(NamedTuple):
    """A fresh database, and how a user that may replicate reaches it."""

    engine: str
    url: str
    name: str
    host: str
    port: int

    @property
    def is_postgres(self) -> bool:
        return self.engine == "postgres"

    def with_login(self, user: str, password: str) -> str:
        """Return the URL of another user."""
        scheme = self.url.partition("://")[0]
        return f"{scheme}://{user}:{password}@{self.host}:{self.port}/{self.name}"


def captured(request: pytest.FixtureRequest, engine: str) -> Captured:
    server = request.getfixturevalue(engine)
    fresh = request.getfixturevalue("database" if engine == "postgres" else f"{engine}_database")
    scheme = "postgresql" if engine == "postgres" else engine
    url = f"{scheme}://{server.superuser}:{server.password}@{server.host}:{server.port}/{fresh.name}"
    return Captured(engine, url, fresh.name, server.host, server.port)


async def take(stream: Changes, count: int, *, done: bool = True) -> list[Change]:
    """Take so many changes, and leave the stream open."""
    found: list[Change] = []
    async with asyncio.timeout(60):
        async for change in stream:
            found.append(change)
            if done:
                await change.done()
            if len(found) == count:
                break
    return found


def apply(copy: dict[Any, Any], change: Change) -> None:
    """Apply a change to a copy of one table by its key ``id``."""
    if change.kind is Kind.TRUNCATE:
        copy.clear()
    if change.old is not None:
        copy.pop(change.old["id"], None)
    if change.kind is Kind.DELETE:
        return
    if change.new is not None:
        copy[change.new["id"]] = tuple(change.new)


async def begun(db: rdskit.Database, name: str) -> None:
    """Wait until a consumer has a position: what is committed from then on reaches it."""

    async def has_position() -> bool:
        return any(each.name == name and each.position for each in await status(db))

    await eventually(has_position, 30)


async def dropped(db: rdskit.Database, name: str) -> None:
    """Drop a consumer, as soon as the server has noticed that its reader is gone."""

    async def drops() -> bool:
        try:
            await drop(db, name)
        except rdskit.QueryError:
            return False
        return True

    await eventually(drops, 30)
