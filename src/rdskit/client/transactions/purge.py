"""Remove old rows from our tables: commit markers older than a day, and expired idempotency keys."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from rdskit.errors import RdskitError
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from rdskit.client.transactions.transaction import Transaction

# One call in 500 purges. It removes up to 1,000 rows per table, twice as many as the calls in between have written.
_SHARE: Final = 0.002

# SKIP LOCKED leaves rows alone that another transaction has locked, such as an expired key that a request is reusing.
# So a purge waits for no transaction. Its rows are locked before the delete, which cannot block either.
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
    """Return the statements that remove up to 1,000 old commit markers and expired idempotency keys."""
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
    """Remove old rows in one call of 500; log an error instead of raising it.

    Args:
        dialect: the server's.
        begin: opens a transaction at READ COMMITTED, where InnoDB locks the removed rows only, and no gaps.
        chance: a random number from [0, 1).
    """
    if chance >= _SHARE:
        return
    try:
        async with begin() as tx:
            for statement in purge_statements(dialect):
                await tx.execute(statement)
    except RdskitError as error:
        _log.warning("old rows of rdskit's tables could not be removed; a later call retries: %s", error)
