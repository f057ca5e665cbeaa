"""Begin a transaction on the writer."""

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
    connect_deadline: Deadline,
    scope: Scope,
) -> tuple[Lease, Transaction]:
    """Open a transaction on the writer, and retry if the connection is lost before BEGIN is answered.

    Args:
        cluster: the cluster whose writer runs it.
        statements: compiled statements.
        text: the BEGIN statement.
        deadline: of the whole transaction.
        timeout: of each statement, in seconds.
        connect_deadline: when waiting for a connection and for BEGIN ends.
        scope: the tenant, role and schema that it runs with.
    """
    # An unanswered BEGIN has no effect: the server rolls back when it notices the lost connection.
    while True:
        lease = await cluster.acquire_writer(connect_deadline, scope)
        try:
            await lease.run(lease.connection.control(text, None), connect_deadline.due)
        except DriverError as error:
            lease.give_back()  # before the next attempt: with max_size=1 it would wait for its own connection
            cluster.report(error.failure)
            if error.failure is not Failure.LOST or connect_deadline.passed or not cluster.retries.may_retry():
                raise error.public from error.__cause__
        except BaseException:
            lease.give_back()
            raise
        else:
            kind = ObservedTransaction if cluster.observers else Transaction
            transaction = kind(lease, statements, deadline, timeout, read_only=" read only" in text)
            transaction.observers = cluster.observers
            return lease, transaction
