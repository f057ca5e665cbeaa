"""Silent, endless and malformed clients: the endpoint survives and serves others."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from typing import TYPE_CHECKING

import psutil
import pytest

from rdskit.local.endpoints.forwarding import Answers
from rdskit.local.endpoints.link_faults import LinkFaults
from rdskit.local.endpoints.model import Link
from rdskit.local.endpoints.mysql import HEADER
from rdskit.local.endpoints.mysql_statements import StatementInspector
from tests.local.endpoints.conftest import IAM_SECRET, TOKEN, LoginRefused
from tests.plugins.rounds import for_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.local.endpoints.conftest import Bench, IamEndpoint

SECONDS = 200.0  # of soak, for each engine
MEBIBYTE = 1024**2
TLS = struct.pack("!ii", 8, 80877103)
STARTUP = b"user\0jane\0database\0postgres\0options\0-c work_mem=1MB\0\0"
POSTGRES = (
    TLS,
    struct.pack("!ii", 8, 80877104) * 3 + TLS,
    struct.pack("!ii", len(STARTUP) + 8, 196608) + STARTUP + b"p" + struct.pack("!i", 9) + b"pass\0",
    struct.pack("!iiii", 16, 80877102, 1, 2),
)
MYSQL = (
    b"\x20\0\0\x01" + struct.pack("<IIB23x", 0x000AA20D, 1 << 24, 45),
    b"\x52\0\0\x01"
    + struct.pack("<IIB23x", 0x000AA20D, 1 << 24, 45)
    + b"jane\0\x14"
    + b"s" * 20
    + b"db\0mysql_clear_password\0",
)


def mutated(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(0, 6)):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(4)
        if kind == 0 and at < len(changed):
            changed[at] = chance.randrange(256)
        elif kind == 1:
            del changed[at : at + chance.randint(1, 9)]
        elif kind == 2:
            changed[at:at] = chance.randbytes(chance.randint(1, 60))
        else:
            changed[at : at + 4] = chance.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\x27\x10")
            )
    return bytes(changed)


def attack(endpoint: IamEndpoint, data: bytes) -> None:
    address = (endpoint.bench.address.host, endpoint.bench.address.port)
    with socket.create_connection(address, timeout=10) as client, contextlib.suppress(OSError):
        client.settimeout(0.3)
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        for _ in range(20):
            if not client.recv(65536):
                return


def check(endpoint: IamEndpoint, chance: random.Random, rounds: Iterable[int]) -> int:
    pid = endpoint.bench.process.pid
    assert pid is not None
    process = psutil.Process(pid)
    before = process.memory_info().rss
    count = 0
    for count in rounds:  # noqa: B007 - the last one is returned
        attack(endpoint, mutated(chance, chance.choice(POSTGRES if endpoint.engine == "postgres" else MYSQL)))
    assert endpoint.bench.process.pid == pid, "the endpoint process has died"
    assert process.memory_info().rss - before < 50 * MEBIBYTE
    assert endpoint.whoami("bob", endpoint.password) == "bob"
    assert endpoint.whoami("jane", TOKEN) == "jane"
    return count + 1


def test_nonsense_before_a_login(endpoint: IamEndpoint) -> None:
    check(endpoint, random.Random(3), range(60))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_nonsense_for_long(endpoint: IamEndpoint, record_property: Callable[[str, object], None]) -> None:
    seed = random.SystemRandom().randrange(10**6)
    record_property("seed", seed)
    count = check(endpoint, random.Random(seed), for_seconds(SECONDS))
    record_property("connections", count)
    print(f"{endpoint.engine}: {count} connections, seed {seed}")  # noqa: T201 - the report of a soak run


def test_silent_clients_make_room(bench: Bench) -> None:
    """Replace silent clients, for which MySQL's server would wait ten seconds each."""
    address = (bench.address.host, bench.address.port)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(socket.create_connection(address, timeout=10))
        for _ in range(300):
            stack.enter_context(socket.create_connection(address, timeout=10))
        with contextlib.suppress(ConnectionResetError):
            assert first.recv(4096) == b""
        with bench.connect() as connection:
            assert connection.execute("select 1").fetchone() == (1,)


def test_the_supervisor_is_not_let_in(endpoint: IamEndpoint) -> None:
    for password in (endpoint.bench.server.password, TOKEN, IAM_SECRET):
        with pytest.raises(LoginRefused, match=r"rejects connection|belongs to RDS"):
            endpoint.enter(endpoint.bench.server.superuser, password)


def test_a_long_statement_is_not_held_back() -> None:
    inspect = StatementInspector(lambda sql: sql, attributes=False)
    length = 0xFFFFFE
    head = length.to_bytes(3, "little") + b"\0\x03create user " + b"x" * 2000
    assert len(inspect(memoryview(head))) == len(head), "16 MB would be kept for each client"
    assert len(inspect(memoryview(b"x" * (HEADER + length - len(head))))) == HEADER + length - len(head)


async def test_late_answers_have_a_limit() -> None:
    """Stop reading from a server whose answers wait for a latency of a minute."""
    loop = asyncio.get_running_loop()
    backend, source = socket.socketpair()
    target, client = socket.socketpair()
    passage = LinkFaults()
    passage.become(Link(latency=60.0))
    for each in (backend, source, target, client):
        each.setblocking(False)
    direction = Answers(loop, source, target, lambda _: None, passage)
    direction.start()
    sent, idle = 0, 0
    while idle < 200 and sent < 64 * MEBIBYTE:
        try:
            sent += backend.send(b"x" * 262_144)
            idle = 0
        except BlockingIOError:
            idle += 1
        await asyncio.sleep(0)
    direction.stop()
    assert sent < 24 * MEBIBYTE
    passage.become(Link())
    for each in (backend, source, target, client):
        each.close()
