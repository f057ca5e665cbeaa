"""Open a database from the arguments of ``rdskit.connect``, and wait until its writer has answered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rdskit.client.database.capacity import check_budget
from rdskit.client.database.checks import with_checked_types
from rdskit.client.database.context import DatabaseContext, session_context
from rdskit.client.database.database import Database
from rdskit.client.database.fork_safety import belongs_to_this_process
from rdskit.client.database.variants import Variants
from rdskit.client.failover import Cluster
from rdskit.client.notifications import Hub
from rdskit.client.pool import PoolLimits
from rdskit.client.replicas import Readers, Routines, Tokens
from rdskit.client.statements import StoredCode
from rdskit.client.statements.hooks import WriteHooks
from rdskit.client.targets.options import Options
from rdskit.client.targets.resolve import resolve
from rdskit.client.transactions import MarkerTable
from rdskit.errors import ConfigError
from rdskit.kernel.codecs import checked_codecs
from rdskit.kernel.session_settings import checked_settings
from rdskit.kernel.sql import StatementCache, function_name
from rdskit.runtime.deadlines import Deadline
from rdskit.runtime.observers import Observers
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from rdskit.client.database.arguments import ConnectArguments
    from rdskit.client.targets.resolve import Resolved

_MIN_SIZE = 2  # default number of connections kept open to each host
_START_TIMEOUT = 30.0  # seconds for the first connection to the writer, if the application sets no limit


async def open_target(target: str, options: Options) -> Database:
    """Resolve a target and open its database.

    Args:
        target: as for ``rdskit.connect``.
        options: the checked arguments.

    Raises:
        RdskitError: the target cannot be resolved, or its writer cannot be used. Nothing stays open then.
    """
    owner = TaskOwner("database")
    try:
        return await open_database(await resolve(target, options, owner), options, owner)
    except BaseException:
        await owner.close()
        raise


async def open_database(resolved: Resolved, options: Options, owner: TaskOwner) -> Database:
    """Start the cluster of a resolved target and build the database on it.

    Args:
        resolved: where the database is and how it is reached.
        options: the checked arguments of ``connect``.
        owner: of the background tasks; the database closes it with itself.

    Raises:
        RdskitError: the writer cannot be used. Nothing stays open then, except what ``owner`` had begun before.
    """
    tokens = Tokens(resolved.source.cluster, options.token_key)  # first: it may refuse the key before anything is sent
    statements = StatementCache(resolved.dialect, options.readable)
    stored_code = StoredCode(statements)
    cluster = Cluster(
        resolved.source,
        resolved.access,
        options.limits,
        readers=options.readers != "off",
        observers=Observers(options.observers, str(resolved.target)),
        after_reset=stored_code.ask,
    )
    # Registered before the first socket is opened: the process may fork while `start` waits.
    opening = _Opening(cluster)
    belongs_to_this_process(opening, _Opening.nothing_to_leave)
    try:
        shared = await _started(opening.cluster, tokens, statements, str(resolved.target), options, owner)
        owner.spawn(stored_code.keep_current(cluster), "look for changed functions and triggers")
        return Database(session_context(shared, shared.nothing_written()))
    except BaseException:
        # Background tasks first, because they use the cluster's connections.
        await owner.close()
        await cluster.close()
        raise


class _Opening:
    """A cluster that is being started; a child that is forked in the meantime must not touch its sockets."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def nothing_to_leave(self) -> None:
        """Do nothing: no code of the child can reach this cluster."""


async def _started(
    cluster: Cluster, tokens: Tokens, statements: StatementCache, name: str, options: Options, owner: TaskOwner
) -> DatabaseContext:
    """Start the cluster, check the options against it, and return what the database's sessions share."""
    await cluster.start(Deadline.after(min(options.timeout or _START_TIMEOUT, options.limits.connect_timeout * 2)))
    only_reads = not cluster.takes_writes
    if only_reads and options.consistency == "strong":
        raise ConfigError(
            f"consistency='strong' reads from the writer, and {name} leads to readers only: connect by the "
            "cluster's own endpoint, or choose 'session' or 'eventual'"
        )
    await check_budget(cluster, options.limits, options.processes)
    marker_table = MarkerTable()
    return DatabaseContext(
        name=name,
        cluster=cluster,
        statements=statements,
        tokens=tokens,
        marker_table=marker_table,
        variants=Variants(statements, marker_table),
        readers=Readers(cluster, owner, options.spill) if options.readers != "off" else None,
        routines=Routines(cluster, statements, owner),
        consistency=options.consistency,
        timeout=options.timeout,
        hooks=WriteHooks(cluster, owner),
        hub=Hub(cluster, owner),
        only_reads=only_reads,
        owner=owner,
    )


def checked(given: ConnectArguments) -> Options:
    """Check the arguments of ``connect``.

    Raises:
        ConfigError: one of them is wrong.
    """
    given = with_checked_types(given)
    max_size, readers = given.max_size, given.readers
    return Options(
        credentials=given.credentials,
        tls=given.tls,
        ca=given.ca,
        cleartext_password=given.cleartext_password,
        consistency=given.consistency,
        readers=readers if isinstance(readers, str) else tuple(readers),
        readable=tuple(map(function_name, given.readable)),
        topology=given.topology,
        timeout=given.timeout,
        limits=PoolLimits(
            min_size=min(_MIN_SIZE, max_size) if given.min_size is None else given.min_size,
            max_size=max_size,
            max_waiting=10 * max_size if given.max_waiting is None else given.max_waiting,
            connect_timeout=given.connect_timeout,
        ),
        application_name=given.application_name,
        settings=checked_settings(given.settings),
        codecs=checked_codecs(given.codecs),
        observers=tuple(given.observers),
        processes=_processes(os.environ.get("WEB_CONCURRENCY")) if given.processes is None else given.processes,
        pinning=given.pinning,
        pipeline=given.pipeline,
        spill=given.spill,
        token_key=given.token_key,
    )


def _processes(concurrency: str | None) -> int:
    """Return the number of worker processes, which Gunicorn, Uvicorn and platforms set; 1 if unset."""
    return int(concurrency) if concurrency and concurrency.isdecimal() and int(concurrency) else 1
