"""Export what packages above the client may use; they import nothing else of it.

Names are loaded at their first use, so that a package imports only what it needs. The functions here are for packages
that extend the client: caches, change streams, gateways, tenancy. ``docs/internal-api.md`` shows each in use.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from rdskit.client.credentials import (
        EnvironmentCredentials,
        Iam,
        check_credentials,
        choose_credentials,
        log_in_here,
        may_send_password,
    )
    from rdskit.client.database import connect
    from rdskit.client.database.arguments import ConnectArguments
    from rdskit.client.database.checks import check_plain_types
    from rdskit.client.database.database import Database
    from rdskit.client.database.fork_safety import belongs_to_this_process
    from rdskit.client.database.held import HeldConnection
    from rdskit.client.database.named import NamedTarget, expanded, is_name, named_target, target_names
    from rdskit.client.database.opening import checked, open_target
    from rdskit.client.database.queries import DEFAULT, dialect_of
    from rdskit.client.database.routed import Route, Router
    from rdskit.client.database.session import Session
    from rdskit.client.database.status import Health, HostHealth, Stats
    from rdskit.client.database.transactional import KEEP
    from rdskit.client.failover import Cluster
    from rdskit.client.notifications import Listening
    from rdskit.client.outbox import Handler, Message, Relay
    from rdskit.client.pool import Pool, PoolLimits, Retired
    from rdskit.client.pool.model import PoolStats
    from rdskit.client.statements import Page, Source, into_all, into_one, into_value
    from rdskit.client.targets.destination import Destination
    from rdskit.client.targets.drivers import parse
    from rdskit.client.targets.location import Located
    from rdskit.client.targets.options import Options
    from rdskit.client.targets.resolve import Resolved, resolve
    from rdskit.client.targets.search import Search, retry_while_away
    from rdskit.client.tls import MODES, authority_file, tls_context
    from rdskit.client.tls.arguments import TLS_NAMES, tls_arguments
    from rdskit.client.transactions import TABLES, Transaction, fingerprint_of, name_of
    from rdskit.client.transactions.policy import may_repeat
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Capabilities
    from rdskit.kernel.positions import Position
    from rdskit.kernel.replication import BinlogReplication, LogicalReplication
    from rdskit.kernel.scope import Scope
    from rdskit.kernel.sql import Rewriter, Statement, StatementCache
    from rdskit.kernel.topology import Epoch
    from rdskit.kernel.writes import WriteHook
    from rdskit.runtime.observers import NamedObserver


# Each is loaded when it is first used.
__all__ = [
    "DEFAULT",
    "KEEP",
    "MODES",
    "TABLES",
    "TLS_NAMES",
    "Cluster",
    "ConnectArguments",
    "Database",
    "Destination",
    "EnvironmentCredentials",
    "Handler",
    "Health",
    "HeldConnection",
    "HostHealth",
    "Iam",
    "Listening",
    "Located",
    "Message",
    "NamedTarget",
    "Options",
    "Page",
    "Pool",
    "PoolLimits",
    "PoolStats",
    "ReaderState",
    "Relay",
    "Resolved",
    "Retired",
    "Route",
    "Search",
    "Session",
    "Source",
    "Stats",
    "Transaction",
    "authority_file",
    "belongs_to_this_process",
    "capabilities",
    "check_credentials",
    "check_plain_types",
    "checked",
    "choose_credentials",
    "connect",
    "dialect_of",
    "epochs",
    "expanded",
    "fingerprint_of",
    "into_all",
    "into_one",
    "into_value",
    "is_name",
    "learn_functions",
    "log_in_here",
    "may_repeat",
    "may_send_password",
    "name_of",
    "named_target",
    "observe_all",
    "on_write",
    "open_target",
    "parse",
    "reader_progress",
    "replication",
    "resolve",
    "retry_while_away",
    "rewriting",
    "routed",
    "routes_reads",
    "scope_of",
    "scoped",
    "statement_of",
    "target_names",
    "tls_arguments",
    "tls_context",
    "token_at",
    "writer_position",
]

_MODULES: Final = {
    "rdskit.client.credentials": (
        "EnvironmentCredentials",
        "Iam",
        "check_credentials",
        "may_send_password",
        "choose_credentials",
        "log_in_here",
    ),
    "rdskit.client.database": ("connect",),
    "rdskit.client.database.arguments": ("ConnectArguments",),
    "rdskit.client.database.checks": ("check_plain_types",),
    "rdskit.client.database.database": ("Database",),
    "rdskit.client.database.held": ("HeldConnection",),
    "rdskit.client.database.fork_safety": ("belongs_to_this_process",),
    "rdskit.client.database.named": ("NamedTarget", "expanded", "is_name", "named_target", "target_names"),
    "rdskit.client.database.opening": (
        "checked",
        "open_target",
    ),
    "rdskit.client.database.queries": ("DEFAULT", "dialect_of"),
    "rdskit.client.database.routed": ("Route",),
    "rdskit.client.database.session": ("Session",),
    "rdskit.client.database.status": (
        "Health",
        "HostHealth",
        "Stats",
    ),
    "rdskit.client.database.transactional": ("KEEP",),
    "rdskit.client.failover": ("Cluster",),
    "rdskit.client.notifications": ("Listening",),
    "rdskit.client.outbox": (
        "Handler",
        "Message",
        "Relay",
    ),
    "rdskit.client.pool": (
        "Pool",
        "PoolLimits",
        "Retired",
    ),
    "rdskit.client.pool.model": ("PoolStats",),
    "rdskit.client.statements": (
        "Page",
        "Source",
        "into_all",
        "into_one",
        "into_value",
    ),
    "rdskit.client.targets.destination": ("Destination",),
    "rdskit.client.targets.drivers": ("parse",),
    "rdskit.client.targets.location": ("Located",),
    "rdskit.client.targets.options": ("Options",),
    "rdskit.client.targets.resolve": (
        "Resolved",
        "resolve",
    ),
    "rdskit.client.targets.search": (
        "Search",
        "retry_while_away",
    ),
    "rdskit.client.tls": (
        "MODES",
        "authority_file",
        "tls_context",
    ),
    "rdskit.client.tls.arguments": (
        "TLS_NAMES",
        "tls_arguments",
    ),
    "rdskit.client.transactions": (
        "TABLES",
        "Transaction",
        "fingerprint_of",
        "name_of",
    ),
    "rdskit.client.transactions.policy": ("may_repeat",),
}
_MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # a type checker knows every name from the imports above, and reports any other

    def __getattr__(name: str) -> Any:
        module = _MODULE_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(module), name)
        return value


class ReaderState(NamedTuple):
    """The last known state of one reader.

    Attributes:
        identifier: its name in the topology.
        endpoint: the host.
        position: the last position that it is known to have replayed; None if unknown.
        lag: its lag in seconds; infinite if unknown.
        serves: whether reads are sent to it.
        reads: reads that it has answered so far.
    """

    identifier: str
    endpoint: Endpoint
    position: Position | None
    lag: float
    serves: bool
    reads: int


def rewriting(db: Database, rewriter: Rewriter) -> StatementCache:
    """Return a cache of compiled statements for ``scoped`` that changes each text before it is compiled.

    Views that share it compile a text once for all of them.

    Args:
        db: the database.
        rewriter: changes texts, and rows of ``insert_many``; it is called once for each text that is not cached.
    """
    return db.context.shared.statements.sibling(rewriter)


def scoped(db: Database, scope: Scope, *, statements: StatementCache | None = None) -> Database:
    """Return a view of a database whose statements all run with a tenant, role and schema.

    The view shares the pools, the write hooks and the write position. When a connection was last used with another
    scope, its session is set up at check-out: in one round trip on PostgreSQL, in one per part on MySQL and MariaDB.

    Args:
        db: the database, or a view of it.
        scope: the scope of the view; it replaces that of ``db``.
        statements: the result of ``rewriting``, for a view that changes texts; or None.
    """
    return _view(db, scope=scope, statements=statements)


def routed(db: Database, router: Router) -> Database:
    """Return a view of a database that lets a function choose the host of each statement outside a transaction.

    Args:
        db: the database, or a view of it.
        router: called with the compiled statement and the scope; it must return at once.
    """
    return _view(db, router=router)


def without_timeout(db: Database) -> Database:
    """Return a view of a database whose calls have no timeout by default, because DDL may take hours.

    Args:
        db: the database, or a view of it.
    """
    return _view(db, unlimited=True)


def _view(db: Database, **changes: Any) -> Database:
    from rdskit.client.database.context import view_context  # noqa: PLC0415 - with the database, not with this module
    from rdskit.client.database.database import View  # noqa: PLC0415 - same

    return View(view_context(db.context, **changes))


def on_write(db: Database, hook: WriteHook, *, position: bool = False) -> Callable[[], None]:
    """Await a hook after each commit of a database, its sessions and its views; return a function that removes it.

    It is called for autocommitted statements, transactions, ``run`` and ``run_once``, bulk inserts and held
    connections, after COMMIT and before the call returns. What it raises reaches the caller as ``HookError``.

    Args:
        db: the database, or a view of it.
        hook: an async function that takes a `Write`.
        position: read the commit position for it, which costs a round trip per write unless a reader needs it anyway.
    """
    return db.context.shared.hooks.add(hook, position=position)


def scope_of(db: Database) -> Scope:
    """Return the tenant, role and schema that the statements of a database object run with."""
    return db.context.shared.scope


def statement_of(db: Database, sql: str) -> Statement:
    """Return the compiled statement of a text, as the database itself would run it.

    Raises:
        ConfigError: it is not a text, or not a single statement with ``:name`` parameters.
    """
    return db.context.shared.statements.of(sql)


async def learn_functions(db: Database, sql: str) -> Statement:
    """Return the compiled statement of a text after the server was asked whether its functions only read."""
    shared = db.context.shared
    await shared.routines.ask(shared.statements.of(sql))
    return shared.statements.of(sql)


def routes_reads(db: Database) -> bool:
    """Return whether readers may serve reads now."""
    return db.context.shared.cluster.routes_reads


def token_at(db: Database, position: Position | None) -> str:
    """Return a token for ``after=`` of this process: the read sees everything up to a position.

    Args:
        db: the database, or a view of it.
        position: the position that the host must have replayed; None for the writer.
    """
    return db.context.shared.tokens.issue(position)


async def writer_position(db: Database, timeout: float) -> Position | None:
    """Read the writer's position; return None if it keeps no positions.

    The position covers every transaction that was acknowledged to any client before this call.

    Args:
        db: the database, or a view of it.
        timeout: seconds for the connection, and again for the answer.

    Raises:
        RdskitError: the query failed.
    """
    from rdskit.client.failover import writer_position as asking  # noqa: PLC0415 - with the database

    return await asking.writer_position(db.context.shared.cluster, timeout)


def epochs(db: Database) -> AsyncGenerator[Epoch, None]:
    """Yield the current epoch of a database's writer, then each later one; ends when the database is closed.

    An epoch begins when the writer is reached after a loss, so the writer is usable by then.
    """
    return db.context.shared.cluster.epochs.follow()


def reader_progress(db: Database) -> tuple[ReaderState, ...]:
    """Return the last known state of each reader."""
    readers = db.context.shared.readers
    return tuple(
        ReaderState(
            identifier=reader.identifier,
            endpoint=reader.pool.endpoint,
            position=None if reader.progress is None else reader.progress.position,
            lag=float("inf") if reader.progress is None else reader.progress.lag,
            serves=reader.can_serve(),
            reads=reader.served,
        )
        for reader in (readers.known() if readers else ())
    )


def capabilities(db: Database) -> Capabilities:
    """Return what the connections of a database can do."""
    return db.context.shared.cluster.capabilities


@contextlib.asynccontextmanager
async def replication(db: Database) -> AsyncIterator[LogicalReplication | BinlogReplication]:
    """Open a replication connection to the writer, outside the pools, for the length of a block.

    Raises:
        ConfigError: the driver has none.
        RdskitError: the connection could not be opened.
    """
    from rdskit.client.failover.replication import open_replication  # noqa: PLC0415 - with the database

    connection = await open_replication(db.context.shared.cluster)
    try:
        yield connection
    finally:
        await connection.close(_CLOSE_TIMEOUT)


def observe_all(observer: NamedObserver) -> Callable[[], None]:
    """Call a function with each event of all databases of this process; return a function that removes it.

    Args:
        observer: called with the database's name (its target without the password) and the event, on the event loop of
            that database: it must return at once. The queries of a database that was opened before are not among the
            events.
    """
    from rdskit.runtime.observers import EVERYWHERE  # noqa: PLC0415 - with the database

    return EVERYWHERE.add(observer)


_CLOSE_TIMEOUT: Final = 2.0  # seconds for the quit message of a replication connection
