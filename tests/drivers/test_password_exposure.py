"""No way of connecting gives the password to an unverified server: not in the clear, not by a key of its own.

The servers here ask for it; what they receive is all that counts.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import rdskit
from rdskit.kernel.endpoints import Endpoint
from rdskit.local.certificates import LocalAuthority
from tests.drivers import rogue
from tests.drivers import test_connect_deadlines as deadlines
from tests.drivers.test_connect_deadlines import MYSQL, POSTGRES, outcomes

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

PASSWORD = deadlines.PASSWORD.encode()
ELSEWHERE = "0.0.0.0"  # noqa: S104 - leads to this machine, and is no loopback address
CLEAR_REQUEST = b"R\0\0\0\x08\0\0\0\x03"
QUICK = {name: way for name, way in MYSQL.items() if name in {"connect", "dbapi"}}
FULL_LOGIN = b"\x01\x04"  # caching_sha2_password: the hash is not known, send the password


def test_addresses_of_this_machine() -> None:
    here = ["127.0.0.1", "127.8.8.8", "::1", "localhost", "db.localhost"]
    assert [host for host in (*here, ELSEWHERE, "10.0.0.1", "localhost.example.com", "db") if is_here(host)] == here


def is_here(host: str) -> bool:
    return Endpoint(host, 1).is_loopback


class Greedy:
    """Remembers each packet of each client."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def take(self, peer: socket.socket) -> bytes:
        data = peer.recv(65536)
        self.received.append(data)
        return data


def postgres(greedy: Greedy, pieces: list[bytes]) -> Callable[[socket.socket, threading.Event], None]:
    def behave(peer: socket.socket, _end: threading.Event) -> None:
        greedy.take(peer)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            peer.sendall(piece)
        greedy.take(peer)

    return behave


def mysql(greedy: Greedy, plugin: str, *, greets: bool) -> Callable[[socket.socket, threading.Event], None]:
    """Ask by a login plug-in, in the greeting or after it; go on to ask for everything."""

    def behave(peer: socket.socket, _end: threading.Event) -> None:
        peer.sendall(rogue.mysql_greeting(plugin.encode() if greets else b"mysql_native_password"))
        greedy.take(peer)
        if greets and plugin == "caching_sha2_password":
            peer.sendall(rogue.packet(2, FULL_LOGIN))
        elif greets:
            peer.sendall(rogue.packet(2, b"\x01" + PUBLIC_KEY))
        else:
            peer.sendall(rogue.packet(2, b"\xfe" + plugin.encode() + b"\0" + b"x" * 20 + b"\0"))
        number = 4
        while answer := greedy.take(peer):
            body = answer[4:]
            asks_for_key = body in {b"\x01", b"\x02"}
            peer.sendall(rogue.packet(number, b"\x01" + PUBLIC_KEY if asks_for_key else FULL_LOGIN))
            number += 2

    return behave


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_KEY = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def given_away(received: list[bytes]) -> list[bytes]:
    """Return the packets with the password, as it is or encrypted by the server's key."""
    modulus = KEY.key_size // 8
    return [data for data in received if PASSWORD in data or len(data) == modulus + 4]


@contextlib.contextmanager
def elsewhere(behave: Callable[[socket.socket, threading.Event], None]) -> Iterator[Endpoint]:
    with rogue.rogue(behave) as endpoint:
        yield endpoint._replace(host=ELSEWHERE)


def test_postgresql_gets_no_clear_password() -> None:
    greedy = Greedy()
    with rogue.rogue(postgres(greedy, [CLEAR_REQUEST[:3], CLEAR_REQUEST[3:]])) as endpoint:
        found = outcomes(POSTGRES, endpoint)
    assert [name for name in POSTGRES if found.get(name) is None] == []
    assert len(greedy.received) >= 2 * len(POSTGRES)
    assert given_away(greedy.received) == []
    assert isinstance(found["connect"], rdskit.AuthenticationError)
    assert "cleartext_password=True" in str(found["connect"])


@pytest.mark.parametrize("greets", [False, True], ids=["asks", "greets"])
@pytest.mark.parametrize("plugin", ["caching_sha2_password", "sha256_password"])
def test_mysql_gets_no_password_by_a_key_of_its_own(plugin: str, *, greets: bool) -> None:
    ways = MYSQL if plugin == "caching_sha2_password" and greets else QUICK
    greedy = Greedy()
    with elsewhere(mysql(greedy, plugin, greets=greets)) as endpoint:
        found = outcomes(ways, endpoint)
    assert [name for name in ways if found.get(name) is None] == []
    assert len(greedy.received) >= 2 * len(ways)
    assert given_away(greedy.received) == []


@pytest.mark.parametrize("plugin", ["mysql_clear_password", "dialog", "mysql_old_password"])
def test_mysql_gets_no_clear_password(plugin: str) -> None:
    ways = MYSQL if plugin == "mysql_clear_password" else QUICK
    greedy = Greedy()
    with rogue.rogue(mysql(greedy, plugin, greets=False)) as endpoint:
        found = outcomes(ways, endpoint)
    assert [name for name in ways if found.get(name) is None] == []
    assert len(greedy.received) >= 2 * len(ways)
    assert given_away(greedy.received) == []
    assert isinstance(found["connect"], rdskit.AuthenticationError)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_who_says_so_sends_it(scheme: str) -> None:
    greedy = Greedy()
    behave = (
        postgres(greedy, [CLEAR_REQUEST])
        if scheme == "postgresql"
        else mysql(greedy, "mysql_clear_password", greets=False)
    )
    options: dict[str, Any] = {"tls": "off", "timeout": 1.0, "connect_timeout": 0.5, "cleartext_password": True}
    with rogue.rogue(behave) as endpoint:
        url = f"{scheme}://app:{deadlines.PASSWORD}@{endpoint}/shop"
        with pytest.raises(rdskit.RdskitError):
            rdskit.dbapi_connect(url, **options)
        by_dbapi = len(given_away(greedy.received))
        with pytest.raises(rdskit.RdskitError):
            rdskit.sync.connect(url, **options).__enter__()
    assert 0 < by_dbapi < len(given_away(greedy.received))


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    directory = tmp_path_factory.mktemp("authority")
    issued = LocalAuthority(directory).issue(directory, "greedy", ["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    return context


def connect_without_verification(scheme: str, endpoint: Endpoint) -> None:
    url = f"{scheme}://app:{deadlines.PASSWORD}@{endpoint}/shop"
    options: dict[str, Any] = {"tls": "require", "timeout": 1.0, "connect_timeout": 0.5}
    with pytest.raises(rdskit.RdskitError):
        rdskit.dbapi_connect(url, **options)
    with pytest.raises(rdskit.RdskitError):
        rdskit.sync.connect(url, **options).__enter__()


def test_postgresql_gets_no_clear_password_over_unverified_tls(certified: ssl.SSLContext) -> None:
    greedy = Greedy()

    def behave(peer: socket.socket, _end: threading.Event) -> None:
        peer.recv(8)
        peer.sendall(b"S")
        with certified.wrap_socket(peer, server_side=True) as secured:
            postgres(greedy, [CLEAR_REQUEST])(secured, _end)

    with rogue.rogue(behave) as endpoint:
        connect_without_verification("postgresql", endpoint)
    assert sum(b"user\0app" in data for data in greedy.received) >= 2
    assert given_away(greedy.received) == []


@pytest.mark.parametrize("plugin", ["mysql_clear_password", "sha256_password", "caching_sha2_password"])
def test_mysql_gets_no_clear_password_over_unverified_tls(certified: ssl.SSLContext, plugin: str) -> None:
    """The greeting asks for it: the drivers' first packet would hold the password for sha256_password."""
    greedy = Greedy()

    def behave(peer: socket.socket, _end: threading.Event) -> None:
        peer.sendall(rogue.mysql_greeting(plugin.encode(), 0x000F_F7FF | 0x800))
        peer.recv(36)
        with certified.wrap_socket(peer, server_side=True) as secured:
            greedy.take(secured)
            if plugin == "caching_sha2_password":
                secured.sendall(rogue.packet(3, b"\xfe" + plugin.encode() + b"\0" + b"x" * 20 + b"\0"))
                greedy.take(secured)
                secured.sendall(rogue.packet(5, FULL_LOGIN))
            else:
                secured.sendall(rogue.packet(3, b"\xfe" + plugin.encode() + b"\0" + b"x" * 20 + b"\0"))
            greedy.take(secured)

    with elsewhere(behave) as endpoint:
        connect_without_verification("mysql", endpoint)
    assert sum(b"app\0" in data for data in greedy.received) >= 2
    assert [data for data in greedy.received if PASSWORD in data] == []


@pytest.mark.parametrize("connect", [rdskit.sync.connect, rdskit.dbapi_connect])
def test_a_text_is_no_leave(connect: Callable[..., Any]) -> None:
    with pytest.raises(rdskit.ConfigError, match="cleartext_password='false' is not a bool"):
        connect("mysql://app:pw@127.0.0.1:1/shop", tls="off", cleartext_password="false").__enter__()
