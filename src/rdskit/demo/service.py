"""Run the demo: start servers, open the shop, run the load, fail over, count, and stop the servers."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import psutil

import rdskit
from rdskit.demo.load import Load
from rdskit.demo.model import Failover
from rdskit.demo.policy import first_writes_after, pulse_of, report_of
from rdskit.demo.provisioning import Provisioning
from rdskit.demo.server_monitor import ServerMonitor
from rdskit.demo.shop import open_shop, read_books
from rdskit.errors import LocalError
from rdskit.local import lifecycle
from rdskit.local.engines.mysql.installations import ensure_mariadb, ensure_mysql

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from rdskit.demo.model import Report
    from rdskit.demo.provisioning import DemoEngine, Entrance
    from rdskit.demo.view import View

_T = TypeVar("_T")

_FETCH = {"mysql": ensure_mysql, "mariadb": ensure_mariadb}  # PostgreSQL comes with the package

FAILOVER_AT = 0.35  # share of the load's time after which the failover is requested
_REFRESH = 0.25  # seconds between two views of the load
_WATCH = 0.1  # seconds between two checks of the local RDS's process
_RECORD = 20.0  # seconds to wait for the record of a requested failover
_COME_BACK = 10.0  # seconds to extend the load for a writer that is not back
_RECORD_POLL = 0.5  # seconds between two polls for the record


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of a run.

    Attributes:
        data: data directory of the local RDS.
        port: the port of its AWS API; None for the stored one, else 4566.
        seconds: how long the load lasts.
        writers: the number of customers who order.
        readers: the number of visitors who read.
        keep: leave the local RDS up afterwards.
        engine: the instance's engine.
    """

    data: Path
    port: int | None = None
    seconds: float = 15.0
    writers: int = 8
    readers: int = 4
    keep: bool = False
    engine: DemoEngine = "postgres"


class Demo:
    """Run a plan and show it on a view."""

    def __init__(self, plan: Plan, view: View) -> None:
        self._plan = plan
        self._view = view
        self._provisioning = Provisioning(plan.engine)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[Report] | None = None
        self._loading = False
        self._started = self._seconds = 0.0
        self._wall = dt.datetime.now(dt.UTC)

    async def run(self) -> Report:
        """Run the plan and return its report.

        Raises:
            LocalError: the local RDS could not be started, or ended in the middle.
            asyncio.CancelledError: ``interrupt`` was called before there was anything to report.
        """
        self._task = asyncio.create_task(self._run(), name="demo")
        return await self._task

    def interrupt(self) -> None:
        """End early: with a partial report during the load; at once before and after it, or on the second call."""
        if self._task is not None and (self._stop.is_set() or not self._loading):
            self._task.cancel()
        self._stop.set()

    async def _run(self) -> Report:
        await self._fetch_programs()
        async with self._local_rds() as pid:
            found = await self._provisioning.prepare(self._view.say)
            self._view.say(f"{found.title}, at {found.target}")
            try:
                async with asyncio.TaskGroup() as group:
                    watch = group.create_task(_watch(pid, self._plan.data), name="watch the local RDS")
                    report = await self._serve(found)
                    watch.cancel()
                    return report
            except BaseExceptionGroup as group_of_errors:
                raise _cause(group_of_errors) from group_of_errors

    async def _fetch_programs(self) -> None:
        """Download the engine's programs before an instance needs them: an AWS client would time out first."""
        fetch = _FETCH.get(self._plan.engine)
        if fetch is not None:
            loop = asyncio.get_running_loop()

            def say(words: str) -> None:
                loop.call_soon_threadsafe(self._view.say, words)

            await _run_uninterrupted(lambda: fetch(say))

    @contextlib.asynccontextmanager
    async def _local_rds(self) -> AsyncIterator[int]:
        """Start the local RDS and stop it after the block, unless it was running before."""
        data = self._plan.data
        was_up = await asyncio.to_thread(lambda: lifecycle.status(data).running)
        self._view.say(f"{'using' if was_up else 'starting'} the local RDS in {data}")
        pid = None
        try:
            pid = (await _run_uninterrupted(lambda: lifecycle.up(data, self._plan.port))).pid
            assert pid is not None, data
            _use_only(lifecycle.env(data))
            yield pid
        finally:
            crashed = pid is not None and not _lives(pid)
            if crashed or not (was_up or self._plan.keep):
                self._view.say("stopping the local RDS")
                await _run_uninterrupted(lambda: lifecycle.down(data))

    async def _serve(self, found: Entrance) -> Report:
        """Open the shop, run the load, and compute the report."""
        size = self._plan.writers + self._plan.readers
        async with rdskit.connect(found.target, credentials=found.credentials, max_size=size) as db:
            await open_shop(db)
            zone = await self._provisioning.zone()
            self._wall, self._started = dt.datetime.now(dt.UTC), asyncio.get_running_loop().time()
            load = Load(db, secrets.token_hex(4), self._clock)
            self._view.say(f"{self._plan.writers} writers and {self._plan.readers} readers, {self._plan.seconds:g} s")
            failover = await self._load(load, ServerMonitor(db, self._provisioning), zone)
        return await self._settle(found, load, failover, zone)

    async def _load(self, load: Load, monitor: ServerMonitor, zone: str) -> Failover | None:
        self._loading = True
        async with asyncio.TaskGroup() as group:
            customers = group.create_task(load.run(self._plan.writers, self._plan.readers), name="load")
            shown = [
                group.create_task(monitor.run(), name="monitor"),
                group.create_task(self._show(load, monitor), name="view"),
            ]
            director = group.create_task(self._fail_over(load, zone, monitor), name="failover")
            stopped = group.create_task(self._stop.wait(), name="stop")
            await asyncio.wait({stopped}, timeout=self._plan.seconds)
            await asyncio.wait({stopped, director}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            load.stop()
            await customers
            self._seconds, self._loading = self._clock(), False
            for task in shown:
                task.cancel()
            if self._stop.is_set():
                director.cancel()
        return None if director.cancelled() else director.result()

    async def _fail_over(self, load: Load, zone: str, monitor: ServerMonitor) -> Failover | None:
        """Request the failover when it is time; wait for its record, and for every writer to be back."""
        await asyncio.sleep(self._plan.seconds * FAILOVER_AT)
        self._view.say("asking for a failover: RebootDBInstance(ForceFailover=True)")
        await self._provisioning.fail_over()
        failover = await self._recorded()
        if failover is not None:
            monitor.poll_now()
            self._view.mark(failover, (zone, await self._provisioning.zone()))
            await self._writers_back(load, failover)
        return failover

    async def _writers_back(self, load: Load, failover: Failover) -> None:
        """Wait until each writer has placed an order on the new primary, or until a timeout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_COME_BACK):
                while True:
                    if None not in first_writes_after(load.journal.writes, failover, self._plan.writers):
                        return
                    await asyncio.sleep(_REFRESH)

    async def _recorded(self) -> Failover | None:
        """Return the failover of this run, once the local RDS has recorded it; None after a timeout."""
        with contextlib.suppress(TimeoutError):  # the result is then None
            async with asyncio.timeout(_RECORD):
                while True:
                    await asyncio.sleep(_RECORD_POLL)
                    for record in await asyncio.to_thread(
                        lifecycle.failovers, self._plan.data, self._provisioning.primary
                    ):
                        at = dt.datetime.fromisoformat(record["at"])
                        if at > self._wall:
                            return Failover((at - self._wall).total_seconds(), record["promotion_ms"] / 1000)
        return None

    async def _settle(self, found: Entrance, load: Load, failover: Failover | None, zone: str) -> Report:
        self._view.say("counting")
        async with rdskit.connect(found.target, credentials=found.credentials, readers="off") as writer:
            books = await read_books(writer)
        if failover is not None:
            rebuilt = await self._provisioning.rebuilt(self._wall + dt.timedelta(seconds=failover.at))
            at = None if rebuilt is None else (rebuilt - self._wall).total_seconds()
            failover = replace(failover, rebuilt=None if at is None or at > self._seconds else at)
        return report_of(
            load.journal,
            books,
            failover,
            title=found.title,
            started_at=self._wall.isoformat(timespec="seconds"),
            writers=self._plan.writers,
            readers=self._plan.readers,
            seconds=self._seconds,
            interrupted=self._stop.is_set(),
            zones=(zone, await self._provisioning.zone()),
        )

    async def _show(self, load: Load, monitor: ServerMonitor) -> None:
        """Update the view until the task is cancelled."""
        while True:
            self._view.show(pulse_of(load.journal, self._clock()), monitor.members)
            await asyncio.sleep(_REFRESH)

    def _clock(self) -> float:
        return asyncio.get_running_loop().time() - self._started


def _use_only(environment: Mapping[str, str]) -> None:
    """Set the environment so that AWS and rdskit use the local RDS only: the user's own account must not be reached."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(environment)


async def _watch(pid: int, data: Path) -> None:
    """Raise when the local RDS ends."""
    while True:
        if not _lives(pid):
            raise LocalError(
                f"the local RDS (pid {pid}) ended in the middle of the demo: its log is in {data}; "
                "`rdskit demo` starts it again on the same data"
            )
        await asyncio.sleep(_WATCH)


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that ended several tasks: that of the local RDS if it is among them, else the first."""
    causes = [_cause(error) if isinstance(error, BaseExceptionGroup) else error for error in group.exceptions]
    return next((error for error in causes if isinstance(error, LocalError)), causes[0])


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def _run_uninterrupted(work: Callable[[], _T]) -> _T:
    """Run a function in a thread and wait for its end, even if this task is cancelled."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # retrieved, so that asyncio logs nothing: the cancellation takes precedence
        raise
