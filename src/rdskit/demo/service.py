"""One run of the demo: servers up, shop open, customers in, failover, customers out, accounts settled, servers down."""

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

FAILOVER_AT = 0.35  # share of the load's time after which the failover is asked for
_REFRESH = 0.25  # seconds between two views of the load
_WATCH = 0.1  # seconds between two looks whether the local RDS lives
_RECORD = 20.0  # seconds that the record of an asked failover may take
_COME_BACK = 10.0  # seconds that the load goes on for a writer that is not back
_RECORD_LOOK = 0.5  # seconds between two looks for it


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        data: data directory of the local RDS.
        port: of its AWS API; None for the remembered one, else 4566.
        seconds: how long the load lasts.
        writers: how many customers order.
        readers: how many visitors look.
        keep: leave the local RDS up afterwards.
        engine: what the instance runs.
    """

    data: Path
    port: int | None = None
    seconds: float = 15.0
    writers: int = 8
    readers: int = 4
    keep: bool = False
    engine: DemoEngine = "postgres"


class Demo:
    """One run of a plan, shown on a view."""

    def __init__(self, plan: Plan, view: View) -> None:
        self._plan = plan
        self._view = view
        self._estate = Provisioning(plan.engine)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[Report] | None = None
        self._loading = False
        self._started = self._seconds = 0.0
        self._wall = dt.datetime.now(dt.UTC)

    async def run(self) -> Report:
        """Run the plan.

        Raises:
            LocalError: the local RDS could not be started, or ended in the middle.
            asyncio.CancelledError: ``interrupt`` was called before there was anything to report.
        """
        self._task = asyncio.create_task(self._run(), name="demo")
        return await self._task

    def interrupt(self) -> None:
        """End early: with a partial report while customers are in, at once before and after, or when asked again."""
        if self._task is not None and (self._stop.is_set() or not self._loading):
            self._task.cancel()
        self._stop.set()

    async def _run(self) -> Report:
        await self._fetch_programs()
        async with self._local_rds() as pid:
            found = await self._estate.prepare(self._view.say)
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
        """Have the engine's programs before an instance needs them: a download outlasts what an AWS client waits."""
        fetch = _FETCH.get(self._plan.engine)
        if fetch is not None:
            loop = asyncio.get_running_loop()

            def say(words: str) -> None:
                loop.call_soon_threadsafe(self._view.say, words)

            await _undivided(lambda: fetch(say))

    @contextlib.asynccontextmanager
    async def _local_rds(self) -> AsyncIterator[int]:
        """The local RDS, up for the length of the block; one that was up before stays up."""
        data = self._plan.data
        was_up = await asyncio.to_thread(lambda: lifecycle.status(data).running)
        self._view.say(f"{'using' if was_up else 'starting'} the local RDS in {data}")
        pid = None
        try:
            pid = (await _undivided(lambda: lifecycle.up(data, self._plan.port))).pid
            assert pid is not None, data
            _use_only(lifecycle.env(data))
            yield pid
        finally:
            crashed = pid is not None and not _lives(pid)
            if crashed or not (was_up or self._plan.keep):
                self._view.say("stopping the local RDS")
                await _undivided(lambda: lifecycle.down(data))

    async def _serve(self, found: Entrance) -> Report:
        """Open the shop, let the customers in, and settle the accounts when they have gone."""
        size = self._plan.writers + self._plan.readers
        async with rdskit.connect(found.target, credentials=found.credentials, max_size=size) as db:
            await open_shop(db)
            zone = await self._estate.zone()
            self._wall, self._started = dt.datetime.now(dt.UTC), asyncio.get_running_loop().time()
            load = Load(db, secrets.token_hex(4), self._clock)
            self._view.say(f"{self._plan.writers} writers and {self._plan.readers} readers, {self._plan.seconds:g} s")
            failover = await self._load(load, ServerMonitor(db, self._estate), zone)
        return await self._settle(found, load, failover, zone)

    async def _load(self, load: Load, lookout: ServerMonitor, zone: str) -> Failover | None:
        self._loading = True
        async with asyncio.TaskGroup() as group:
            customers = group.create_task(load.run(self._plan.writers, self._plan.readers), name="load")
            shown = [
                group.create_task(lookout.run(), name="lookout"),
                group.create_task(self._show(load, lookout), name="view"),
            ]
            director = group.create_task(self._fail_over(load, zone, lookout), name="failover")
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

    async def _fail_over(self, load: Load, zone: str, lookout: ServerMonitor) -> Failover | None:
        """Ask for the failover when it is time, wait for its record, and for every writer to be back."""
        await asyncio.sleep(self._plan.seconds * FAILOVER_AT)
        self._view.say("asking for a failover: RebootDBInstance(ForceFailover=True)")
        await self._estate.fail_over()
        failover = await self._recorded()
        if failover is not None:
            lookout.look_again()
            self._view.mark(failover, (zone, await self._estate.zone()))
            await self._everybody_back(load, failover)
        return failover

    async def _everybody_back(self, load: Load, failover: Failover) -> None:
        """Wait until each writer has placed an order on the new primary; the report tells who never did."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_COME_BACK):
                while True:
                    if None not in first_writes_after(load.journal.writes, failover, self._plan.writers):
                        return
                    await asyncio.sleep(_REFRESH)

    async def _recorded(self) -> Failover | None:
        """The failover of this run, once the local RDS has recorded it."""
        with contextlib.suppress(TimeoutError):  # None tells that there is none
            async with asyncio.timeout(_RECORD):
                while True:
                    await asyncio.sleep(_RECORD_LOOK)
                    for record in await asyncio.to_thread(lifecycle.failovers, self._plan.data, self._estate.primary):
                        at = dt.datetime.fromisoformat(record["at"])
                        if at > self._wall:
                            return Failover((at - self._wall).total_seconds(), record["promotion_ms"] / 1000)
        return None

    async def _settle(self, found: Entrance, load: Load, failover: Failover | None, zone: str) -> Report:
        self._view.say("counting")
        async with rdskit.connect(found.target, credentials=found.credentials, readers="off") as writer:
            books = await read_books(writer)
        if failover is not None:
            rebuilt = await self._estate.rebuilt(self._wall + dt.timedelta(seconds=failover.at))
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
            zones=(zone, await self._estate.zone()),
        )

    async def _show(self, load: Load, lookout: ServerMonitor) -> None:
        """Keep the view up to date."""
        while True:
            self._view.show(pulse_of(load.journal, self._clock()), lookout.members)
            await asyncio.sleep(_REFRESH)

    def _clock(self) -> float:
        return asyncio.get_running_loop().time() - self._started


def _use_only(environment: Mapping[str, str]) -> None:
    """Point AWS and rdskit at the local RDS, and at nothing else: the user's own account must not be reached."""
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
    """The one error that says why several tasks ended: that the local RDS did, else the first."""
    causes = [_cause(error) if isinstance(error, BaseExceptionGroup) else error for error in group.exceptions]
    return next((error for error in causes if isinstance(error, LocalError)), causes[0])


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def _undivided(work: Callable[[], _T]) -> _T:
    """Run something in a thread and see it to its end, even if this task is cancelled meanwhile."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # looked at: what counts is that somebody wants to end
        raise
