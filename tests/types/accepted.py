"""What an application writes, with the types that its checker must find. Every line must pass; nothing here is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import rdskit
import rdskit.sync
from rdskit import Database, IntegrityError, Result, Row, Session, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import assert_type

    from rdskit.integrations.pytest_plugin import FreshDatabase, LocalRds, ThrowawayPostgres
else:

    def assert_type(value: object, _kind: object) -> object:
        """Return the value; only a type checker has a use for this."""
        return value


@dataclass
class User:
    """A row of the application."""

    id: int
    name: str


async def pay(tx: Transaction, name: str, amount: int = 1) -> int:
    """Insert a payment."""
    assert_type(await tx.execute("insert into payments values (:n, :a)", n=name, a=amount), Result)
    return 1


async def move(tx: Transaction, source: str, *, amount: int) -> str:
    """Take a keyword."""
    return f"{source}: {amount} in {tx}"


def pay_here(tx: rdskit.sync.Transaction, name: str) -> int:
    """Insert a payment without an event loop."""
    return tx.execute("insert into payments (name) values (:n)", n=name)


async def asynchronous(db: Database) -> None:
    """Use every call whose type depends on its arguments."""
    assert_type(await db.fetch_one("select 1"), Row | None)
    assert_type(await db.fetch_one("select 1", into=User), User | None)
    assert_type(await db.fetch_all("select 1", into=User), list[User])
    assert_type(await db.fetch_value("select 1", into=int), int | None)
    assert_type(await db.run(pay, args=("Ada", 12)), int)
    assert_type(await db.run(pay, args=("Ada",), isolation="serializable"), int)
    assert_type(await db.run(move, args=("Ada",), kwargs={"amount": 3}), str)
    async for user in db.stream("select 1", into=User):
        assert_type(user, User)
    async with db.session() as session:
        assert_type(session, Session)
    async with db.transaction(isolation="repeatable read") as tx:
        assert_type(tx, Transaction)
        assert_type(await tx.fetch_value("select 1", into=str), str | None)
        async for row in tx.stream("select 1"):
            assert_type(row, Row)
    async with db.connection() as held:
        assert_type(await held.fetch_value("select 1", into=str), str | None)


def synchronous(db: rdskit.sync.Database) -> None:
    """Use the same without an event loop."""
    assert_type(db.fetch_one("select 1", into=User), User | None)
    assert_type(db.fetch_value("select 1", into=int), int | None)
    assert_type(db.run(pay_here, args=("Ada",)), int)
    with db.transaction(isolation="serializable") as tx:
        assert_type(tx, rdskit.sync.Transaction)
        for user in tx.stream("select 1", into=User):
            assert_type(user, User)
    with db.session() as session:
        assert_type(session, rdskit.sync.Session)


async def connecting(tls: rdskit.TlsMode, consistency: rdskit.Consistency) -> None:
    """Connect in every way, with options from the application's settings."""
    async with rdskit.connect("rds://orders/shop", tls=tls, consistency=consistency, topology="off") as db:
        assert_type(db, Database)
    assert_type(await rdskit.connect("rds://orders/shop"), Database)
    with rdskit.sync.connect("rds://orders/shop", tls="off") as here:
        assert_type(here, rdskit.sync.Database)


def fixtures(
    rdskit_postgres: ThrowawayPostgres,
    rdskit_postgres_database: FreshDatabase,
    rdskit_local: LocalRds,
    rdskit_schema: Callable[[FreshDatabase], None],
) -> None:
    """Take the fixtures of the pytest plugin by their types."""
    assert_type(rdskit_postgres_database.url, str)
    assert_type(rdskit_postgres.dsn, str)
    assert_type(rdskit_local.create("orders"), str)
    rdskit_schema(rdskit_postgres_database)


def caught(error: rdskit.RdskitError) -> bool:
    """Tell errors apart."""
    return isinstance(error, IntegrityError | rdskit.OutcomeUnknown)
