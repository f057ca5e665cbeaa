"""Plain driver connections, opened our way: on PostgreSQL and MariaDB, with TLS, through a failover."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pymysql
import pytest

import rdskit
from rdskit.drivers.pymysql_connect import connect_within

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint
    from tests.plugins.local_rds import LocalRds
    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase


def test_a_plain_psycopg_connection(database: TestDatabase) -> None:
    with rdskit.dbapi_connect(database.url, tls="off", autocommit=True) as connection:
        assert type(connection) is psycopg.Connection
        assert connection.autocommit
        assert connection.execute("select current_database()").fetchone() == (database.name,)
        assert connection.execute("show application_name").fetchone() == ("rdskit",)


def test_a_plain_pymysql_connection(mariadb_database: FamilyDatabase) -> None:
    connection = rdskit.dbapi_connect(mariadb_database.url, tls="off", charset="utf8mb4")
    try:
        assert type(connection) is pymysql.connections.Connection
        with connection.cursor() as cursor:
            cursor.execute("select database(), %s", ("ß💧",))
            assert cursor.fetchone() == (mariadb_database.name, "ß💧")
    finally:
        connection.close()


def test_refused_logins_are_tried_with_what_the_credentials_give_next(database: TestDatabase) -> None:
    class Rotating:
        asked: list[rdskit.Login | None] = []  # noqa: RUF012 - one object, one test

        async def login(self, endpoint: Endpoint, *, refused: rdskit.Login | None = None) -> rdskit.Login:
            assert endpoint == (database.host, database.port)
            self.asked.append(refused)
            return rdskit.Login(database.user, database.password if refused else "the one before")

    rdskit.dbapi_connect(database.url, tls="off", credentials=Rotating()).close()
    assert Rotating.asked == [None, rdskit.Login(database.user, "the one before")]
    with pytest.raises(rdskit.AuthenticationError, match="refused the login of user 'postgres'") as caught:
        rdskit.dbapi_connect(database.url.replace(database.password, "wrong"), tls="off")
    assert isinstance(caught.value.__cause__, psycopg.OperationalError)


def test_refused_logins_of_mariadb(mariadb_database: FamilyDatabase) -> None:
    with pytest.raises(rdskit.AuthenticationError, match="refused the login"):
        rdskit.dbapi_connect(mariadb_database.url.replace(mariadb_database.password, "wrong"), tls="off")
    with pytest.raises(rdskit.ConnectError, match="Unknown database 'nowhere'"):
        rdskit.dbapi_connect(mariadb_database.url.replace(mariadb_database.name, "nowhere"), tls="off")


def test_a_server_that_is_not_there_is_waited_for_until_the_deadline(database: TestDatabase) -> None:
    with pytest.raises(rdskit.ConnectError, match=f"{database.host}:1 cannot be reached"):
        rdskit.dbapi_connect(f"postgresql://stranger:x@{database.host}:1/none", tls="off", timeout=0.3)


@pytest.mark.parametrize("fixture", ["database", "mysql_database"])
@pytest.mark.parametrize("away", ["127.0.0.1:1", "nowhere.invalid:5432"])
def test_of_several_hosts_the_one_that_serves_is_found(request: pytest.FixtureRequest, fixture: str, away: str) -> None:
    database: Any = request.getfixturevalue(fixture)
    address = f"{database.host}:{database.port}"
    for hosts in (f"{away},{address}", f"{address},{away}"):
        connection = rdskit.dbapi_connect(database.url.replace(address, hosts), tls="off")
        cursor = connection.cursor()
        cursor.execute("select 7")
        assert cursor.fetchone() == (7,)
        connection.close()
    wrong = database.url.replace(address, f"127.0.0.1:1,{address}").replace(database.password, "x")
    with pytest.raises(rdskit.AuthenticationError, match="refused the login"):  # which says more than the other's error
        rdskit.dbapi_connect(wrong, tls="off")


@pytest.mark.parametrize(
    ("fixture", "scheme", "found"), [("mysql_database", "postgresql", "MySQL"), ("database", "mysql", "PostgreSQL")]
)
@pytest.mark.parametrize("tls", ["off", "require"])
def test_a_server_of_another_kind_is_told_apart(
    request: pytest.FixtureRequest, fixture: str, scheme: str, found: str, tls: Any
) -> None:
    database: Any = request.getfixturevalue(fixture)
    target = f"{scheme}://{database.user}:{database.password}@{database.host}:{database.port}/{database.name}"
    with pytest.raises(rdskit.ConfigError, match=f"this looks like {found}, so write"):
        rdskit.dbapi_connect(target, tls=tls, timeout=20, connect_timeout=2)


@pytest.mark.parametrize("fixture", ["mysql_database", "mariadb_database"])
def test_a_host_that_goes_away_right_after_the_login_is_looked_for_again(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, fixture: str
) -> None:
    database: FamilyDatabase = request.getfixturevalue(fixture)
    log_in, opened = connect_within, []

    def log_in_and_be_killed_once(connect: Any, arguments: dict[str, Any], seconds: float, **named: Any) -> Any:
        connection = log_in(connect, arguments, seconds, **named)
        opened.append(connection)
        if len(opened) == 1:
            with log_in(connect, arguments, seconds, **named) as other, other.cursor() as cursor:
                cursor.execute("kill %s", (connection.thread_id(),))
        return connection

    monkeypatch.setattr("rdskit.drivers.dbapi.connect_within", log_in_and_be_killed_once)
    with contextlib.closing(rdskit.dbapi_connect(database.url, tls="off")) as connection:
        assert opened[1:] == [connection]
    assert not opened[0].open


def test_tls_is_demanded_by_default(database: TestDatabase) -> None:
    with pytest.raises(rdskit.TLSError, match="does not support SSL"):
        rdskit.dbapi_connect(database.url)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"host": "elsewhere"}, "host= comes from the target"),
        ({"password": "x"}, "password= comes from the target"),
        ({"sslmode": "require"}, "sslmode= is set by tls= and ca="),
    ],
)
def test_arguments_that_would_contradict(option: dict[str, str], message: str) -> None:
    with pytest.raises(rdskit.ConfigError, match=message):
        rdskit.dbapi_connect("postgresql://app:x@127.0.0.1/shop", tls="off", **option)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize(("scheme", "driver"), [("postgresql", "psycopg"), ("mysql", "pymysql")])
def test_a_missing_driver(monkeypatch: pytest.MonkeyPatch, scheme: str, driver: str) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(rdskit.ConfigError, match=r"pip install 'rdskit\[dbapi\]'"):
        rdskit.dbapi_connect(f"{scheme}://app:x@127.0.0.1/shop", tls="off")


def test_an_instance_by_name_with_verified_tls_through_a_failover(local_rds: LocalRds) -> None:
    local_rds.create("plain", MultiAZ=True)
    try:
        credentials = f"secretsmanager:{local_rds.secret('plain')}"
        with rdskit.dbapi_connect("rds://plain", credentials=credentials, autocommit=True) as connection:
            assert connection.info.get_parameters()["sslmode"] == "verify-full"
            assert connection.pgconn.ssl_in_use
            connection.execute("create table kept (id int)")
        failover = threading.Thread(target=local_rds.fail_over, args=("plain",))
        failover.start()
        try:
            connected = (rdskit.dbapi_connect("rds://plain", credentials=credentials, timeout=60) for _ in range(20))
            answers = [_is_standby(connection) for connection in connected]
        finally:
            failover.join()
        assert True not in answers
        assert answers.count(None) <= 1, "one failover ends no more than the connection that is open then"
        with rdskit.dbapi_connect("rds://plain", credentials=credentials) as connection:
            assert connection.execute("select count(*) from kept").fetchone() == (0,)
    finally:
        local_rds.delete("plain")


def _is_standby(connection: psycopg.Connection[tuple[bool]]) -> bool | None:
    """Return the role of a new connection's server; None where the plain connection has ended with the old writer."""
    with contextlib.closing(connection):
        try:
            return connection.execute("select pg_is_in_recovery()").fetchone() == (True,)
        except psycopg.OperationalError:
            return None
