"""Build the objects that a session needs, in one step, so that none exists half-built."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rdskit.client.database.executor import Executor
from rdskit.client.database.observed import ObservedExecutor
from rdskit.client.database.pipelined import ObservedPipelinedExecutor, PipelinedExecutor
from rdskit.client.database.routed import ObservedRoutedExecutor, RoutedExecutor, Router
from rdskit.client.database.transaction_scope import TransactionContext, TransactionScope
from rdskit.client.replicas import KnownRoutines, NoWritePosition, WritePosition
from rdskit.client.statements.hooks import WriteHooks
from rdskit.client.transactions import CommitMarking
from rdskit.kernel.scope import NO_SCOPE, Scope

if TYPE_CHECKING:
    from rdskit.client.database.variants import Variants
    from rdskit.client.failover import Cluster
    from rdskit.client.notifications import Hub
    from rdskit.client.replicas import Readers, Routines, Tokens
    from rdskit.client.transactions import MarkerTable
    from rdskit.kernel.sql import StatementCache
    from rdskit.runtime.tasks import TaskOwner


@dataclass(frozen=True, slots=True)
class DatabaseContext:
    """What all sessions of one database share.

    Attributes:
        name: the target without its password, for messages.
        cluster: the started cluster.
        statements: compiled statements.
        tokens: issues and reads tokens.
        marker_table: the database's table of commit markers.
        readers: the readers; None if every read goes to the writer.
        routines: looks up which functions only read.
        consistency: where reads may go, as for ``connect``.
        timeout: seconds for each call that names no timeout of its own; None for no limit.
        hooks: write hooks of the database and all its sessions.
        only_reads: the target led to readers only when it was opened, so the client cannot write.
        owner: owns the background tasks.
        hub: listens for notifications.
        variants: what differs between scopes.
        scope: the tenant, role and schema that statements run with.
        router: chooses between writer and readers for each statement; None for the default rule.
    """

    name: str
    cluster: Cluster
    statements: StatementCache
    tokens: Tokens
    marker_table: MarkerTable
    readers: Readers | None
    routines: Routines
    consistency: str
    timeout: float | None
    hooks: WriteHooks
    only_reads: bool
    owner: TaskOwner
    hub: Hub
    variants: Variants
    scope: Scope = NO_SCOPE
    router: Router | None = None

    def nothing_written(self) -> WritePosition:
        """Return the write position of a session that has written nothing so far."""
        return NoWritePosition(self.owner) if self.only_reads else WritePosition(self.owner)


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What one session needs.

    Attributes:
        shared: the part that all sessions of the database share.
        written: how far this session has written, which its reads must see.
        executor: runs statements outside transactions.
        transactions: what its transactions need.
        marking: resolves COMMITs whose answer was lost.
    """

    shared: DatabaseContext
    written: WritePosition
    executor: Executor
    transactions: TransactionContext
    marking: CommitMarking


def session_context(shared: DatabaseContext, written: WritePosition) -> SessionContext:
    """Build the context of one session.

    Args:
        shared: the part that all sessions share.
        written: how far the session has written.
    """
    cluster, statements = shared.cluster, shared.statements
    transactions = TransactionContext(cluster, statements, written, shared.timeout, shared.hooks, shared.scope)
    # rdskit's own writes, to resolve a lost COMMIT, must not call the application's write hooks.
    own = functools.partial(TransactionScope, transactions._replace(hooks=WriteHooks(cluster, shared.owner)))
    return SessionContext(
        shared=shared,
        written=written,
        executor=_executor(shared, written),
        transactions=transactions,
        marking=CommitMarking(shared.marker_table, statements.dialect, cluster.retries, own),
    )


def view_context(
    of: SessionContext,
    *,
    scope: Scope | None = None,
    router: Router | None = None,
    unlimited: bool = False,
    statements: StatementCache | None = None,
) -> SessionContext:
    """Build the context of a view of a database, which shares everything else with it.

    Args:
        of: the database's context.
        scope: the tenant, role and schema that its statements run with; None for those of ``of``.
        router: chooses the host of each statement; None for the router of ``of``.
        unlimited: its calls have no timeout by default.
        statements: a cache of compiled statements to use instead of the scope's shared one.
    """
    shared = of.shared
    if scope is not None:
        scope = shared.variants.scope(scope)
        if statements is None:  # compared with None, because an empty cache is false
            statements = shared.variants.statements(scope)
        # `Routines` teaches the cache what it asks on a connection without scope. That is right for this cache only.
        learns = statements is shared.variants.statements(NO_SCOPE)
        shared = replace(
            shared,
            scope=scope,
            statements=statements,
            marker_table=shared.variants.marker_table(scope),
            routines=shared.routines if learns else KnownRoutines(shared.cluster, statements, shared.owner),
        )
    if router is not None:
        shared = replace(shared, router=router)
    if unlimited:
        shared = replace(shared, timeout=None)
    return session_context(shared, of.written)


def _executor(shared: DatabaseContext, written: WritePosition) -> Executor:
    observed = bool(shared.cluster.observers)
    arguments = (
        shared.cluster,
        shared.readers,
        written,
        shared.routines,
        shared.consistency,
        shared.hooks,
        shared.scope,
    )
    # The class is chosen once per session, so that `run` needs no test for observers, a router or pipelining.
    if shared.router is None and shared.scope is NO_SCOPE and shared.cluster.pipelines:
        return (ObservedPipelinedExecutor if observed else PipelinedExecutor)(*arguments)
    if shared.router is None:
        return (ObservedExecutor if observed else Executor)(*arguments)
    routed = (ObservedRoutedExecutor if observed else RoutedExecutor)(*arguments)
    routed.router = shared.router
    return routed
