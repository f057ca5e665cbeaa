"""The first packets of a MySQL session, and password hashes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.local.endpoints import mysql, mysql_auth
from rdskit.local.endpoints.mysql import Capability, Greeting, Login, ProtocolError

#: As MySQL 9.7 and MariaDB 10.11 send them.
MYSQL = (
    b"\n9.7.4\0\x0b\0\0\0\x07\x1d@\x0fTn\rh\0\xff\xff\xff\x02\0\xff\xdf\x15" + bytes(10) + b"E_\x1b/*\x0c?:E5y\x0b\0"
    b"caching_sha2_password\0"
)
MARIADB = (
    b"\n5.5.5-10.11.19-MariaDB\0\x06\0\0\0#Z}(Iw?q\0\xfe\xff-\x02\0\xff\x81\x15" + bytes(6) + b"\x1d\0\0\0"
    b">~#/`xZ:Sqas\0mysql_native_password\0"
)
ALWAYS = Capability.PROTOCOL_41 | Capability.SECURE_CONNECTION

TEXT = st.binary(max_size=40).map(lambda text: text.replace(b"\0", b"-"))


def test_greetings_are_read() -> None:
    mysql_greeting, mariadb_greeting = Greeting.parse(MYSQL), Greeting.parse(MARIADB)
    assert (mysql_greeting.is_mariadb, mariadb_greeting.is_mariadb) == (False, True)
    assert mysql_greeting.scramble == b"\x07\x1d@\x0fTn\rhE_\x1b/*\x0c?:E5y\x0b"
    assert mariadb_greeting.scramble == b"#Z}(Iw?q>~#/`xZ:Sqas"
    assert Capability.COMPRESS in mysql_greeting.capabilities


@pytest.mark.parametrize("payload", [MYSQL, MARIADB])
def test_only_the_capabilities_change(payload: bytes) -> None:
    greeting = Greeting.parse(payload)
    assert greeting.without(Capability(0)) == payload
    less = Greeting.parse(greeting.without(mysql.UNSUPPORTED))
    assert int(less.capabilities) == int(greeting.capabilities) & ~int(mysql.UNSUPPORTED)
    assert less.without(Capability(0)) == greeting.without(mysql.UNSUPPORTED)
    assert sum(a != b for a, b in zip(payload, greeting.without(mysql.UNSUPPORTED), strict=True)) <= 4


@given(
    flags=st.sets(st.sampled_from([Capability.CONNECT_WITH_DB, Capability.PLUGIN_AUTH, Capability.PLUGIN_AUTH_LENENC])),
    head=st.binary(min_size=28, max_size=28),
    user=TEXT,
    response=st.binary(max_size=250),
    rest=st.binary(max_size=30),
)
def test_a_login_is_written_as_it_was_read(
    flags: set[Capability], head: bytes, user: bytes, response: bytes, rest: bytes
) -> None:
    capabilities = ALWAYS
    for flag in flags:
        capabilities |= flag
    login = Login(capabilities, user, response, b"shop", b"mysql_native_password", head, rest)
    again = Login.parse(login.encode())
    assert again.encode() == login.encode()
    assert (again.user, again.response) == (user, response)
    if Capability.PLUGIN_AUTH in flags:
        assert again.plugin == b"mysql_native_password"
        assert again.authenticated_by("other", b"x").encode() != login.encode()


@given(st.binary(max_size=120), st.booleans())
def test_invalid_logins_are_refused(payload: bytes, versed: bool) -> None:  # noqa: FBT001 - hypothesis
    start = int(ALWAYS | Capability.PLUGIN_AUTH_LENENC).to_bytes(4, "little") + bytes(28) if versed else b""
    with contextlib.suppress(ProtocolError):
        Login.parse(start + payload)


@given(st.binary(max_size=120))
def test_invalid_greetings_are_refused(payload: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        Greeting.parse(payload).without(mysql.UNSUPPORTED)


@pytest.mark.parametrize("payload", [b"", b"\x00" * 32, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_another_protocol_is_no_login(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        mysql.requested(payload)


@pytest.mark.parametrize(
    ("password", "salt", "expected"),
    [  # of the C library's crypt(3), "$5$salt$…"
        (b"secret", b"saltstring123456", "jVB0/vpQnX7cavjwwBcW1wKQGo2AUckrlpQ9D4awec5"),
        (b"x" * 70, b"abcdefgh12345678", "HOso0DoQPfPVsCdhrQG89gShxS9COuMSWYH9IyzNbg0"),
        (b"a", b"1234567890123456", "AYcYFoSZfBabKbVce.RTbp5i9loOFfOklFVJbnTZrA/"),
        (b"0123456789abcdef" * 2, b"1234567890123456", "XhvWOJyS4FaqEnp48rGx60afdAkXBtOw7UDc0.DzfN."),
    ],
)
def test_sha_crypt_as_the_c_library_has_it(password: bytes, salt: bytes, expected: str) -> None:
    assert mysql_auth._sha256_crypt(password, salt) == expected


def test_the_hash_is_the_same_each_time_and_shows_no_password() -> None:
    for mariadb in (True, False):
        mysql_auth.stored.cache_clear()
        first = mysql_auth.stored("secret", mariadb=mariadb)
        mysql_auth.stored.cache_clear()
        assert mysql_auth.stored("secret", mariadb=mariadb) == first
        assert first.hash not in repr(first)
        assert mysql_auth.stored("secrets", mariadb=mariadb) != first
    assert mysql_auth.stored("password", mariadb=True).hash == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"
