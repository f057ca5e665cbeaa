"""A unit of work is done again as a whole where nothing of it remained, and only there."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import NullPool

import rdskit
from rdskit.integrations.sqlalchemy import AsyncSession, create_async_engine, error_of, run, run_async

if TYPE_CHECKING:
    from sqlalchemy import URL
    from sqlalchemy.orm import Session

WORKERS, ROUNDS = 4, 5
TABLE = "create table account (id int primary key, balance int not null)"


def kill_own_session(session: Session) -> None:
    """End the session of this unit of work from outside."""
    backend = session.connection().dialect.name
    own, end = {
        "postgresql": ("select pg_backend_pid()", "select pg_terminate_backend({})"),
    }.get(backend, ("select connection_id()", "kill {}"))
    number = session.scalar(text(own))
    bind = session.get_bind()
    assert isinstance(bind, sqlalchemy.Engine)
    with bind.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        other.execute(text(end.format(number)))


def balance(engine: sqlalchemy.Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("select balance from account where id = 1")) or 0)


@pytest.fixture
def account(sync_url: URL) -> sqlalchemy.Engine:
    """Return a serializable engine with one account in its database, so that concurrent units of work conflict."""
    engine = sqlalchemy.create_engine(sync_url, isolation_level="SERIALIZABLE", poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(TABLE))
        connection.execute(text("insert into account values (1, 0)"))
    return engine


def deposit(session: Session, amount: int) -> int:
    found = session.scalar(text("select balance from account where id = 1")) or 0
    session.execute(text("update account set balance = :balance where id = 1"), {"balance": found + amount})
    return int(found)


def test_conflicting_units_of_work_all_complete(account: sqlalchemy.Engine) -> None:
    factory = sessionmaker(account)

    def pay_in() -> None:
        for _ in range(ROUNDS):
            run(factory, deposit, args=(1,))

    threads = [threading.Thread(target=pay_in) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert balance(account) == WORKERS * ROUNDS


def test_a_unit_of_work_whose_connection_was_lost_is_done_again(account: sqlalchemy.Engine) -> None:
    attempts: list[str] = []

    def work(session: Session) -> str:
        deposit(session, 5)
        if not attempts:
            attempts.append("lost")
            kill_own_session(session)
        deposit(session, 5)
        return "done"

    assert run(sessionmaker(account), work) == "done"
    assert attempts == ["lost"]
    assert balance(account) == 10


def test_a_lost_commit_is_never_repeated(account: sqlalchemy.Engine) -> None:
    attempts: list[int] = []

    def work(session: Session) -> None:
        attempts.append(deposit(session, 5))
        kill_own_session(session)

    with pytest.raises(DBAPIError) as raised:
        run(sessionmaker(account), work)
    assert isinstance(error_of(raised.value), rdskit.OutcomeUnknown)
    assert len(attempts) == 1


def test_what_the_application_raises_is_not_repeated(account: sqlalchemy.Engine) -> None:
    attempts = []

    def work(session: Session) -> None:
        attempts.append(deposit(session, 5))
        raise ValueError("not enough money")

    with pytest.raises(ValueError, match="not enough money"):
        run(sessionmaker(account), work)
    assert len(attempts) == 1
    assert balance(account) == 0


async def test_conflicting_units_of_work_of_tasks_all_complete(async_url: URL) -> None:
    engine = create_async_engine(async_url, tls="off", isolation_level="SERIALIZABLE")
    async with engine.begin() as connection:
        await connection.execute(text(TABLE))
        await connection.execute(text("insert into account values (1, 0)"))

    async def pay_in(session: AsyncSession) -> None:
        found = await session.scalar(text("select balance from account where id = 1"))
        await session.execute(text("update account set balance = :balance where id = 1"), {"balance": found + 1})

    async def one_worker() -> None:
        for _ in range(ROUNDS):
            await run_async(lambda: AsyncSession(engine), pay_in)

    await asyncio.gather(*(one_worker() for _ in range(WORKERS)))
    async with engine.connect() as connection:
        assert await connection.scalar(text("select balance from account")) == WORKERS * ROUNDS
    await engine.dispose()
