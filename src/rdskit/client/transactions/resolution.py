"""What became of a fenced transaction whose COMMIT was lost."""

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

# The resolver's row says that nothing was committed. Both rows count the questions, so that an answer always waits for
# a commit of its own: a transaction that the old writer had not yet sent to its standby is never taken for a safe one.
_CLAIM: Final = {
    Dialect.POSTGRES: "insert into {table} as fence (id, committed) values (:id, false) "
    "on conflict (id) do update set checks = fence.checks + 1",
    Dialect.MYSQL: "insert into {table} (id, committed) values (:id, false) "
    "on duplicate key update checks = checks + 1",
}
_VERDICT: Final = "select committed from {table} where id = :id"
_TRANSIENT: Final = (FailoverError, ConnectError, SerializationError, DeadlockError, QueryTimeout)
_log = logging.getLogger("rdskit.transactions")


async def resolve(
    fence: CommitMarker,
    dialect: Dialect,
    begin: Callable[[], AbstractAsyncContextManager[Transaction]],
    deadline: Deadline,
) -> bool:
    """Find out on the current writer whether a fenced transaction committed; afterwards it cannot change any more.

    Args:
        fence: its own.
        dialect: the server's.
        begin: opens a transaction.
        deadline: when to give up.

    Raises:
        RdskitError: nothing could be learned before the deadline.
    """
    attempt = 0
    while True:
        try:
            async with begin() as tx:
                await tx.execute(_CLAIM[dialect].format(table=fence.table), id=fence.number)
                return bool(await tx.fetch_value(_VERDICT.format(table=fence.table), id=fence.number))
        except _TRANSIENT as error:
            if deadline.passed:
                raise
            _log.info("the outcome of a COMMIT is still unknown: %s", error)
        except RdskitError as error:
            raise explained(error, FEATURE) from error
        attempt += 1
        pause = TRANSACTION.delay(attempt, random.random())  # noqa: S311 - jitter, not a secret
        await asyncio.sleep(deadline.bounded(pause))
