from __future__ import annotations

import contextlib
import traceback
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.errors import ConfigError
from rdskit.kernel.backoff import Backoff, OutageBackoff
from rdskit.kernel.breaker import Breaker
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.targets import Engine, parse_target


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_stays_under_its_ceiling(attempt: int, uniform: float) -> None:
    backoff = Backoff(base=0.01, cap=1.0)
    assert 0 <= backoff.delay(attempt, uniform) <= min(1.0, 0.01 * 2 ** min(attempt - 1, 60))


@given(st.floats(0, 1e6), st.floats(0, 1, exclude_max=True))
def test_waiting_for_a_host_costs_a_share_of_its_outage(away: float, uniform: float) -> None:
    delay = OutageBackoff(share=0.1, floor=0.01, cap=1.0).delay(away, uniform)
    assert 0 <= delay <= min(1.0, max(0.01, 0.1 * away))


def test_a_breaker_opens_after_the_patience_of_its_callers_and_closes_at_once() -> None:
    breaker = Breaker()
    assert not breaker.is_open(100.0, 30.0)
    breaker = breaker.failed(100.0).failed(120.0)
    assert not breaker.is_open(129.9, 30.0)
    assert breaker.is_open(130.0, 30.0)
    assert not Breaker().is_open(1000.0, 30.0)


def test_targets() -> None:
    url = parse_target("postgresql://app:p%40ss@db.example:6000/shop")
    assert (url.engine, url.endpoint, url.user, url.password, url.database) == (
        Engine.POSTGRES,
        Endpoint("db.example", 6000),
        "app",
        "p@ss",
        "shop",
    )
    assert parse_target("postgresql://h/x").endpoint == Endpoint("h", 5432)
    assert parse_target("mysql://app@h/shop").engine is Engine.MYSQL
    assert parse_target("mysql://app@h/shop").endpoint == Endpoint("h", 3306)
    assert str(parse_target("mariadb://app:hunter2@h:3307/shop")) == "mariadb://app@h:3307/shop"
    assert parse_target("rds://app@orders/shop").identifier == "orders"
    assert parse_target("secretsmanager:prod/orders/db").secret == "prod/orders/db"


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ("postgresql://u@one,two:5433,[::1]:5434/x", [("one", 5432), ("two", 5433), ("::1", 5434)]),
        ("mysql://u@one,two/x", [("one", 3306), ("two", 3306)]),
        ("postgresql://u@%2Fvar%2Frun%2Fpostgresql/x", [("/var/run/postgresql", 5432)]),
        ("postgresql://u@%2Ftmp:5433,db/x", [("/tmp", 5433), ("db", 5432)]),  # noqa: S108 - a name only
        ("postgresql://u@/x?host=/var/run/postgresql&port=5433", [("/var/run/postgresql", 5433)]),
        ("postgresql:///x?host=one,two", [("one", 5432), ("two", 5432)]),
        ("postgresql:///x?host=one,two&port=1,2", [("one", 1), ("two", 2)]),
        ("mysql://u@/x?unix_socket=/run/mysqld.sock", [("/run/mysqld.sock", 0)]),
        ("mariadb://u@%2Frun%2Fmysqld.sock/x", [("/run/mysqld.sock", 0)]),
    ],
)
def test_unix_sockets_and_several_hosts(text: str, endpoints: list[tuple[str, int]]) -> None:
    target = parse_target(text)
    assert list(target.endpoints) == endpoints
    assert parse_target(str(target)) == target, "what a message shows is a target again"


@pytest.mark.parametrize("target", [None, 7, b"postgresql://h/x", ["postgresql://h/x"]])
def test_a_target_that_is_no_text(target: Any) -> None:
    with pytest.raises(ConfigError, match=r"target=.* is of type .*: give a str"):
        parse_target(target)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("orders", "is not one that rdskit knows"),
        ("oracle://h/x", "target scheme 'oracle'"),
        ("postgresql+asyncpg://h/x", "target scheme 'postgresql+asyncpg' names a driver: write postgresql://…"),
        ("mysql+pymysql://h/x", "target scheme 'mysql+pymysql' names a driver: write mysql://…"),
        (
            "postgresql://h/x?target_session_attrs=read-write",
            "leave it out, rdskit finds the writer by itself",
        ),
        ("postgresql://h,h:70000/x", "has no valid port"),
        ("postgresql://h,,i/x", "names no host"),
        ("postgresql://u:secret@h/x?host=/tmp", "target option 'host'"),
        ("mysql://u:secret@h/x?unix_socket=/tmp/s", "target option 'unix_socket'"),
        ("mysql:///x", "mysql://user@/dbname?unix_socket="),
        ("postgresql:///x", "names no host"),
        ("postgresql://u:secret/word@h:nope/x", "percent-encoded"),
        ("postgresql://u:secret@h/x?sslmode=disable", "tls='verify-full', 'require' or 'off'"),
        ("rds://u:secret@orders:5432/x", "takes no port"),
        ("secretsmanager:", "names no secret"),
    ],
)
def test_wrong_targets_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_target(text)
    assert message in str(caught.value)
    assert "u:secret" not in str(caught.value)


PASSWORDS = (
    "Zq7Xw9",
    "Zq7#Xw9",
    "Zq7?Xw9",
    "Zq7?Xw9&Kv4=Jb2",
    "Zq7/Xw9",
    "Zq7/Xw9?Kv4#Jb2",
    "734#Xw9",
    "734/Xw9",
    "734?Xw9",
)
ODDITIES = ("Zq7[Xw9", "Zq7]Xw9", "Zq7:Xw9", "Zq7://Xw9", "Zq7\u2100Xw9", "Zq7@Xw9#Kv4", "Zq7@Xw9/Kv4", "Zq7@Xw9?Kv4")


@pytest.mark.parametrize("password", PASSWORDS + ODDITIES)
@pytest.mark.parametrize(
    "form",
    [
        "postgresql://app:{}@h:nope/x",
        "postgresql://app:{}@h/x?sslmode=disable",
        "mysql://app:{}@h/x#part",
        "mysql://app:{}@[h/x",
        "mysql://app:{}@/x",
        "rds://app:{}@orders:5432/x",
        "oracle://app:{}@h/x",
        "app:{}@h/x",
    ],
)
def test_no_part_of_a_password_is_in_the_error_of_a_wrong_target(form: str, password: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_target(form.format(password))
    assert [part for part in _parts(password) if part in str(caught.value)] == []
    assert "Error: " not in "".join(traceback.format_exception(caught.value)[:-1]), "the parser's own words are shown"


@pytest.mark.parametrize("form", ["postgresql://app:{}", "app:{}"])
def test_no_part_of_a_password_is_in_the_error_where_the_host_was_forgotten(form: str) -> None:
    for password in ("Zq7Xw9", "Zq7:Xw9", "Zq7#Xw9", "Zq7/Xw9"):
        with pytest.raises(ConfigError) as caught:
            parse_target(form.format(password))
        assert [part for part in _parts(password) if part in str(caught.value)] == []


@pytest.mark.parametrize("password", [password for password in PASSWORDS if not password.isalnum()])
def test_a_password_that_is_not_encoded_is_not_taken_for_host_and_port(password: str) -> None:
    for form in ("postgresql://app:{}@h/x", "rds://app:{}@orders"):
        with pytest.raises(ConfigError, match="must be percent-encoded") as caught:
            parse_target(form.format(password))
        assert [part for part in _parts(password) if part in str(caught.value)] == []
    assert parse_target(f"postgresql://app:{quote(password, safe='')}@h/x").password == password


def _parts(password: str) -> set[str]:
    parts = {password[start : start + 3] for start in range(len(password) - 2)}
    return parts - {"://"}  # which is in every message


@given(st.text(max_size=30))
def test_any_text_is_a_target_or_a_clear_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert parse_target(f"postgresql://{text}").endpoint is not None


def test_a_password_is_in_no_repr() -> None:
    target = parse_target("postgresql://app:hunter2@h/x")
    assert "hunter2" not in repr(target)
    assert "hunter2" not in str(target)
