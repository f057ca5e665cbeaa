"""One real PostgreSQL server: its life, its failures and its copies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from rdskit.errors import LocalError
from rdskit.local.engines import processes
from rdskit.local.engines.postgres.configuration import upstream
from rdskit.local.engines.postgres.sql import PostgresSession
from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres, throwaway_postgres
from rdskit.local.engines.session import ServerSession, SessionLost, StatementRefused
from rdskit.local.engines.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("templates")


@pytest.fixture
def server(tmp_path: Path, templates: Path) -> Iterator[ThrowawayPostgres]:
    with throwaway_postgres(tmp_path, templates=templates) as running:
        yield running


def value(session: ServerSession, sql: str) -> str | None:
    return session.execute(sql)[0][0]


def test_nothing_is_left_after_the_block(tmp_path: Path) -> None:
    with throwaway_postgres(tmp_path) as server:
        assert server.pid is not None
        tree = [server.pid, *processes.descendants(server.pid)]
        assert len(tree) > 3
    assert not [pid for pid in tree if psutil.pid_exists(pid)]
    assert not (tmp_path / "postgres").exists()


def test_its_shared_memory_goes_with_its_data(server: ThrowawayPostgres) -> None:
    """A server that is killed and not started again leaves nothing in /dev/shm."""
    mapped = Path(f"/proc/{server.pid}/maps").read_text(encoding="utf-8")
    assert f"{server.data}/pg_dynshmem/" in mapped
    assert "/PostgreSQL." not in mapped


def test_a_wrong_password_is_refused(server: ThrowawayPostgres) -> None:
    wrong = type(server.account)("postgres", "guess")
    with pytest.raises(SessionLost, match="password authentication failed"):
        PostgresSession.open(server.address, wrong)


def test_an_invalid_value_leaves_the_old_configuration(server: ThrowawayPostgres) -> None:
    before = (server.data / "postgresql.conf").read_text()
    with pytest.raises(LocalError, match="work_mem"):
        server.configure({"work_mem": "much"})
    assert (server.data / "postgresql.conf").read_text() == before


def test_reload_applies_what_was_configured(server: ThrowawayPostgres) -> None:
    server.configure({"work_mem": "12MB"})
    server.reload()
    with server.connect() as session:
        assert poll(lambda: value(session, "show work_mem") == "12MB", timeout=60)


def test_a_killed_server_recovers_at_the_next_start(server: ThrowawayPostgres) -> None:
    with server.connect() as session:
        session.execute("create table kept (id int)")
        session.execute("insert into kept values (1)")
    server.kill()
    assert not server.alive
    server.start()
    with server.connect() as session:
        assert value(session, "select count(*) from kept") == "1"


def test_a_paused_server_misses_the_deadline_and_goes_on_after_resume(server: ThrowawayPostgres) -> None:
    with server.connect() as session:
        server.pause()
        with pytest.raises(SessionLost, match="deadline"):
            session.execute("select 1", timeout=0.2)
        assert server.alive
        server.resume()
    with server.connect() as session:
        assert value(session, "select 1") == "1"


def test_an_error_carries_its_sqlstate(server: ThrowawayPostgres) -> None:
    with server.connect() as session, pytest.raises(StatementRefused) as caught:
        session.execute("select 1/$1::int", "0")
    assert caught.value.sqlstate == "22012"


def test_a_promoted_replica_takes_writes_and_the_old_primary_rejoins(server: ThrowawayPostgres, tmp_path: Path) -> None:
    with server.connect() as session:
        session.execute("create table t (id int)")
    replica = server.replica(tmp_path / "replica")
    try:
        with server.connect() as session, replica.connect() as reader:
            session.execute("insert into t values (1)")
            assert poll(lambda: value(reader, "select count(*) from t") == "1", timeout=60)
        server.kill()
        replica.promote()
        with replica.connect() as session:
            assert poll(lambda: value(session, "select pg_is_in_recovery()") == "f", timeout=60)
            session.execute("insert into t values (2)")
        server.rewind(replica)
        copied = sum(each.stat().st_size for each in (server.data / "pg_wal").iterdir() if each.is_file())
        assert copied < 16 * 2**20, "a rewind copies all WAL, so that each promotion before made it slower"
        server.configure(upstream(replica.address, replica.account, server.data, "old"))
        server.start()
        with server.connect() as session:
            assert poll(lambda: value(session, "select count(*) from t") == "2", timeout=60)
            assert value(session, "select pg_is_in_recovery()") == "t"
    finally:
        server.stop()
        replica.stop()
        replica.remove()


def test_what_a_crashed_owner_left_is_ended_by_directory(server: ThrowawayPostgres, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert processes.end_orphans(elsewhere) == []
    assert server.alive
    assert server.pid in processes.end_orphans(tmp_path)
    assert not server.alive
