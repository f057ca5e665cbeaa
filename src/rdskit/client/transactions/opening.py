"""How a transaction begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.client.transactions.observed import ObservedTransaction
from rdskit.client.transactions.transaction import Transaction
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from rdskit.client.failover import Cluster
    from rdskit.client.pool import Lease
    from rdskit.kernel.scope import Scope
    from rdskit.kernel.sql import StatementCache
    from rdskit.runtime.deadlines import Deadline


async def begin(
    cluster: Cluster,
    statements: StatementCache,
    text: str,
    deadline: Deadline,
    timeout: float | None,
    patience: Deadline,
    scope: Scope,
) -> tuple[Lease, Transaction]:
    """Open a transaction on the writer; what is lost before BEGIN was answered is simply tried again.

    Args:
        cluster: whose writer.
        statements: compiled statements.
        text: the BEGIN statement.
        deadline: of the whole transaction.
        timeout: of each statement, in seconds.
        patience: when waiting for a connection ends.
        scope: the tenant, role and schema that it runs with.
    """
    while True:
        lease = await cluster.acquire_writer(patience, scope)
        try:
            await lease.run(lease.connection.control(text, None), patience.due)
        except DriverError as error:
            lease.give_back()
            cluster.report(error.failure)
            if error.failure is not Failure.LOST or patience.passed or not cluster.retries.may_retry():
                raise error.public from error.__cause__
        except BaseException:
            lease.give_back()
            raise
        else:
            kind = ObservedTransaction if cluster.observers else Transaction
            transaction = kind(lease, statements, deadline, timeout, read_only=" read only" in text)
            transaction.observers = cluster.observers
            return lease, transaction
