"""Every login that a server may asks for, with and without TLS, in every way: no unverified server gets the password.

The servers here ask by one login, and then go on to ask for everything. What they receive is all that counts.
"""

from __future__ import annotations

import contextlib
import struct
import threading
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.drivers import rogue
from tests.drivers.test_connect_deadlines import MYSQL, POSTGRES, Mode, Way, django, django_all
from tests.drivers.test_password_exposure import (
    ELSEWHERE,
    FULL_LOGIN,
    PUBLIC_KEY,
    Greedy,
    certified,
    given_away,
)

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from rdskit.kernel.endpoints import Endpoint

__all__ = ["certified"]  # a fixture
TLS: tuple[Mode, ...] = ("off", "require")
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"


def request(code: int, rest: bytes = b"") -> bytes:
    """Return PostgreSQL's request for a login."""
    return b"R" + struct.pack(">ii", 8 + len(rest), code) + rest


CLEAR = request(3)
MD5 = request(5, b"salt")
SCRAM = request(10, b"SCRAM-SHA-256\0\0")
POSTGRES_REFUSAL = b"E\0\0\0\x17SFATAL\0C28P01\0Mno\0\0"
MYSQL_REFUSAL = b"\xff\x15\x04#28000no"
NOTICE = b"N\0\0\0\x12SNOTICE\0Mno\0\0\0"
POSTGRES_LOGINS: dict[str, list[bytes]] = {
    "clear": [CLEAR],
    "clear after a notice": [NOTICE + CLEAR],
    "clear after md5": [MD5, CLEAR],
    "clear after scram": [SCRAM, CLEAR],
    "scram without an end": [SCRAM, request(11, b"r=none,s=c2FsdA==,i=4096"), CLEAR],
    "md5": [MD5],
    "kerberos": [request(7), CLEAR],
    "sspi": [request(9), CLEAR],
    "unknown": [request(99), CLEAR],
}
MYSQL_LOGINS = (
    *("mysql_native_password", "caching_sha2_password", "sha256_password", "mysql_clear_password", "dialog"),
    *("mysql_old_password", "client_ed25519", "parsec", "auth_gssapi_client", "authentication_ldap_sasl_client"),
    *("authentication_kerberos_client", "authentication_windows_client", "authentication_oci_client", "none_such"),
)


class Case(NamedTuple):
    """A login, and what its server has received."""

    name: str
    tls: Mode
    endpoint: Endpoint
    greedy: Greedy


def postgres(
    greedy: Greedy, pieces: Sequence[bytes], context: ssl.SSLContext
) -> Callable[[socket.socket, threading.Event], None]:
    def behave(peer: socket.socket, _end: threading.Event) -> None:
        with contextlib.ExitStack() as stack:
            if greedy.take(peer) == SSL_REQUEST:
                peer.sendall(b"S")
                peer = stack.enter_context(context.wrap_socket(peer, server_side=True))
                greedy.take(peer)
            for piece in pieces:
                peer.sendall(piece)
                greedy.take(peer)
            peer.sendall(POSTGRES_REFUSAL)  # else the client would try again

    return behave


def mysql(
    greedy: Greedy, plugin: str, tls: str, context: ssl.SSLContext, *, greets: bool
) -> Callable[[socket.socket, threading.Event], None]:
    first = plugin if greets else "mysql_native_password"
    flags = 0x000F_F7FF | 0x800 if tls == "require" else 0x000F_F7FF & ~0x800

    def behave(peer: socket.socket, _end: threading.Event) -> None:
        with contextlib.ExitStack() as stack:
            peer.sendall(rogue.mysql_greeting(first.encode(), flags))
            if tls == "require":
                greedy.received.append(peer.recv(36))
                peer = stack.enter_context(context.wrap_socket(peer, server_side=True))
            answer = greedy.take(peer)
            asks = [] if greets else [b"\xfe" + plugin.encode() + b"\0" + b"x" * 20 + b"\0"]
            # Then for the password, by a key, and at last by the plainest login.
            for ask in (*asks, FULL_LOGIN, b"\x01" + PUBLIC_KEY, b"\xfemysql_clear_password\0"):
                peer.sendall(rogue.packet(answer[3] + 1, ask))
                if not (answer := greedy.take(peer)):
                    return
            peer.sendall(rogue.packet(answer[3] + 1, MYSQL_REFUSAL))

    return behave


def tried(ways: Mapping[str, tuple[Way, str]], cases: Sequence[Case]) -> list[str]:
    """Connect in every way to every server; return those that were let in, or have not ended."""
    open_ = {f"{way}: {case.name}, {case.tls}" for way in ways for case in cases}

    def run(name: str, way: Way, scheme: str) -> None:
        if way is django:
            places = [(case.endpoint, case.tls) for case in cases]
            refused = zip(cases, django_all(scheme, places), strict=True)
            open_.difference_update(f"{name}: {case.name}, {case.tls}" for case, ended in refused if ended)
            return
        for case in cases:
            try:
                way(scheme, case.endpoint, case.tls)
            except Exception:  # noqa: BLE001 - whatever it is, it has ended
                open_.discard(f"{name}: {case.name}, {case.tls}")

    threads = [threading.Thread(target=run, args=(name, *way), daemon=True) for name, way in ways.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sorted(open_)


@pytest.mark.timeout(90)
def test_no_login_of_postgresql_gives_the_password_away(certified: ssl.SSLContext) -> None:
    with contextlib.ExitStack() as stack:
        cases = []
        for tls in TLS:
            for name, pieces in POSTGRES_LOGINS.items():
                greedy = Greedy()
                endpoint = stack.enter_context(rogue.rogue(postgres(greedy, pieces, certified)))
                cases.append(Case(name, tls, endpoint, greedy))
        assert tried(POSTGRES, cases) == []
    check(cases, len(POSTGRES))
    hashes = [data for case in cases if "md5" in case.name for data in case.greedy.received if b"md5" in data]
    assert len(hashes) >= 2 * len(TLS), "what asks for a hash gets one"


@pytest.mark.timeout(90)
@pytest.mark.parametrize("greets", [False, True], ids=["asks", "greets"])
def test_no_login_of_mysql_gives_the_password_away(certified: ssl.SSLContext, *, greets: bool) -> None:
    with contextlib.ExitStack() as stack:
        cases = []
        for tls in TLS:
            for plugin in MYSQL_LOGINS:
                greedy = Greedy()
                endpoint = stack.enter_context(rogue.rogue(mysql(greedy, plugin, tls, certified, greets=greets)))
                cases.append(Case(plugin, tls, endpoint._replace(host=ELSEWHERE), greedy))
        assert tried(MYSQL, cases) == []
    check(cases, len(MYSQL))


def check(cases: Sequence[Case], ways: int) -> None:
    """Each server was asked in each way, and none has got the password."""
    users = {(case.name, case.tls): sum(b"app\0" in data for data in case.greedy.received) for case in cases}
    assert {case: count for case, count in users.items() if count < ways} == {}
    told = {(case.name, case.tls): given_away(case.greedy.received) for case in cases}
    assert {case: packets for case, packets in told.items() if packets} == {}
