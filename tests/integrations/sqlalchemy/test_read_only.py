"""A host that takes no writes any more loses all its pooled connections; a read-only transaction loses none."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import sessionmaker

import rdskit
from rdskit.integrations.sqlalchemy import error_of, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine
    from sqlalchemy.orm import Session

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

HELD = 3


@contextlib.contextmanager
def pooled(url: str | URL) -> Iterator[tuple[Engine, list[Connection]]]:
    """Yield an engine with a table, and several connections of its pool."""
    engine = sqlalchemy.create_engine(url, pool_size=HELD)
    with engine.begin() as connection:
        connection.execute(text("create table note (id int)"))
    held = [engine.connect() for _ in range(HELD)]
    for connection in held:
        connection.execute(text("select 1"))
        connection.rollback()
    yield engine, held
    for connection in held:
        connection.close()
    engine.dispose()


def write(connection: Connection) -> DBAPIError:
    with pytest.raises(DBAPIError) as raised:
        connection.execute(text("insert into note values (1)"))
    return raised.value


def test_a_postgres_host_that_became_read_only(database: TestDatabase) -> None:
    with pooled(f"{database.url}?plugin=rdskit&tls=off".replace("://", "+psycopg://", 1)) as (engine, held):
        sessions = {connection.scalar(text("select pg_backend_pid()")) for connection in held}
        held[0].execute(text("set default_transaction_read_only = on"))
        held[0].commit()
        error = write(held[0])
        assert isinstance(error, OperationalError)
        assert error.connection_invalidated
        assert isinstance(error_of(error), rdskit.ReadOnlyError)
        for connection in held:
            connection.close()
        again = [engine.connect() for _ in range(HELD)]
        assert not sessions & {connection.scalar(text("select pg_backend_pid()")) for connection in again}
        for connection in again:
            connection.close()


def test_a_read_only_transaction_keeps_its_connection(sync_url: URL) -> None:
    with pooled(sync_url) as (_, held):
        backend = held[0].dialect.name
        begin = "set transaction read only" if backend == "postgresql" else "start transaction read only"
        held[0].execute(text(begin))
        error = write(held[0])
        assert not error.connection_invalidated
        assert isinstance(error_of(error), rdskit.ReadOnlyError)


def test_a_unit_of_work_that_met_a_former_writer_is_done_again(database: TestDatabase) -> None:
    attempts: list[int] = []

    def work(session: Session) -> int:
        attempts.append(1)
        if len(attempts) == 1:
            session.execute(text("set default_transaction_read_only = on"))
            session.commit()
        session.execute(text("insert into note values (1)"))
        return len(attempts)

    with pooled(f"{database.url}?plugin=rdskit&tls=off".replace("://", "+psycopg://", 1)) as (engine, held):
        held.pop().close()
        assert run(sessionmaker(engine), work) == 2
        assert held[0].scalar(text("select count(*) from note")) == 1


def test_a_unit_of_work_in_a_read_only_transaction_is_not_done_again(sync_url: URL) -> None:
    attempts: list[int] = []

    def work(session: Session) -> None:
        attempts.append(1)
        backend = session.get_bind().dialect.name
        session.execute(text("set transaction read only" if backend == "postgresql" else "start transaction read only"))
        session.execute(text("insert into note values (1)"))

    with pooled(sync_url) as (engine, held):
        held.pop().close()
        with pytest.raises(DBAPIError) as raised:
            run(sessionmaker(engine), work)
    assert isinstance(error_of(raised.value), rdskit.ReadOnlyError)
    assert len(attempts) == 1


@pytest.mark.parametrize("fixture", ["mysql_database", "mariadb_database"])
def test_a_mysql_host_that_became_read_only(request: pytest.FixtureRequest, fixture: str) -> None:
    database: FamilyDatabase = request.getfixturevalue(fixture)
    admin = sqlalchemy.create_engine(database.url.replace("://", "+pymysql://", 1), isolation_level="AUTOCOMMIT")
    with admin.connect() as root:
        root.execute(text("create user clerk@'%' identified by 'clerk'"))
        root.execute(text(f"grant all on {database.name}.* to clerk@'%'"))
        place = f"{database.host}:{database.port}/{database.name}"
        url = f"{database.scheme}+pymysql://clerk:clerk@{place}?plugin=rdskit&tls=off&timeout=1"
        try:
            with pooled(url) as (engine, held):
                sessions = {connection.scalar(text("select connection_id()")) for connection in held}
                root.execute(text("set global read_only = 1"))
                error = write(held[0])
                assert isinstance(error, OperationalError)
                assert error.connection_invalidated
                for connection in held:
                    connection.close()
                with pytest.raises(OperationalError) as refused:
                    engine.connect()
                assert isinstance(error_of(refused.value), rdskit.NoWriterError)
                root.execute(text("set global read_only = 0"))
                with engine.connect() as connection:
                    assert connection.scalar(text("select connection_id()")) not in sessions
        finally:
            root.execute(text("set global read_only = 0"))
            root.execute(text("drop user clerk@'%'"))
    admin.dispose()
