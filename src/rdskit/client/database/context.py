"""What a session works with, built in one step: no object of this room is usable before all of it is there."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.client.database.block import Block, TransactionContext
from rdskit.client.database.executor import Executor
from rdskit.client.database.observed import ObservedExecutor
from rdskit.client.replicas import NothingWritten, Written
from rdskit.client.transactions import Fencing

if TYPE_CHECKING:
    from rdskit.client.failover import Cluster
    from rdskit.client.replicas import Readers, Routines, Tokens
    from rdskit.client.transactions import Fences
    from rdskit.kernel.sql import StatementCache
    from rdskit.runtime.tasks import TaskOwner


@dataclass(frozen=True, slots=True)
class DatabaseContext:
    """What all sessions of one database share.

    Attributes:
        name: the target without its password, for messages.
        cluster: the started cluster.
        statements: compiled statements.
        tokens: makes and reads tokens.
        fences: where the database keeps its commit markers.
        readers: the watched readers; None where every read goes to the writer.
        routines: learns which functions only read.
        consistency: where reads may go, as for ``connect``.
        timeout: seconds for each call that names no timeout of its own; None for no limit.
        only_reads: the target led to readers when it was opened, so that there is nothing to write.
        owner: of the background tasks.
    """

    name: str
    cluster: Cluster
    statements: StatementCache
    tokens: Tokens
    fences: Fences
    readers: Readers | None
    routines: Routines
    consistency: str
    timeout: float | None
    only_reads: bool
    owner: TaskOwner

    def nothing_written(self) -> Written:
        """Return the record of a session that has written nothing so far."""
        return NothingWritten(self.owner) if self.only_reads else Written(self.owner)


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What one session works with.

    Attributes:
        shared: the part that is the same for all sessions of the database.
        written: what this session has written, and its reads must see.
        executor: runs statements outside transactions.
        transactions: what its transactions are opened with.
        fencing: resolves COMMITs whose answer was lost.
    """

    shared: DatabaseContext
    written: Written
    executor: Executor
    transactions: TransactionContext
    fencing: Fencing


def session_context(shared: DatabaseContext, written: Written) -> SessionContext:
    """Build the context of one session.

    Args:
        shared: the database's.
        written: what the session has written so far.
    """
    cluster, statements = shared.cluster, shared.statements
    executor = ObservedExecutor if cluster.observers else Executor
    transactions = TransactionContext(cluster, statements, written, shared.timeout)
    return SessionContext(
        shared=shared,
        written=written,
        executor=executor(cluster, shared.readers, written, shared.routines, shared.consistency),
        transactions=transactions,
        fencing=Fencing(shared.fences, statements.dialect, cluster.retries, functools.partial(Block, transactions)),
    )
