"""The application in a storm: writers, transfers, sessions and readers on one process's connections."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from typing import TYPE_CHECKING, Final

import rdskit
from rdskit.client.api import dialect_of
from tests.chaos.storm.journal import Books, Journal, Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rdskit.client.database.session import Session
    from rdskit.client.transactions import Transaction

ACCOUNTS: Final = 20
OPENING: Final = 1000  # on each account
THINK: Final = 0.1  # seconds between two calls of a worker, on average
TIMEOUTS: Final = (2.0, 10.0, 30.0)
CALLS: Final = 4  # that a worker makes at most before it thinks again, each with the same timeout
OVERDUE: Final = 30.0  # seconds after the last deadline at which a call hangs, however slow the machine is
IMPATIENCE: Final = 0.3  # seconds at most that the hasty wait
JUSTIFIED: Final = (
    rdskit.FailoverError,
    rdskit.QueryTimeout,
    rdskit.NoWriterError,
    rdskit.PoolTimeout,
    rdskit.CircuitOpen,
    rdskit.DeadlockError,
    rdskit.SerializationError,
)
IDENTITY: Final = {"postgres": "bigint generated always as identity", "mysql": "bigint auto_increment"}

INSERT: Final = "insert into entry (name) values (:name)"
COUNT: Final = "select count(*) from entry where name = :name"
TOTAL: Final = "select sum(balance) from account"
LEDGER: Final = """
    select account.id from account left join transfer on account.id in (debit, credit)
    group by account.id, balance
    having balance <> :opening + coalesce(sum(case when account.id = credit then amount else -amount end), 0)
"""


async def prepare(db: rdskit.Database) -> None:
    """Make the tables. A name is not unique on purpose: what happens twice must be able to show."""
    identity = IDENTITY["postgres" if dialect_of(db).name == "POSTGRES" else "mysql"]
    await db.setup()
    await db.execute(f"create table entry (id {identity} primary key, name varchar(40) not null)")
    await db.execute("create index entry_name on entry (name)")
    await db.execute("create table account (id int primary key, balance int not null)")
    await db.execute(
        f"create table transfer (id {identity} primary key, debit int not null, credit int not null, "
        "amount int not null)"
    )
    await db.insert_many("account", [{"id": number, "balance": OPENING} for number in range(ACCOUNTS)])


async def read_books(db: rdskit.Database) -> Books:
    """Count what the writer holds; a failover of the storm may still come, so the count starts again then."""
    return await db.run(_read_books, isolation="repeatable read", timeout=120.0)


async def _read_books(tx: Transaction) -> Books:
    rows = await tx.fetch_all("select name, count(*) as copies from entry group by name")
    total = await tx.fetch_value(TOTAL)
    wrong = await tx.fetch_all(LEDGER, opening=OPENING)
    copies = {row.name: row.copies for row in rows}
    return Books(copies, int(total), ACCOUNTS * OPENING, tuple(row.id for row in wrong))


async def enter(tx: Transaction, name: str) -> None:
    """Make one entry."""
    await tx.execute(INSERT, name=name)


async def transfer(tx: Transaction, name: str, debit: int, credit: int, amount: int) -> None:
    """Money from one account to another, with its entry and its line in the ledger."""
    await tx.execute("update account set balance = balance - :amount where id = :id", amount=amount, id=debit)
    await tx.execute("update account set balance = balance + :amount where id = :id", amount=amount, id=credit)
    await tx.execute(
        "insert into transfer (debit, credit, amount) values (:debit, :credit, :amount)",
        debit=debit,
        credit=credit,
        amount=amount,
    )
    await enter(tx, name)


class Load:
    """Workers that call until they are stopped, and the journal of their answers.

    Args:
        db: whose promises are watched: what was acknowledged through it must show through it.
        elsewhere: another object on the same cluster, as in another process, that is handed tokens.
        seed: of the workers' choices.
    """

    KINDS: Final = ("run", "autocommit", "transfer", "session")

    def __init__(self, db: rdskit.Database, elsewhere: rdskit.Database, seed: int) -> None:
        self.journal = Journal()
        self._db = db
        self._elsewhere = elsewhere
        self._chance = random.Random(seed)
        self._numbers = itertools.count(1)
        self._recent: deque[str] = deque(maxlen=100)
        self._over = asyncio.Event()

    async def run(self, workers: int) -> None:
        """Work until :meth:`stop`; calls under way then run to their end.

        Args:
            workers: of each kind.
        """
        kinds = (self._enter, self._autocommit, self._transfer, self._session, self._hurry, self._look)
        async with asyncio.TaskGroup() as group:
            for kind, number in itertools.product(kinds, range(workers)):
                group.create_task(self._repeat(kind), name=f"storm {kind.__name__} {number}")

    def stop(self) -> None:
        """Let everybody finish."""
        self._over.set()

    async def _repeat(self, work: Callable[[float], Awaitable[None]]) -> None:
        while not self._over.is_set():
            timeout = self._chance.choice(TIMEOUTS)
            try:
                async with asyncio.timeout(CALLS * timeout + OVERDUE):
                    await work(timeout)
            except TimeoutError:
                self.journal.surprises.append(f"{work.__name__} did not end {OVERDUE:g} s after its deadlines")
            except Exception as error:  # noqa: BLE001 - whatever else is raised is what the storm is looking for
                self.journal.surprises.append(f"{work.__name__} raised {type(error).__name__}: {error}")
            await asyncio.sleep(self._chance.expovariate(1 / THINK))

    # -- writes ----------------------------------------------------------------------------------------------------

    async def _enter(self, timeout: float) -> None:
        name = self._name("run")
        fenced = self._chance.choice((None, False))  # its COMMIT resolved, as the tables are there, or not
        if await self._write(name, self._db.run(enter, args=(name,), exactly_once=fenced, timeout=timeout)):
            self._recent.append(name)

    async def _autocommit(self, timeout: float) -> None:
        name = self._name("autocommit")
        if await self._write(name, self._db.execute(INSERT, name=name, timeout=timeout)):
            self._recent.append(name)

    async def _transfer(self, timeout: float) -> None:
        name = self._name("transfer")
        debit, credit = self._chance.sample(range(ACCOUNTS), 2)
        args = (name, debit, credit, self._chance.randint(1, 9))
        if self._chance.random() < 0.5:
            await self._write(name, self._db.run(transfer, args=args, exactly_once=True, timeout=timeout))
        else:
            await self._write(name, self._in_a_block(args, timeout))

    async def _in_a_block(self, args: tuple[str, int, int, int], timeout: float) -> None:
        async with self._db.transaction(timeout=timeout) as tx:
            await transfer(tx, *args)

    async def _hurry(self, timeout: float) -> None:
        """Give up in the middle of a write, as a caller does whose own caller has gone."""
        name = self._name("hasty")
        self.journal.writes[name] = Outcome.UNKNOWN
        try:
            async with asyncio.timeout(self._chance.uniform(0, IMPATIENCE)):
                await self._write(name, self._db.execute(INSERT, name=name, timeout=timeout))
        except TimeoutError:
            self.journal.errors["cancelled"] += 1

    async def _write(self, name: str, call: Awaitable[object]) -> bool:
        """Return whether it was acknowledged."""
        self.journal.writes[name] = Outcome.UNKNOWN
        try:
            await call
        except rdskit.OutcomeUnknown as error:
            self._note(name, error)
            return False
        except rdskit.RdskitError as error:
            self._note(name, error)
            self.journal.writes[name] = Outcome.FAILED
            return False
        self.journal.writes[name] = Outcome.ACKNOWLEDGED
        return True

    # -- reads -----------------------------------------------------------------------------------------------------

    async def _session(self, timeout: float) -> None:
        """Write and read in one session, then use its token in another session."""
        async with self._db.session() as session:
            name = self._name("session")
            if not await self._write(name, session.execute(INSERT, name=name, timeout=timeout)):
                return
            await self._must_show("session", session, name, timeout)
            try:
                token = await session.token(timeout=timeout)
            except rdskit.RdskitError as error:
                self._note("token", error)
                return
            await self._must_show("token", self._elsewhere, name, timeout, after=token)

    async def _look(self, timeout: float) -> None:
        """Look for what was acknowledged, and whether money is missing."""
        if self._recent:
            await self._must_show("database", self._db, self._chance.choice(self._recent), timeout)
        try:
            where = self._chance.choice((self._db, self._elsewhere))
            total = await where.fetch_value(TOTAL, timeout=timeout)
        except rdskit.RdskitError as error:
            self._note("total", error)
            return
        if total is None and where is self._elsewhere:
            return  # it shows whatever its reader has, which may still be an empty table
        self.journal.reads["total"] += 1
        if int(total) != ACCOUNTS * OPENING:
            self.journal.stale.append(f"a read saw balances of {total}")

    async def _must_show(
        self, kind: str, where: Session, name: str, timeout: float, *, after: str | None = None
    ) -> None:
        try:
            count = await where.fetch_value(COUNT, name=name, timeout=timeout, after=after)
        except rdskit.RdskitError as error:
            self._note(f"read of {name}", error)
            return
        self.journal.reads[kind] += 1
        if count != 1:
            self.journal.stale.append(f"{kind}: {name} shown {count} times")

    def _note(self, what: str, error: rdskit.RdskitError) -> None:
        self.journal.errors[type(error).__name__] += 1
        # ConnectError itself is what an outage longer than the deadline is called; a refused login has no excuse.
        if type(error) is not rdskit.ConnectError and not isinstance(error, JUSTIFIED):
            self.journal.surprises.append(f"{what}: {type(error).__name__}: {error}")

    def _name(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers)}"
