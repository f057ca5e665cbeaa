"""Decisions of the SQL prompt on plain text: when Enter runs it, what may come next, how values are written."""

from __future__ import annotations

import datetime as dt
import json
import stat
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect, compile_statement
from rdskit.operate.shell import formats, policy
from rdskit.operate.shell.candidates import Candidates
from rdskit.operate.shell.history import history_file
from rdskit.operate.shell.model import Answer, Column, Settings

if TYPE_CHECKING:
    from pathlib import Path

NAMES = Candidates(
    [
        Column("public", "people", "id"),
        Column("public", "people", "name"),
        Column("sales", "orders", "id"),
        Column("sales", "orders", "person"),
    ]
)


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("", True),
        ("\\d people", True),
        ("quit", True),
        ("select 1", False),
        ("select 1;", True),
        ("select 1; -- done", True),
        ("select ';", False),
        ("select '--;';", True),
        ("select 1; select 2", False),
        ("/* open ;", False),
    ],
)
@pytest.mark.parametrize("dialect", Dialect)
def test_enter_runs_what_is_complete(text: str, complete: bool, dialect: Dialect) -> None:  # noqa: FBT001 - a case
    assert policy.is_complete(text, dialect) is complete


def test_a_body_in_dollar_quotes_is_one_statement() -> None:
    body = "create function f() returns int language plpgsql as $$ begin return 1; end $$"
    assert not policy.is_complete(body, Dialect.POSTGRES)
    assert policy.is_complete(f"{body};", Dialect.POSTGRES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select * from pe", ["people"]),
        ("select * from sales.", ["sales.orders"]),
        ("select na| from people", ["name", "natural"]),
        ("select p.| from people p", ["id", "name"]),
        ("select o.p| from people p join sales.orders as o", ["person"]),
        ("update orders set per", ["person"]),
        ("\\d ord", ["orders"]),
        ("SEL", ["SELECT"]),
    ],
)
def test_candidates(text: str, expected: list[str]) -> None:
    before, _, after = text.partition("|")
    assert [name for name in NAMES.for_text(before, after)[1] if name != "natural"] == [
        name for name in expected if name != "natural"
    ]


@pytest.mark.parametrize(
    ("sql", "leaves"),
    [
        ("select 1", False),
        ("create table t as select 1", False),
        ("create temporary table t (id int)", True),
        ("set search_path = x", True),
        ("insert into t values (1)", False),
    ],
)
def test_what_a_later_statement_may_depend_on(sql: str, leaves: bool) -> None:  # noqa: FBT001 - a case
    assert policy.leaves_state(compile_statement(sql, Dialect.POSTGRES)) is leaves


def test_verbs_and_secrets() -> None:
    assert policy.verb_of("create or replace temp view v as select 1", Dialect.POSTGRES) == "CREATE VIEW"
    assert policy.verb_of("/* x */ insert into t values (1)", Dialect.POSTGRES) == "INSERT"
    assert policy.isolation_of("BEGIN  ISOLATION LEVEL  repeatable read") == "repeatable read"
    assert not policy.may_be_kept("alter user app identified by 'hunter2'")
    assert not policy.may_be_kept("CREATE ROLE app PASSWORD 'hunter2'")
    assert policy.may_be_kept("select 1")


def test_values_are_written_without_loss_and_without_control_characters() -> None:
    row = (1, Decimal("1.50"), None, True, b"\x00\xff", {"a": [1]}, dt.date(2026, 1, 2), float("nan"), "a\x1b[31m\nb")
    answer = Answer("SELECT", 0.1, tuple("abcdefghi"), [row], 1, returns_rows=True)
    assert formats.as_csv([row]) == '1,1.50,,true,\\x00ff,"{""a"": [1]}",2026-01-02,nan,"a\x1b[31m\nb"\n'
    assert json.loads(json.dumps(formats.as_object(answer), allow_nan=False))["rows"][0] == [
        *(1, "1.50", None, True, "\\x00ff", {"a": [1]}, "2026-01-02", "nan", "a\x1b[31m\nb")
    ]
    wide = "\n".join(formats.as_lines(answer, Settings(), None))
    assert "a\\x1b[31m\\nb" in wide
    narrow = list(formats.as_lines(answer, Settings(), 20))
    assert narrow[0] == "-[ row 1 ]-"
    assert narrow[3] == "c | NULL"


def test_the_history_file_is_private_and_may_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RDSKIT_HISTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = history_file()
    assert path == tmp_path / "rdskit/history"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    monkeypatch.setenv("RDSKIT_HISTORY", "")
    assert history_file() is None
    monkeypatch.setenv("RDSKIT_HISTORY", str(tmp_path))
    with pytest.raises(ConfigError, match="RDSKIT_HISTORY"):
        history_file()
