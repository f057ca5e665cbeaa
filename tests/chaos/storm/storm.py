"""The storm itself: load, faults, calm, and the count."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import rdskit
from tests.chaos.storm.journal import violations
from tests.chaos.storm.load import Load, prepare, read_books
from tests.chaos.storm.plan import Strike, strikes
from tests.chaos.storm.site import READERS
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from tests.chaos.storm.journal import Journal
    from tests.chaos.storm.site import Site

WORKERS: Final = 2  # of each kind
TOKEN_KEY: Final = "of this storm alone"
CALM: Final = 120.0  # seconds within which everything works again once all faults are cleared
AFTERWARDS: Final = 5  # acknowledged writes of each kind that show that it does
LATE: Final = 0.5  # seconds after its time at which a strike is left out
GRACE: Final = 5.0  # seconds in which stopped tasks may still be ending


@dataclass(frozen=True, slots=True)
class Report:
    """What a storm was, and what it cost.

    Attributes:
        engine: as asked for.
        seed: repeats it.
        seconds: how long it struck.
        strikes: faults that happened.
        refused: faults that could not happen at that moment.
        outcomes: how many writes ended how.
        errors: how often which error reached the application.
        reads: how many reads were answered, by what they had to show.
        failovers: promotions of the writer.
        promotion_ms: what these took, in the median and at worst.
        violations: promises that were broken; none is the claim.
    """

    engine: str
    seed: int
    seconds: float
    strikes: int
    refused: int
    outcomes: Mapping[str, int]
    errors: Mapping[str, int]
    reads: Mapping[str, int]
    failovers: int
    promotion_ms: tuple[float, float]
    violations: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """In a few lines."""
        median, worst = self.promotion_ms
        lines = [
            f"{self.engine}: seed {self.seed}, {self.seconds:g} s, {self.strikes} faults",
            f"  promoted {self.failovers} times, in {median:.0f} ms, at worst {worst:.0f} ms",
            f"  writes  {_counts(self.outcomes)}",
            f"  reads   {_counts(self.reads)}",
            f"  errors  {_counts(self.errors) or 'none'}",
            *(f"  BROKEN  {each}" for each in self.violations),
        ]
        return "\n".join(lines if self.violations else [*lines, "  nothing lost, doubled, stale or left over"])


async def storm(site: Site, *, seed: int, seconds: float) -> Report:
    """Run load on a site, strike it for some seconds, clear all faults, and count.

    Args:
        site: created, and used by this storm only; its database is empty.
        seed: of the faults and of the load's choices.
        seconds: how long faults happen.
    """
    before, broken = asyncio.all_tasks(), list[str]()
    with _listening(broken):
        async with _connected(site) as (db, elsewhere):
            await prepare(db)
            load = Load(db, elsewhere, seed)
            working = asyncio.create_task(load.run(WORKERS), name="load of the storm")
            struck = await _strike(site, strikes(seed, seconds), seconds)
            broken += await _calm(load, db, reading=db if site.tells_positions else elsewhere)
            load.stop()
            await working
            broken += violations(load.journal, await read_books(db))
        broken += await _left_over(site, before)
    return _report(site, seed, seconds, struck, load.journal, broken)


@contextlib.contextmanager
def _listening(broken: list[str]) -> Iterator[None]:
    """Count errors of background tasks as violations."""
    loop = asyncio.get_running_loop()
    former = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: broken.append(f"{context['message']}: {context.get('exception')!r}"))
    try:
        yield
    finally:
        loop.set_exception_handler(former)


@contextlib.asynccontextmanager
async def _connected(site: Site) -> AsyncIterator[tuple[rdskit.Database, rdskit.Database]]:
    async with (
        rdskit.connect(site.target, max_size=12, token_key=TOKEN_KEY) as db,
        rdskit.connect(site.target, max_size=4, token_key=TOKEN_KEY, consistency="eventual") as elsewhere,
    ):
        yield db, elsewhere


async def _strike(site: Site, plan: tuple[Strike, ...], seconds: float) -> list[str | None]:
    """Let the faults happen, each at its time; for each, None or why it could not."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    results = []
    for strike in plan:
        await asyncio.sleep(begun + strike.at - loop.time())
        # One that had to wait for a server's restart would strike it at once again: on a slow machine it never came up.
        late = loop.time() > begun + strike.at + LATE
        results.append("it was too late" if late else await asyncio.to_thread(site.strike, strike))
    await asyncio.sleep(begun + seconds - loop.time())
    await asyncio.to_thread(site.clear)
    return results


async def _calm(load: Load, db: rdskit.Database, *, reading: rdskit.Database) -> list[str]:
    """Wait until every kind of write is acknowledged again and every reader serves; what does not come back."""
    journal = load.journal
    wanted = {kind: journal.acknowledged(kind) + AFTERWARDS for kind in load.KINDS}
    served = reading.stats().reads_by_reader

    async def works() -> bool:
        return all(journal.acknowledged(kind) >= count for kind, count in wanted.items())

    async def serves() -> bool:
        now = reading.stats().reads_by_reader
        return len(now) == READERS and all(count != served.get(name, 0) for name, count in now.items())

    broken = []
    for what, condition in (("every kind of write is acknowledged", works), ("every reader serves", serves)):
        try:
            await eventually(condition, CALM)
        except AssertionError:
            told = f"{db.stats()}; {await db.topology()}; {await db.health()}"
            broken.append(f"{CALM:g} s after the storm it is not so again that {what}: {told}")
    return broken


async def _left_over(site: Site, before: set[asyncio.Task[Any]]) -> list[str]:
    """Tasks, sockets and sessions on servers that outlive the databases."""
    left = asyncio.all_tasks() - before
    if left:
        _, left = await asyncio.wait(left, timeout=GRACE)
    sockets = site.sockets()
    sessions = await asyncio.to_thread(site.await_no_connection)
    return [
        *(f"a task was left: {task.get_name()}" for task in left),
        *(f"a socket was left: {each}" for each in sockets),
        *(f"{name} still has connections, which do: {queries}" for name, queries in sessions.items()),
    ]


def _report(
    site: Site, seed: int, seconds: float, struck: Sequence[str | None], journal: Journal, broken: Sequence[str]
) -> Report:
    promotions = [each["promotion_ms"] for each in site.failovers()] or [0.0]
    refused = sum(each is not None for each in struck)
    return Report(
        engine=site.engine,
        seed=seed,
        seconds=seconds,
        strikes=len(struck) - refused,
        refused=refused,
        outcomes=dict(Counter(outcome.value for outcome in journal.writes.values())),
        errors=dict(journal.errors),
        reads=dict(journal.reads),
        failovers=len(site.failovers()),
        promotion_ms=(statistics.median(promotions), max(promotions)),
        violations=tuple(broken),
    )


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
