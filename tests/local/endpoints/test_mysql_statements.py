"""Rewriting of statements that create IAM users, in the bytes of a client; nothing else changes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rdskit.local.endpoints.mysql_auth import stored
from rdskit.local.endpoints.mysql_statements import StatementInspector, UserStatements

SECRET = "the password of those who have none"
MARIADB = UserStatements(stored(SECRET, mariadb=True), mariadb=True)
MYSQL = UserStatements(stored(SECRET, mariadb=False), mariadb=False)
NATIVE = f"with mysql_native_password as '{stored(SECRET, mariadb=True).hash}'"
SHA2 = f"with caching_sha2_password as '{stored(SECRET, mariadb=False).hash}'"
CLAUSE = "IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'"


def rewritten(statements: UserStatements, sql: str) -> str:
    return statements.rewrite(sql.encode()).decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("CREATE USER jane ", ""),
        ("CREATE USER IF NOT EXISTS 'jane'@'%' ", " REQUIRE SSL"),
        ("create user `jane` ", ";"),
        ("ALTER USER jane ", " account unlock"),
        ("  /* for the app */ -- and so on\n# more\nCREATE/**/USER jane ", ""),
        ("/*!80000 CREATE */ USER jane ", ""),
        ("CREATE USER bob IDENTIFIED BY 'AWSAuthenticationPlugin', jane ", ", zoe"),
        ("CREATE USER 'it''s \\' IDENTIFIED'@'%' ", " COMMENT 'a \\'quoted\\' text'"),
        ("set @a = 'it''s'; CREATE USER jane ", "; select ';'"),
        ("CREATE USER \N{LATIN SMALL LETTER U WITH DIAERESIS}na ", ""),
    ],
)
def test_the_plugin_becomes_a_password(before: str, after: str) -> None:
    for clause in (
        CLAUSE,
        CLAUSE.lower().replace("rds", "RDS"),
        'identified with "awsAUTHENTICATIONplugin"\nas/**/"RDS"',
    ):
        words = clause.split()[0]
        assert rewritten(MYSQL, before + clause + after) == f"{before}{words} {SHA2}{after}"
        assert rewritten(MARIADB, before + clause + after) == f"{before}{words} {NATIVE}{after}"


def test_several_users_in_one_statement() -> None:
    sql = f"create user a {CLAUSE}, b identified by 'x', c {CLAUSE} require ssl"
    expected = f"create user a IDENTIFIED {SHA2}, b identified by 'x', c IDENTIFIED {SHA2} require ssl"
    assert rewritten(MYSQL, sql) == expected


def test_or_replace_via_and_using_are_words_of_mariadb() -> None:
    sql = "create or replace user jane identified via AWSAuthenticationPlugin using 'RDS'"
    assert rewritten(MARIADB, sql) == f"create or replace user jane identified {NATIVE}"
    assert rewritten(MYSQL, sql) == sql


@pytest.mark.parametrize(
    "sql",
    [
        f'select "CREATE USER jane {CLAUSE}"',
        f"insert into notes values ('it''s: create user jane {CLAUSE.replace(chr(39), chr(34))}')",
        f'create table t (c text) comment "create user jane {CLAUSE}"',
        f'create user jane identified by "\\" {CLAUSE}"',
        f"create user jane comment `{CLAUSE}`",
        f"create user jane /* {CLAUSE} */",
        f"create user jane -- {CLAUSE}",
        f"create user jane # {CLAUSE}\n identified by 'x'",
        f"create user jane /* never closed {CLAUSE}",
        f'create user jane identified by "never closed {CLAUSE}',
        f'prepare s from "create user jane {CLAUSE}"',
        f"create view v as select 1; grant usage on *.* to jane {CLAUSE}",
        "create user jane identified with AWSAuthenticationPlugin as 'rds'",
        "create user jane identified with AWSAuthenticationPlugin",
        "create user AWSAuthenticationPlugin identified with sha256_password as 'RDS'",
        "create user jane identified with AWSAuthenticationPlugins as 'RDS'",
        "",
        "awsauthenticationplugin",
    ],
)
def test_what_only_looks_like_it_is_left_alone(sql: str) -> None:
    assert rewritten(MYSQL, sql) == sql
    assert rewritten(MARIADB, sql) == sql


PIECES = ["create ", "user ", "jane", "identified ", "with ", "AWSAuthenticationPlugin ", "as ", "'RDS'", '"', "'", "`",
          "/*", "*/", "/*!", "-- ", "\n", "#", ";", ",", "\\", " ", "via ", "using ", "alter "]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_rewriting_twice_changes_no_more(sql: str) -> None:
    once = rewritten(MARIADB, sql)
    assert rewritten(MARIADB, once) == once


@given(st.binary(max_size=400))
def test_any_bytes_are_left_as_they_are(sql: bytes) -> None:
    assert MYSQL.rewrite(sql) == sql


def packet(payload: bytes, number: int = 0) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def query(sql: bytes, *, command: int = 3, attributes: bytes = b"") -> bytes:
    return packet(bytes([command]) + attributes + sql)


def feed(inspector: StatementInspector, data: bytes, cuts: list[int]) -> bytes:
    """Return the inspector's output for data that arrives in pieces."""
    at, out = 0, b""
    for size in [*cuts, len(data)]:
        out += bytes(inspector(memoryview(bytearray(data[at : at + size]))))
        at += size
    return out


MAKING = f"create user jane {CLAUSE}".encode()
MADE = MYSQL.rewrite(MAKING)
COMMANDS = st.one_of(
    st.sampled_from(
        [
            (query(MAKING), query(MADE)),
            (query(MAKING, command=0x16), query(MADE, command=0x16)),
            (query(b" " * 900 + MAKING), query(b" " * 900 + MADE)),
            (query(b"/* x */\n" + MAKING + b" " * 90000), query(b"/* x */\n" + MADE + b" " * 90000)),
            (packet(b"\x03" + MAKING, number=1), packet(b"\x03" + MAKING, number=1)),
            (query(MAKING, command=0x17), query(MAKING, command=0x17)),
            (packet(b""), packet(b"")),
            (query(b"insert into t values " + b"(1)," * 2000), query(b"insert into t values " + b"(1)," * 2000)),
        ]
    ),
    st.binary(max_size=60).map(lambda payload: (packet(payload), packet(payload))),
)


@example(commands=[(packet(b""), packet(b""))], cuts=[1])  # the end of LOAD DATA LOCAL: nothing follows it
@given(st.lists(COMMANDS, max_size=8), st.lists(st.integers(0, 4000), max_size=20))
def test_output_does_not_depend_on_how_packets_are_split(commands: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    inspector = StatementInspector(MYSQL.rewrite, attributes=False)
    sent = b"".join(before for before, _ in commands)
    assert feed(inspector, sent, cuts) == b"".join(after for _, after in commands)


@given(st.lists(st.integers(1, 7), max_size=40))
def test_queries_with_and_without_attributes(cuts: list[int]) -> None:
    inspector = StatementInspector(MYSQL.rewrite, attributes=True)
    none, one = b"\x00\x01", b"\x01\x01\x00\x01\xfe\x00\x01k\x01v"
    sent = query(MAKING, attributes=none) + query(MAKING, attributes=one) + query(MAKING, command=0x16)
    expected = query(MADE, attributes=none) + query(MAKING, attributes=one) + query(MADE, command=0x16)
    assert feed(inspector, sent, cuts) == expected


def test_a_statement_in_several_packets_is_left_alone() -> None:
    inspector = StatementInspector(MYSQL.rewrite, attributes=False)
    whole = b"\x03" + MAKING.ljust(0xFFFFFF - 1)
    sent = packet(whole) + packet(MAKING, number=1) + query(MAKING)
    assert feed(inspector, sent, [100_000] * 200) == packet(whole) + packet(MAKING, number=1) + query(MADE)
