"""The endpoint process with real clients and a real server: TLS, relaying, repointing, cutting, dying."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import struct
from typing import TYPE_CHECKING

import asyncpg
import psutil
import psycopg
import pytest

from rdskit.errors import LocalError
from rdskit.kernel.endpoints import Endpoint
from rdskit.local.endpoints.postgres import Request, classify
from rdskit.local.engines.postgres.throwaway import throwaway_postgres
from rdskit.local.engines.waiting import poll
from tests.local.endpoints.conftest import is_cancelled

if TYPE_CHECKING:
    from pathlib import Path

    from tests.local.endpoints.conftest import Bench

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSS_REQUEST = struct.pack("!ii", 8, 80877104)


def raw(bench: Bench) -> socket.socket:
    """Open a plain TCP connection to the endpoint."""
    return socket.create_connection((bench.address.host, bench.address.port), timeout=5)


def test_psycopg_verifies_the_certificate_fully(bench: Bench) -> None:
    with bench.connect() as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute("select 41 + 1").fetchone() == (42,)


async def test_asyncpg_verifies_the_certificate_fully(bench: Bench) -> None:
    context = ssl.create_default_context(cafile=str(bench.ca))
    connection = await asyncpg.connect(
        host=bench.address.host,
        port=bench.address.port,
        user=bench.server.superuser,
        password=bench.server.password,
        database="postgres",
        ssl=context,
    )
    try:
        assert await connection.fetchval("select 41 + 1") == 42
    finally:
        await connection.close()


def test_a_session_in_the_clear_works_unless_tls_is_required(bench: Bench) -> None:
    with bench.connect(sslmode="disable") as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    bench.set(require_tls=True)
    with pytest.raises(psycopg.OperationalError, match=r'no pg_hba.conf entry.*user "postgres".*no encryption'):
        bench.connect(sslmode="disable")
    with bench.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_gssapi_is_declined_and_the_session_goes_on(bench: Bench) -> None:
    with raw(bench) as client:
        client.sendall(GSS_REQUEST)
        assert client.recv(1) == b"N"
        client.sendall(SSL_REQUEST)
        assert client.recv(1) == b"S"


def test_direct_tls_is_refused_at_once(bench: Bench) -> None:
    with raw(bench) as client:
        client.sendall(bytes.fromhex("1603010200010001fc0303"))
        assert client.recv(100) == bytes.fromhex("15030100020278")
        assert client.recv(1) == b""


def test_libpq_reports_why_direct_tls_is_refused(bench: Bench) -> None:
    with pytest.raises(psycopg.OperationalError, match="no application protocol"):
        bench.connect(sslnegotiation="direct", sslmode="require")


def test_bytes_smuggled_before_the_handshake_end_the_session(bench: Bench) -> None:
    startup = struct.pack("!ii", 8 + 14, 196608) + b"user\0postgres\0"
    with raw(bench) as client:
        client.sendall(SSL_REQUEST + startup)
        assert client.recv(1) == b"S"
        with pytest.raises(ConnectionResetError):
            while client.recv(4096):
                continue  # the alert of a handshake that failed


def test_large_results_and_large_statements_arrive_whole(bench: Bench) -> None:
    text = "x" * 3_000_000
    with bench.connect() as connection:
        row = connection.execute("select length(%s), repeat('y', 20000000)", (text,)).fetchone()
    assert row is not None
    assert row[0] == len(text)
    assert row[1] == "y" * 20_000_000


def test_a_client_that_does_not_read_holds_the_server_back(bench: Bench) -> None:
    with bench.connect() as slow, bench.connect() as other, slow.cursor() as cursor:
        pid = slow.info.backend_pid
        slow.pgconn.send_query(b"select repeat('z', 1000) from generate_series(1, 200000)")
        sql = "select wait_event from pg_stat_activity where pid = %s"
        assert poll(lambda: other.execute(sql, (pid,)).fetchone() == ("ClientWrite",), timeout=60)
        total = 0
        while (result := slow.pgconn.get_result()) is not None:
            total += result.ntuples
        assert total == 200_000
        assert cursor.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("sslmode", ["verify-full", "disable"])
def test_a_cancellation_reaches_the_server(bench: Bench, sslmode: str) -> None:
    with bench.connect(sslmode=sslmode) as connection, bench.connect() as other:
        assert is_cancelled(connection, other)


def test_a_session_that_ends_in_order_leaves_no_backend(bench: Bench) -> None:
    with bench.connect() as connection:
        pid = connection.info.backend_pid
    with bench.connect() as other:
        sql = "select count(*) from pg_stat_activity where pid = %s"
        assert poll(lambda: other.execute(sql, (pid,)).fetchone() == (0,), timeout=60)


def test_without_a_backend_connections_are_refused(bench: Bench) -> None:
    bench.set(backend=None)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        bench.connect()
    bench.set()
    with bench.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_cutting_resets_what_is_connected_and_what_is_negotiating(bench: Bench) -> None:
    with raw(bench) as negotiating:
        negotiating.sendall(SSL_REQUEST)
        assert negotiating.recv(1) == b"S"
        connection = bench.connect()
        bench.set(cut=True)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
        connection.close()
        with pytest.raises(ConnectionResetError):
            negotiating.recv(1)


def test_new_connections_reach_the_new_backend_and_old_ones_stay(bench: Bench, tmp_path: Path) -> None:
    with throwaway_postgres(tmp_path / "other", settings={"cluster_name": "other"}) as other, bench.connect() as old:
        names = {
            "user": other.superuser,
            "password": other.password,
        }
        bench.set(backend=other.address)
        with bench.connect(**names) as new:
            assert new.execute("show cluster_name").fetchone() == ("other",)
        assert old.execute("show cluster_name").fetchone() == ("",)


def test_a_dead_process_is_replaced_with_the_same_endpoints(bench: Bench) -> None:
    before = bench.process.pid
    assert before is not None
    connection = bench.connect()
    os.kill(before, signal.SIGKILL)
    assert poll(lambda: bench.process.pid != before, timeout=60)

    def works() -> bool:
        try:
            with bench.connect() as again:
                return again.execute("select 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    assert poll(works, timeout=60)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    connection.close()


def test_the_process_ends_when_its_pipe_does(bench: Bench) -> None:
    pid = bench.process.pid
    assert pid is not None
    bench.process.close()
    assert not psutil.pid_exists(pid)


def test_a_taken_address_is_reported(bench: Bench) -> None:
    taken = Endpoint(bench.server.host, bench.server.port)
    with pytest.raises(LocalError, match=r"other.*in use"):
        bench.process.set(
            type(bench.state)("other", taken, bench.state.certificate, bench.state.key, bench.server.address)
        )
    with bench.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


async def test_a_hundred_connections_at_once(bench: Bench) -> None:
    context = ssl.create_default_context(cafile=str(bench.ca))

    async def one(number: int) -> int:
        connection = await asyncpg.connect(
            host=bench.address.host,
            port=bench.address.port,
            user=bench.server.superuser,
            password=bench.server.password,
            database="postgres",
            ssl=context,
        )
        try:
            return int(await connection.fetchval("select $1::int", number))
        finally:
            await connection.close()

    assert await asyncio.gather(*(one(number) for number in range(100))) == list(range(100))


@pytest.mark.parametrize(
    ("greeting", "request_kind"),
    [
        (SSL_REQUEST, Request.TLS),
        (GSS_REQUEST, Request.GSS),
        (struct.pack("!ii", 16, 80877102), Request.CANCEL),
        (struct.pack("!ii", 40, 196608), Request.STARTUP),
        (struct.pack("!ii", 40, 196610), Request.STARTUP),
        (struct.pack("!ii", 5, 196608), Request.UNSUPPORTED),
        (struct.pack("!ii", 20000, 196608), Request.UNSUPPORTED),
        (b"GET / HT", Request.UNSUPPORTED),
        (bytes.fromhex("1603010200010001"), Request.DIRECT_TLS),
    ],
)
def test_the_first_bytes_are_classified(greeting: bytes, request_kind: Request) -> None:
    assert classify(greeting)[0] is request_kind
