"""The endpoint in front of real MySQL and MariaDB servers, with real clients."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import asyncmy
import pymysql
import pytest
from pymysql.constants import CLIENT, COMMAND

from rdskit.local.endpoints.mysql import UNSUPPORTED, Capability, Greeting
from rdskit.local.endpoints.mysql_auth import stored
from rdskit.local.engines.mysql.programs import environment
from rdskit.local.engines.waiting import poll
from tests.local.endpoints.conftest import IAM_SECRET, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.local.endpoints.conftest import FamilyBench, StubVerifier

LOST = (pymysql.err.OperationalError, pymysql.err.InterfaceError, ConnectionError)
PASSWORD = "the user's own"


@contextlib.contextmanager
def user(bench: FamilyBench, name: str, how: str = f'identified by "{PASSWORD}"') -> Iterator[str]:
    """Create a user through the endpoint for the duration of the block."""
    bench.ask(f"create user {name} {how}")
    try:
        yield name
    finally:
        with bench.server.connect() as session:
            session.execute(f"drop user {name}")


@contextlib.contextmanager
def variable(bench: FamilyBench, name: str, value: int) -> Iterator[None]:
    """Set a global variable for the duration of the block."""
    with bench.server.connect() as session:
        former = session.execute(f"select @@global.{name}")[0][0]
        session.execute(f"set global {name} = {value}")
        try:
            yield
        finally:
            session.execute(f"set global {name} = {former}")


def iam_users(bench: FamilyBench) -> set[str | None]:
    """Return the users that have the internal password on the server."""
    hashes = [stored(IAM_SECRET, mariadb=mariadb).hash for mariadb in (True, False)]
    with bench.server.connect() as session:
        rows = session.execute("select user from mysql.user where authentication_string in (%s, %s)", *hashes)
    return {name for (name,) in rows}


def test_a_session_is_encrypted_on_both_sides_or_on_none(family_bench: FamilyBench) -> None:
    sql = "select variable_value from performance_schema.session_status where variable_name = 'Ssl_cipher'"
    if family_bench.server.installation.product == "MariaDB":
        sql = "select variable_value from information_schema.session_status where variable_name = 'SSL_CIPHER'"
    assert "AES" in family_bench.ask(sql)
    assert family_bench.ask(sql, tls=False) == ""


def test_where_tls_is_required_a_session_in_the_clear_is_refused_as_by_the_server(family_bench: FamilyBench) -> None:
    family_bench.set(require_tls=True)
    with pytest.raises(pymysql.err.OperationalError, match="--require_secure_transport=ON") as refused:
        family_bench.connect(tls=False)
    assert refused.value.args[0] == 3159
    assert family_bench.ask("select 1") == 1


@pytest.mark.parametrize("tls", [True, False])
def test_a_new_user_logs_in_by_password(family_bench: FamilyBench, *, tls: bool) -> None:
    # The first login is the long one of caching_sha2_password, which depends on TLS.
    with user(family_bench, "ann") as name:
        assert family_bench.ask("select current_user()", user=name, password=PASSWORD, tls=tls) == "ann@%"
        assert family_bench.ask("select current_user()", user=name, password=PASSWORD, tls=not tls) == "ann@%"
        with pytest.raises(pymysql.err.OperationalError, match=r"Access denied.*ann"):
            family_bench.connect(user=name, password="wrong", tls=tls)


def test_a_user_who_must_use_tls_can(family_bench: FamilyBench) -> None:
    with user(family_bench, "ann", f'identified by "{PASSWORD}" require ssl') as name:
        assert family_bench.ask("select current_user()", user=name, password=PASSWORD) == "ann@%"
        with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
            family_bench.connect(user=name, password=PASSWORD, tls=False)


async def test_asyncmy_by_password_and_by_token(family_bench: FamilyBench, verifier: StubVerifier) -> None:
    context = ssl.create_default_context(cafile=str(family_bench.ca))
    with user(family_bench, "ann"), user(family_bench, "jane", "identified with AWSAuthenticationPlugin as 'RDS'"):
        for name, password in (("ann", PASSWORD), ("jane", TOKEN)):
            address = family_bench.address
            connection = await asyncmy.connect(
                host=address.host, port=address.port, user=name, password=password, ssl=context
            )
            async with connection.cursor() as cursor:
                await cursor.execute("select current_user()")
                assert await cursor.fetchone() == (f"{name}@%",)
            await connection.ensure_closed()
    assert verifier.asked == [("orders", "jane", TOKEN)]


def client_program(bench: FamilyBench, name: str, password: str) -> str:
    """Run the product's own command-line client and return its output."""
    installation = bench.server.installation
    mysql = installation.product == "MySQL"
    program = "mysql" if mysql else "mariadb"
    root = next(path for path in installation.server.parents if (path / "usr").is_dir())
    plugins = "usr/lib/mysql/plugin" if mysql else "usr/lib/*/libmariadb3/plugin"
    options = ["--enable-cleartext-plugin", "--ssl-mode=VERIFY_IDENTITY"] if mysql else ["--ssl-verify-server-cert"]
    options += [f"--plugin-dir={folder}" for folder in root.glob(plugins)]
    answer = subprocess.run(
        [
            *installation.command(program),
            *("--no-defaults", *options, f"--ssl-ca={bench.ca}", "--compress"),
            *(f"--host={bench.address.host}", f"--port={bench.address.port}", f"--user={name}"),
            *("--batch", "--skip-column-names", "--execute=select current_user()"),
        ],
        capture_output=True,
        text=True,
        env=environment() | {"MYSQL_PWD": password},
        timeout=30,
        check=False,
    )
    return answer.stdout + answer.stderr


def test_the_command_line_client_by_password_and_by_token(family_bench: FamilyBench, verifier: StubVerifier) -> None:
    with user(family_bench, "ann"), user(family_bench, "jane", "identified with AWSAuthenticationPlugin as 'RDS'"):
        assert "ann@%" in client_program(family_bench, "ann", PASSWORD)
        assert "jane@%" in client_program(family_bench, "jane", TOKEN)
        assert "that is a password, not a token" in client_program(family_bench, "jane", "guess")
    assert [token for _, _, token in verifier.asked] == [TOKEN, "guess"]


def test_compression_is_not_offered(family_bench: FamilyBench) -> None:
    def greeting(host: str, port: int) -> Greeting:
        with socket.create_connection((host, port), timeout=10) as client:
            return Greeting.parse(client.recv(4096)[4:])

    offered, own = greeting(*family_bench.address), greeting(*family_bench.server.address)
    assert not offered.capabilities & UNSUPPORTED
    assert Capability.COMPRESS in own.capabilities
    assert int(offered.capabilities) == int(own.capabilities) & ~int(UNSUPPORTED)
    assert offered.version == own.version


def test_large_statements_and_large_results_arrive_whole(family_bench: FamilyBench) -> None:
    text = "x" * 20_000_000  # more than fits in one packet
    with variable(family_bench, "max_allowed_packet", 64 * 2**20):
        assert family_bench.ask("select length(%s)", text, max_allowed_packet=64 * 2**20) == len(text)
        assert family_bench.ask("select repeat('y', 20000000)") == "y" * 20_000_000


def test_a_query_is_killed_from_another_connection(family_bench: FamilyBench) -> None:
    with family_bench.connect() as connection, family_bench.connect() as other, other.cursor() as cursor:
        errors: list[BaseException] = []

        def wait_long() -> None:
            try:
                with connection.cursor() as waiting:
                    waiting.execute("select count(*) from mysql.user where sleep(20) = 1")
            except pymysql.err.OperationalError as error:
                errors.append(error)

        thread = threading.Thread(target=wait_long)
        thread.start()
        number = connection.thread_id()

        def asleep() -> bool:
            cursor.execute("select count(*) from information_schema.processlist where id = %s and info like %s",
                           (number, "%sleep%"))  # fmt: skip
            return bool(cursor.fetchone() == (1,))

        assert poll(asleep, timeout=60)
        cursor.execute("kill query %s", (number,))
        thread.join(15)
        assert not thread.is_alive()
        assert [error.args[0] for error in errors] == [1317]


@pytest.mark.parametrize("tls", [True, False])
def test_another_user_takes_a_connection_over(family_bench: FamilyBench, *, tls: bool) -> None:
    with user(family_bench, "ann") as name, family_bench.connect(tls=tls) as connection:
        # No password, no database, and a plugin that is not the user's: the server asks for the right one.
        body = name.encode() + b"\0\0\0" + (45).to_bytes(2, "little") + b"mysql_clear_password\0\0"
        connection.password = PASSWORD.encode()
        connection.user = name
        connection._execute_command(COMMAND.COM_CHANGE_USER, body)
        packet = connection._read_packet()
        assert packet.is_auth_switch_request()
        packet.read_uint8()
        connection._process_auth(packet.read_string(), packet)
        with connection.cursor() as cursor:
            cursor.execute("select current_user()")
            assert cursor.fetchone() == ("ann@%",)


def test_the_servers_error_for_too_many_connections_is_relayed(family_bench: FamilyBench) -> None:
    with variable(family_bench, "max_connections", 10), contextlib.ExitStack() as opened:
        with pytest.raises(pymysql.err.OperationalError) as refused:
            for _ in range(15):
                opened.enter_context(family_bench.connect())
        assert refused.value.args[0] == 1040


def sessions(bench: FamilyBench, name: str) -> int:
    """Return the number of sessions that a user has on the server."""
    sql = "select count(*) from information_schema.processlist where user = %s"
    with bench.server.connect() as session:
        return int(session.execute(sql, name)[0][0] or 0)


def test_clients_that_only_probe_the_port_block_no_other(family_bench: FamilyBench) -> None:
    limit = family_bench.ask("select @@global.max_connect_errors")
    assert limit <= 100
    for _ in range(limit + 20):
        with socket.create_connection(family_bench.address, timeout=10) as client:
            assert client.recv(4096)
    assert family_bench.ask("select 1") == 1


def test_a_cut_resets_sessions_and_logins(family_bench: FamilyBench) -> None:
    with user(family_bench, "ann") as name:
        connection = family_bench.connect(user=name, password=PASSWORD)
        assert sessions(family_bench, name) == 1
        with socket.create_connection(family_bench.address, timeout=10) as negotiating:
            assert negotiating.recv(4096)
            family_bench.set(cut=True)
            with pytest.raises(ConnectionResetError):
                negotiating.recv(1)
        with pytest.raises(LOST):
            connection.ping(reconnect=False)
        assert poll(lambda: sessions(family_bench, name) == 0, timeout=60)


def test_a_client_that_vanishes_leaves_no_session(family_bench: FamilyBench) -> None:
    with user(family_bench, "ann") as name:
        connection = family_bench.connect(user=name, password=PASSWORD)
        assert sessions(family_bench, name) == 1
        connection._force_close()  # without a word to the server
        assert poll(lambda: sessions(family_bench, name) == 0, timeout=60)


def test_a_server_that_dies_ends_its_sessions_and_is_reached_again(family_bench: FamilyBench) -> None:
    connection = family_bench.connect()
    family_bench.server.kill()
    with pytest.raises(LOST):
        connection.ping(reconnect=False)
    with pytest.raises(pymysql.err.OperationalError):
        family_bench.connect()
    family_bench.server.start()
    assert family_bench.ask("select 1") == 1


def test_without_a_backend_connections_are_refused(family_bench: FamilyBench) -> None:
    family_bench.set(backend=None)
    with pytest.raises(pymysql.err.OperationalError, match="refused"):
        family_bench.connect()
    family_bench.set()
    assert family_bench.ask("select 1") == 1


@pytest.mark.parametrize("payload", [b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x01", b"\xff\xff\xff\x01", bytes(36)])
def test_a_client_of_another_protocol_is_disconnected(family_bench: FamilyBench, payload: bytes) -> None:
    with socket.create_connection(family_bench.address, timeout=10) as client:
        assert client.recv(4096)
        client.sendall(payload)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert family_bench.ask("select 1") == 1


def test_iam_users_are_made_by_queries_and_prepared_statements(family_bench: FamilyBench) -> None:
    names = ("one", "two", "three", "four")
    makes = "create user if not exists {} identified with AWSAuthenticationPlugin as 'RDS'"
    try:
        with family_bench.connect(client_flag=CLIENT.MULTI_STATEMENTS) as connection, connection.cursor() as cursor:
            cursor.execute(makes.format("one"))
            cursor.execute(f"/* both */ {makes.format('two')}; {makes.format('three')}")
            while cursor.nextset():
                continue
            run_prepared(connection, makes.format("four"))
        assert iam_users(family_bench) == set(names)
        family_bench.ask("alter user one identified by 'a password'")
        assert iam_users(family_bench) == {"two", "three", "four"}
        family_bench.ask("alter user one identified with AWSAuthenticationPlugin as 'RDS'")
        assert iam_users(family_bench) == set(names)
    finally:
        with family_bench.server.connect() as session:
            for name in names:
                session.execute(f"drop user if exists {name}")


def run_prepared(connection: Any, sql: str) -> None:
    """Prepare a statement on the server and execute it."""
    connection._execute_command(COMMAND.COM_STMT_PREPARE, sql)
    packet = connection._read_packet()
    packet.read_uint8()
    body = packet.read(4) + b"\0" + (1).to_bytes(4, "little")
    connection._execute_command(COMMAND.COM_STMT_EXECUTE, body)
    connection._read_packet()


def test_what_is_not_such_a_statement_goes_to_the_server_as_it_is(family_bench: FamilyBench, tmp_path: Path) -> None:
    text = "create user jane identified with AWSAuthenticationPlugin as 'RDS'"
    assert family_bench.ask("select %s", text) == text
    file = tmp_path / "notes.txt"
    file.write_text(f"{text}\n" * 300)
    with contextlib.ExitStack() as opened:
        opened.enter_context(variable(family_bench, "local_infile", 1))
        cursor = opened.enter_context(family_bench.connect(local_infile=True)).cursor()
        cursor.execute("create database notes")
        cursor.execute("create table notes.lines (line text)")
        cursor.execute(f"load data local infile '{file}' into table notes.lines")
        cursor.execute("select count(*) from notes.lines where line = %s", (text,))
        assert cursor.fetchone() == (300,)
        cursor.execute("drop database notes")
    with pytest.raises(pymysql.err.OperationalError, match="AWSAuthenticationPlugin"):
        family_bench.ask("create user jane identified with AWSAuthenticationPlugin as 'something else'")


def test_an_iam_user_is_one_on_a_replica_too(family_bench: FamilyBench, tmp_path: Path) -> None:
    replica = family_bench.server.replica(tmp_path / "replica")
    try:
        with user(family_bench, "jane", "identified with AWSAuthenticationPlugin as 'RDS'"):
            assert replica.wait_for_position(family_bench.server.position(), 20)
            family_bench.set(backend=replica.address)
            assert family_bench.ask("select current_user()", user="jane", password=TOKEN) == "jane@%"
            assert family_bench.ask("select @@read_only") == 1
            family_bench.set()
    finally:
        replica.kill()
        replica.remove()
