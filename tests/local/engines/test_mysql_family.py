"""One real MySQL and one real MariaDB: their life, their failures and their settings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import psutil
import pytest

from rdskit.errors import LocalError
from rdskit.local.engines import processes
from rdskit.local.engines.mysql.sql import MySQLSession, ServerRefused
from rdskit.local.engines.mysql.throwaway import ThrowawayFamilyServer, throwaway_mariadb, throwaway_mysql
from rdskit.local.engines.session import Account, SessionLost
from rdskit.local.engines.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rdskit.local.engines.mysql.throwaway import ThrowawayMariaDB, ThrowawayMySQL
    from tests.plugins.mysql_family import FamilyDatabase

Run = Callable[..., AbstractContextManager[ThrowawayFamilyServer]]
PRODUCTS: dict[str, Run] = {"mariadb": throwaway_mariadb, "mysql": throwaway_mysql}


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("templates")


@pytest.fixture(params=sorted(PRODUCTS))
def server(request: pytest.FixtureRequest, tmp_path: Path, templates: Path) -> Iterator[ThrowawayFamilyServer]:
    with PRODUCTS[request.param](tmp_path, templates=templates) as running:
        yield running


def binary_logs(server: ThrowawayFamilyServer) -> int:
    """Return the number of binary logs. The index file is missing for a moment while the server rewrites it."""
    with contextlib.suppress(FileNotFoundError):
        return len((server.data / "binlog.index").read_text(encoding="utf-8").splitlines())
    return 0


def value(session: MySQLSession, sql: str) -> str | None:
    return session.execute(sql)[0][0]


def has_ended(session: MySQLSession) -> bool:
    with contextlib.suppress(SessionLost):
        session.execute("select 1")
        return False
    return True


@pytest.mark.parametrize("product", sorted(PRODUCTS))
def test_nothing_is_left_after_the_block(product: str, tmp_path: Path, templates: Path) -> None:
    with PRODUCTS[product](tmp_path, templates=templates) as server:
        assert server.pid is not None
        assert psutil.pid_exists(server.pid)
    assert not psutil.pid_exists(server.pid)
    assert not (tmp_path / product).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_server_lives_through_what_befalls_it(server: ThrowawayFamilyServer) -> None:
    with server.connect() as session:
        session.execute("create database shop")
        session.execute("create table shop.kept (id int primary key) engine = innodb")
        session.execute("insert into shop.kept values (1)")
        server.pause()
        assert poll(lambda: server.suspended, timeout=60)
        with pytest.raises(SessionLost, match="deadline"):
            session.execute("select 1", timeout=0.2)
        assert server.alive
        server.resume()
    server.kill()
    server.start()
    with server.connect("shop") as session:
        assert value(session, "select count(*) from kept") == "1"
        session.execute("insert into kept values (2)")
    server.stop()
    server.start()
    with server.connect("shop") as session:
        assert value(session, "select count(*) from kept") == "2"


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_a_stop_of_mysql_is_not_delayed_by_idle_sessions_of_our_own(server: ThrowawayMySQL) -> None:
    user = Account("app", "of the application")
    with server.connect() as own:
        own.execute("create user app@'%%' identified by %s", user.password)
        with MySQLSession.open(server.address, user) as session:
            server._end_sessions()
            assert poll(lambda: has_ended(own), timeout=60)
            assert value(session, "select 1") == "1", "what users run is ended by the server"
    server.stop()
    assert not server.alive


def test_a_server_that_is_killed_while_it_starts_knows_what_it_has_committed(server: ThrowawayFamilyServer) -> None:
    with server.connect() as session:
        session.execute("create database shop")
        session.execute("create table shop.kept (id int primary key)")
        for number in range(20):
            session.execute("insert into shop.kept values (%s)", number)
    committed = server.position()
    server.kill()
    logs = binary_logs(server)
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(server.start)
        assert poll(lambda: binary_logs(server) > logs, timeout=30, interval=0.0001)
        server.fence()
        with pytest.raises(LocalError):
            starting.result()
    server.start()
    assert server.position() == committed


def test_the_settings_that_durability_rests_on(server: ThrowawayFamilyServer) -> None:
    with server.connect() as session:
        names = ("binlog_format", "binlog_row_image", "binlog_row_metadata", "sync_binlog")
        values = [value(session, f"select @@global.{name}") for name in names]
        assert values == ["ROW", "FULL", "FULL", "1"]
        assert value(session, "select @@global.innodb_flush_log_at_trx_commit") == "1"
        assert value(session, "select group_concat(user) from mysql.user where user in ('', 'root')") is None


def test_an_invalid_value_leaves_the_old_options(server: ThrowawayFamilyServer) -> None:
    before = (server.data / "rdskit.cnf").read_text()
    with pytest.raises(LocalError, match="no_such_variable"):
        server.configure({"no_such_variable": "1"})
    with pytest.raises(LocalError, match="sort_buffer_size"):
        server.configure({"sort_buffer_size": "lots"})
    with pytest.raises(LocalError, match="control character"):
        server.configure({"init_connect": "select 1\n[mysqld]"})
    assert (server.data / "rdskit.cnf").read_text() == before


def test_reload_applies_what_can_be_changed_and_names_the_rest(server: ThrowawayFamilyServer) -> None:
    with server.connect() as session:
        default = value(session, "select @@global.sort_buffer_size")
        server.configure({"sort-buffer-size": "1M", "back_log": "77"})
        assert server.reload() == {"back_log"}
        assert value(session, "select @@global.sort_buffer_size") == str(2**20)
        server.configure({})
        assert server.reload() == frozenset()
        assert value(session, "select @@global.sort_buffer_size") == default


def test_a_server_that_does_not_start_says_why(server: ThrowawayFamilyServer) -> None:
    server.stop()
    (server.data / "ibdata1").write_bytes(b"this is no tablespace")
    with pytest.raises(LocalError, match=r"did not start on[\s\S]*ERROR"):
        server.start()
    assert not server.alive


def test_what_a_crashed_owner_left_is_ended_by_directory(server: ThrowawayFamilyServer, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert processes.end_orphans(elsewhere) == []
    assert server.alive
    assert processes.end_orphans(tmp_path) == [server.pid]
    assert poll(lambda: not server.alive, timeout=60)


def test_errors_carry_both_numbers_and_late_answers_come_later(server: ThrowawayFamilyServer) -> None:
    with server.connect() as session:
        with pytest.raises(ServerRefused, match="no_such") as caught:
            session.execute("select * from mysql.no_such")
        assert (caught.value.errno, caught.value.sqlstate) == (1146, "42S02")
        session.send("select sleep(0.1), %s, '%%'", "it's")
        assert not session.answered()
        assert poll(session.answered, timeout=60)
        assert session.receive() == [("0", "it's", "%")]
    wrong = type(server.account)(server.superuser, "guess")
    with pytest.raises(SessionLost, match="Access denied"):
        MySQLSession.open(server.address, wrong)


def test_each_test_has_a_database_of_its_own(
    mariadb_database: FamilyDatabase, mysql_database: FamilyDatabase, mysql: ThrowawayMySQL, mariadb: ThrowawayMariaDB
) -> None:
    for server, database in ((mysql, mysql_database), (mariadb, mariadb_database)):
        with server.connect(database.name) as session:
            assert session.execute("show tables") == []
            session.execute("create table t (id int)")
