"""One crash of a cluster's writer under an application with twenty connections, and everything that was seen of it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest import mock

import asyncpg
import psycopg

import rdskit
from rdskit.client.failover import cluster as cluster_room
from rdskit.events import Event, FailoverCompleted, FailoverStarted
from rdskit.local import faults, lifecycle
from tests.chaos.clusters import PASSWORD
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.chaos.clusters import Cluster
    from tests.chaos.wrapper_faults.child import Child

CONNECTIONS = 20
APPLICATION = "twenty-connections"
PATIENCE = 60.0
HOUR = 3600.0
WRITES = "select not pg_is_in_recovery() from pg_sleep(0.02)"
"""Says whether the host that answered writes; slow enough that twenty callers need twenty connections."""


@dataclass(slots=True)
class Seen:
    """What a crash was like.

    Attributes:
        before: the writer that was killed.
        after: the writer that followed.
        child: the writer that a forked child found, all by itself.
        cold: the writer that a database found which had not run anything yet, connected to the killed instance.
        answers: what the twenty callers were answered since the kill.
        raised: what was raised in them.
        events: of their database.
        backends: connections of theirs on all servers just before the crash.
        backends_left: after the database was closed.
        tasks_left: tasks that were there after it was closed and not before it was opened.
        attempts: connections that were begun from the kill until everybody had an answer.
        neighbour_events: of a database on another cluster.
        neighbour_hosts: that it knows.
        neighbour_failures: that it counted.
    """

    before: str = ""
    after: str = ""
    child: str = ""
    cold: str = ""
    answers: list[bool] = field(default_factory=list)
    raised: list[BaseException] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    backends: int = 0
    backends_left: int = 0
    tasks_left: list[str] = field(default_factory=list)
    attempts: int = 0
    neighbour_events: list[Event] = field(default_factory=list)
    neighbour_hosts: list[str] = field(default_factory=list)
    neighbour_failures: int = 0


async def crash(cluster: Cluster, neighbour: Cluster, child: Child) -> Seen:
    """Kill the writer under load; the look at the topology that is due by the clock is an hour away."""
    seen = Seen(before=cluster.writer)
    tasks = asyncio.all_tasks()
    with mock.patch.object(cluster_room, "_REFRESH_EVERY", HOUR):
        async with rdskit.connect(neighbour.target, observers=[seen.neighbour_events.append]) as other:
            await _crash_of_one(seen, cluster, child)
            assert await other.fetch_value("select 1") == 1
            seen.neighbour_hosts = [host.identifier for host in (await other.topology()).hosts]
            seen.neighbour_failures = other.stats().failures
    await eventually(lambda: _none(cluster), PATIENCE)
    seen.backends_left = await asyncio.to_thread(backends, cluster)
    seen.tasks_left = sorted(task.get_name() for task in asyncio.all_tasks() - tasks)
    return seen


async def _crash_of_one(seen: Seen, cluster: Cluster, child: Child) -> None:
    many: Any = {
        "max_size": CONNECTIONS,
        "application_name": APPLICATION,
        "consistency": "strong",
        "observers": [seen.events.append],
    }
    cold = rdskit.connect(cluster.target_of(seen.before), consistency="strong")
    async with rdskit.connect(cluster.target, **many) as db, cold as unused:
        async with _callers(seen, db) as callers:
            await eventually(lambda: _enough(seen, CONNECTIONS), PATIENCE)
            seen.backends = await asyncio.to_thread(backends, cluster)
            seen.answers.clear()
            with counted_attempts() as attempts:
                await cluster.inject(seen.before, faults.kill())
                await eventually(lambda: _recovered(seen, cluster), PATIENCE)
                seen.answers.clear()
                await eventually(lambda: _enough(seen, 2 * CONNECTIONS), PATIENCE)
                seen.attempts = attempts()
            assert len(callers) == CONNECTIONS
        seen.after = await writer_of(db)
        seen.cold = await writer_of(unused) if await unused.fetch_value(WRITES) else ""
        seen.child = await asyncio.to_thread(child.asked_again)


@contextlib.asynccontextmanager
async def _callers(seen: Seen, db: rdskit.Database) -> AsyncIterator[list[asyncio.Task[None]]]:
    over = asyncio.Event()

    async def ask() -> None:
        while not over.is_set():
            try:
                seen.answers.append(await db.fetch_value(WRITES, timeout=PATIENCE))
            except rdskit.RdskitError as error:
                seen.raised.append(error)

    callers = [asyncio.create_task(ask()) for _ in range(CONNECTIONS)]
    try:
        yield callers
    finally:
        over.set()
        await asyncio.gather(*callers)


async def _enough(seen: Seen, answers: int) -> bool:
    return len(seen.answers) >= answers


async def _recovered(seen: Seen, cluster: Cluster) -> bool:
    told = {type(event) for event in seen.events}
    return {FailoverStarted, FailoverCompleted} <= told and await asyncio.to_thread(
        lambda: cluster.writer
    ) != seen.before


async def writer_of(db: rdskit.Database) -> str:
    """Return who writes, as a database has found out."""
    writer = (await db.topology()).writer
    return writer.identifier if writer else ""


@contextlib.contextmanager
def counted_attempts() -> Iterator[Callable[[], int]]:
    """Count every connection that this process begins to open, successful or not."""
    with mock.patch.object(asyncpg, "connect", side_effect=asyncpg.connect) as connect:
        yield lambda: connect.call_count


def backends(cluster: Cluster) -> int:
    """Count how many connections the twenty callers' database has on all servers of the cluster."""
    found = 0
    for name in cluster.instances:
        with connected_to(cluster, name) as connection:
            text = "select count(*) from pg_stat_activity where application_name = %s"
            row = connection.execute(text, [APPLICATION]).fetchone()
            found += row[0] if row else 0
    return found


@contextlib.contextmanager
def connected_to(cluster: Cluster, instance: str) -> Iterator[psycopg.Connection]:
    """Open a plain connection to one instance as soon as it accepts one."""
    described = cluster.local_rds.rds.describe_db_instances(DBInstanceIdentifier=instance)["DBInstances"][0]
    with psycopg.connect(
        host=described["Endpoint"]["Address"],
        port=described["Endpoint"]["Port"],
        user="app",
        password=PASSWORD,
        dbname="app",
        sslmode="verify-full",
        sslrootcert=lifecycle.env(cluster.local_rds.data)["RDSKIT_CA"],
        connect_timeout=10,
    ) as connection:
        yield connection


async def _none(cluster: Cluster) -> bool:
    """Return whether the servers have noticed that all connections are closed; one that still starts is asked again."""
    try:
        return await asyncio.to_thread(backends, cluster) == 0
    except psycopg.OperationalError:
        return False
