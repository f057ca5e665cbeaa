"""Find out whether a transaction with a commit marker committed, after the answer to its COMMIT was lost."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from rdskit.client.transactions.commit_marker import FEATURE
from rdskit.client.transactions.tables import explained
from rdskit.errors import ConnectError, DeadlockError, FailoverError, QueryTimeout, RdskitError, SerializationError
from rdskit.kernel.backoff import TRANSACTION
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from rdskit.client.transactions.commit_marker import CommitMarker
    from rdskit.client.transactions.transaction import Transaction
    from rdskit.runtime.deadlines import Deadline

# The resolver inserts a row with the transaction's number and committed=false. If the transaction's own row is there,
# the insert counts up `checks` instead. Either way the resolver writes, so its answer needs a commit of its own: with
# synchronous replication that commit waits until the standby has the transaction's row too.
_CLAIM: Final = {
    Dialect.POSTGRES: "insert into {table} as marker (id, committed) values (:id, false) "
    "on conflict (id) do update set checks = marker.checks + 1",
    Dialect.MYSQL: "insert into {table} (id, committed) values (:id, false) "
    "on duplicate key update checks = checks + 1",
}
_OUTCOME: Final = "select committed from {table} where id = :id"
_TRANSIENT: Final = (FailoverError, ConnectError, SerializationError, DeadlockError, QueryTimeout)
_log = logging.getLogger("rdskit.transactions")


async def resolve(
    marker: CommitMarker,
    dialect: Dialect,
    begin: Callable[[], AbstractAsyncContextManager[Transaction]],
    deadline: Deadline,
) -> bool:
    """Return whether a transaction committed, as the current writer knows it; the answer is final.

    If the transaction has not committed, the resolver's row makes its COMMIT fail from now on. If the transaction is
    still running and has written its row, the insert waits until it ends.

    Args:
        marker: the transaction's commit marker.
        dialect: the server's.
        begin: opens a transaction.
        deadline: when to give up.

    Raises:
        RdskitError: no attempt succeeded before the deadline.
    """
    attempt = 0
    while True:
        try:
            # Return after the block has committed only: an uncommitted claim would not stop the transaction.
            async with begin() as tx:
                await tx.execute(_CLAIM[dialect].format(table=marker.table), id=marker.number)
                return bool(await tx.fetch_value(_OUTCOME.format(table=marker.table), id=marker.number))
        except _TRANSIENT as error:
            if deadline.passed:
                raise
            _log.info("the outcome of a COMMIT is still unknown: %s", error)
        except RdskitError as error:
            raise explained(error, FEATURE) from error
        attempt += 1
        pause = TRANSACTION.delay(attempt, random.random())  # noqa: S311 - jitter, not a secret
        await asyncio.sleep(deadline.bounded(pause))
