"""Decisions on plain values: numbers and words of every engine, and what a replica may answer."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import func, select, text, update

import rdskit
from rdskit.integrations.sqlalchemy.policy import Reported, connect_error_of, meaning_of, public_error
from rdskit.integrations.sqlalchemy.routing import surely_reads
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.failures import Failure, Phase

TABLE = sa.table("note", sa.column("id"), sa.column("text"))


@pytest.mark.parametrize(
    ("reported", "failure", "public"),
    [
        (Reported("postgresql", "", sqlstate="57P01"), Failure.LOST, rdskit.FailoverError),
        (Reported("postgresql", "", sqlstate="25006"), Failure.READ_ONLY, rdskit.ReadOnlyError),
        (Reported("postgresql", "", sqlstate="40P01"), Failure.CONFLICT, rdskit.DeadlockError),
        (Reported("postgresql", "", is_disconnect=True), Failure.LOST, rdskit.FailoverError),
        (Reported("postgresql", ""), Failure.REFUSED, rdskit.QueryError),
        (Reported("mysql", "--read-only", errno=1290), Failure.READ_ONLY, rdskit.ReadOnlyError),
        (Reported("mysql", "--secure-file-priv", errno=1290), Failure.REFUSED, rdskit.QueryError),
        (Reported("mariadb", "", errno=2013), Failure.LOST, rdskit.FailoverError),
        (Reported("oracle", "", errno=3113), Failure.LOST, rdskit.FailoverError),
        (Reported("oracle", "", errno=60), Failure.CONFLICT, rdskit.DeadlockError),
        (Reported("oracle", "", errno=8177), Failure.CONFLICT, rdskit.SerializationError),
        (Reported("oracle", "", errno=1), Failure.REFUSED, rdskit.IntegrityError),
        (Reported("mssql", "", errno=1205), Failure.CONFLICT, rdskit.DeadlockError),
        (Reported("mssql", "", errno=3906), Failure.READ_ONLY, rdskit.ReadOnlyError),
        (Reported("mssql", "", errno=10054), Failure.LOST, rdskit.FailoverError),
        (Reported("mssql", "", errno=2627), Failure.REFUSED, rdskit.IntegrityError),
    ],
)
def test_what_an_error_means(reported: Reported, failure: Failure, public: type[Exception]) -> None:
    assert meaning_of(reported) == (failure, public)


@pytest.mark.parametrize(
    ("phase", "writes", "expected"),
    [
        (Phase.TRANSACTION, True, rdskit.FailoverError),
        (Phase.COMMIT, True, rdskit.OutcomeUnknown),
        (Phase.STATEMENT, True, rdskit.OutcomeUnknown),
        (Phase.STATEMENT, False, rdskit.FailoverError),
    ],
)
def test_the_public_error_of_a_lost_connection(phase: Phase, expected: type[Exception], *, writes: bool) -> None:
    reported = Reported("postgresql", "gone", is_disconnect=True)
    told = public_error(meaning_of(reported), phase, writes=writes, text="update", reported=reported)
    assert type(told) is expected


@pytest.mark.parametrize(
    ("reported", "failure", "public"),
    [
        (
            Reported("postgresql", 'FATAL:  password authentication failed for user "x"'),
            Failure.REFUSED,
            rdskit.AuthenticationError,
        ),
        (Reported("postgresql", "Connection refused"), Failure.LOST, rdskit.ConnectError),
        (Reported("postgresql", "FATAL:  the database system is starting up"), Failure.LOST, rdskit.ConnectError),
        (Reported("postgresql", "FATAL:  sorry, too many clients already"), Failure.LOST, rdskit.TooManyConnections),
        (Reported("postgresql", "SSL error: certificate verify failed"), Failure.REFUSED, rdskit.TLSError),
        (Reported("postgresql", 'FATAL:  database "x" does not exist'), Failure.REFUSED, rdskit.ConnectError),
        (Reported("postgresql", "", sqlstate="28P01"), Failure.REFUSED, rdskit.AuthenticationError),
        (Reported("postgresql", "", sqlstate="57P03"), Failure.LOST, rdskit.ConnectError),
        (Reported("mysql", "", errno=1045), Failure.REFUSED, rdskit.AuthenticationError),
        (Reported("mysql", "", errno=1040), Failure.LOST, rdskit.TooManyConnections),
        (Reported("mysql", "Can't connect (connection refused)", errno=2003), Failure.LOST, rdskit.ConnectError),
        (Reported("mysql", "certificate verify failed", errno=2003), Failure.REFUSED, rdskit.TLSError),
        (Reported("mysql", "SSL is required", errno=2026), Failure.REFUSED, rdskit.TLSError),
        (Reported("mysql", "(_ssl.c) EOF occurred in violation", errno=2003), Failure.LOST, rdskit.ConnectError),
        (Reported("mysql", "[Errno -2] Name or service not known", errno=2003), Failure.REFUSED, rdskit.ConnectError),
        (Reported("mysql", "Unknown database", errno=1049), Failure.REFUSED, rdskit.ConnectError),
        (Reported("oracle", "", errno=1017), Failure.REFUSED, rdskit.AuthenticationError),
        (Reported("oracle", "", errno=12541), Failure.LOST, rdskit.ConnectError),
        (Reported("mssql", "", errno=18456), Failure.REFUSED, rdskit.AuthenticationError),
        (Reported("mssql", "", errno=4060), Failure.LOST, rdskit.ConnectError),
    ],
)
def test_what_a_refused_connection_calls_for(reported: Reported, failure: Failure, public: type[Exception]) -> None:
    refused = connect_error_of(reported, Endpoint("host", 1), "app")
    assert (refused.failure, type(refused.public)) == (failure, public)


@pytest.mark.parametrize(
    ("clause", "reads"),
    [
        (select(TABLE.c.id), True),
        (select(TABLE.c.id).union_all(select(TABLE.c.id)), True),
        (select(TABLE.c.id).with_for_update(), False),
        (select(select(TABLE.c.id).with_for_update().subquery()), False),
        (select(func.count()), True),
        (select(func.nextval("s")), False),
        (select(sa.Sequence("s").next_value()), False),
        (update(TABLE).values(text="x"), False),
        (select(update(TABLE).values(text="x").returning(TABLE.c.id).cte()), False),
        (text("select 1"), True),
        (text("select 1 where 2 = :two"), True),
        (text("select 1; delete from note"), False),
        (text("select * from note for share"), False),
        (text("delete from note"), False),
        (text("select 'without an end"), False),
    ],
)
def test_what_a_replica_may_answer(clause: object, *, reads: bool) -> None:
    assert surely_reads(clause, "postgresql") is reads
