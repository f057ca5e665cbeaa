"""From the arguments of ``rdskit.connect`` to a database whose writer has answered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rdskit.client.database.database import open_database
from rdskit.client.database.options import Options
from rdskit.client.database.resolve import resolve
from rdskit.client.pool import PoolLimits
from rdskit.kernel.sql import function_name
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdskit.client.database.database import Database


async def open_target(target: str, given: Mapping[str, Any]) -> Database:
    """Resolve a target and open its database; whatever was begun is ended again when that fails."""
    options = options_of(given)
    owner = TaskOwner("database")
    try:
        return await open_database(await resolve(target, options, owner), options, owner)
    except BaseException:
        await owner.close()
        raise


def options_of(given: Mapping[str, Any]) -> Options:
    """Check the arguments of ``connect`` and bring them into their two values.

    Raises:
        ConfigError: one of them is wrong.
    """
    rest = dict(given)
    max_size, max_waiting = rest.pop("max_size"), rest.pop("max_waiting")
    limits = PoolLimits(
        min_size=min(rest.pop("min_size"), max_size),
        max_size=max_size,
        max_waiting=10 * max_size if max_waiting is None else max_waiting,
        connect_timeout=rest.pop("connect_timeout"),
    )
    processes, readers, readable = rest.pop("processes"), rest.pop("readers"), rest.pop("readable")
    return Options(
        limits=limits,
        readers=readers if isinstance(readers, str) else tuple(readers),
        readable=tuple(map(function_name, (readable,) if isinstance(readable, str) else readable)),
        observers=tuple(rest.pop("observers")),
        processes=_processes(os.environ.get("WEB_CONCURRENCY")) if processes is None else processes,
        **rest,
    )


def _processes(concurrency: str | None) -> int:
    """What Gunicorn, Uvicorn and platforms set to the number of worker processes; 1 where nobody says."""
    return int(concurrency) if concurrency and concurrency.isdecimal() and int(concurrency) else 1
