"""The end of old rows in our tables: fences that nobody asks for any more, and idempotency keys that have expired."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from rdskit.errors import RdskitError
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from rdskit.client.transactions.transaction import Transaction

_SHARE: Final = 0.002  # of the calls; each removes up to 1,000 rows of a table, more than are made between two of them

# Rows are locked before they go, and one that somebody else has locked is left alone: an expired key may be in use anew
# by then, and nobody shall wait for a purge, or a purge for anybody.
_POSTGRES: Final = """
delete from {table} where ctid = any (array(
    select ctid from {table} where {moment} <= {limit} order by {moment} limit 1000 for update skip locked))
"""
_MYSQL: Final = """
delete old from (
    select {key} from {table} where {moment} <= {limit} order by {moment} limit 1000 for update skip locked
) as found straight_join {table} as old force index (primary) on {join}
"""
_YESTERDAY: Final = "current_timestamp - interval '24' hour"
_NOW: Final = {Dialect.POSTGRES: "current_timestamp", Dialect.MYSQL: "current_timestamp(6)"}
_log = logging.getLogger("rdskit.transactions")


def purge_statements(dialect: Dialect) -> tuple[str, ...]:
    """The statements that remove up to 1,000 rows each: fences older than 24 hours, and expired idempotency keys."""
    return (
        _deletion(dialect, "rdskit_txn", ("id",), "created_at", _YESTERDAY),
        _deletion(dialect, "rdskit_idempotency", ("scope", "idempotency_key"), "expires_at", _NOW[dialect]),
    )


def _deletion(dialect: Dialect, table: str, key: tuple[str, ...], moment: str, limit: str) -> str:
    text = _POSTGRES if dialect is Dialect.POSTGRES else _MYSQL
    join = " and ".join(f"old.{column} = found.{column}" for column in key)
    return text.format(table=table, key=", ".join(key), moment=moment, limit=limit, join=join)


async def purge_sometimes(
    dialect: Dialect, begin: Callable[[], AbstractAsyncContextManager[Transaction]], chance: float
) -> None:
    """Remove rows whose time is over; only now and then, and never at the cost of the call that pays for it.

    Args:
        dialect: the server's.
        begin: opens a transaction at read committed, whose locks are on the rows that it removes alone.
        chance: a random number from [0, 1).
    """
    if chance >= _SHARE:
        return
    try:
        async with begin() as tx:
            for statement in purge_statements(dialect):
                await tx.execute(statement)
    except RdskitError as error:
        _log.warning("old rows of rdskit's tables could not be removed, which is tried again later: %s", error)
