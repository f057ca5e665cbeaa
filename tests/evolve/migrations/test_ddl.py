"""DDL is read well enough to know its table, its lock, what it drops and what MySQL may be asked for."""

from __future__ import annotations

import pytest

from rdskit.evolve.migrations.ddl import drops_data, read_ddl
from rdskit.evolve.migrations.locks import (
    ACCESS_EXCLUSIVE,
    SHARE,
    SHARE_ROW_EXCLUSIVE,
    SHARE_UPDATE_EXCLUSIVE,
    postgres_lock,
)
from rdskit.evolve.migrations.statements import rungs
from rdskit.kernel.sql import Dialect


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("create table if not exists shop.users (id int)", ("create", "table", ("shop.users",), "shop.users")),
        ("create unique index concurrently i on only users (email)", ("create", "index", ("i",), "users")),
        ("create index on users using gin (tags)", ("create", "index", (), "users")),
        ("drop table if exists a, b cascade", ("drop", "table", ("a", "b"), "a")),
        ('alter table only "Odd ""name""" add c int', ("alter", "table", ('Odd "name"',), 'Odd "name"')),
        ("truncate users", ("truncate", "table", ("users",), "users")),
        ("create or replace view v as select 1", ("create", "view", ("v",), None)),
        ("create materialized view v as select 1", ("create", "materialized view", ("v",), None)),
        (
            "create trigger t before insert on users for each row execute function f()",
            ("create", "trigger", ("t",), "users"),
        ),
        ("/* c */ alter type mood add value 'ok'", ("alter", "type", ("mood",), None)),
    ],
)
def test_the_head_of_a_statement(text: str, head: tuple[object, ...]) -> None:
    ddl = read_ddl(text, Dialect.POSTGRES)
    assert ddl is not None
    assert (ddl.verb, ddl.kind, ddl.names, ddl.table) == head


@pytest.mark.parametrize(
    "text", ["select 1", "insert into t values (1)", "call p()", "", "with a as (select 1) select 2"]
)
def test_what_changes_no_schema_is_none(text: str) -> None:
    assert read_ddl(text, Dialect.POSTGRES) is None


def test_actions_end_at_commas_outside_parentheses() -> None:
    ddl = read_ddl(
        "alter table t add a numeric(10, 2) default 0, drop column b, add check (a in (1, 2))", Dialect.POSTGRES
    )
    assert ddl is not None
    assert [action.words[:2] for action in ddl.actions] == [("add", "a"), ("drop", "column"), ("add", "check")]


@pytest.mark.parametrize(
    ("text", "lock"),
    [
        ("alter table t add c int", ACCESS_EXCLUSIVE),
        ("alter table t validate constraint k", SHARE_UPDATE_EXCLUSIVE),
        ("alter table t validate constraint k, add c int", ACCESS_EXCLUSIVE),
        ("alter table t add constraint k foreign key (a) references u (id)", SHARE_ROW_EXCLUSIVE),
        ("alter table t alter c set statistics 500", SHARE_UPDATE_EXCLUSIVE),
        ("create index i on t (c)", SHARE),
        ("create index concurrently i on t (c)", SHARE_UPDATE_EXCLUSIVE),
        ("drop index i", ""),
        ("create table t (id int)", ""),
        ("drop table t", ACCESS_EXCLUSIVE),
        ("create trigger g after insert on t execute function f()", SHARE_ROW_EXCLUSIVE),
        ("update t set c = 1", ""),
    ],
)
def test_the_lock_of_a_statement(text: str, lock: str) -> None:
    assert postgres_lock(read_ddl(text, Dialect.POSTGRES)) == lock


@pytest.mark.parametrize(
    ("text", "loses"),
    [
        ("drop table t", True),
        ("alter table t drop column c", True),
        ("alter table t drop c", True),
        ("alter table t drop constraint k", False),
        ("alter table t drop primary key", False),
        ("alter table t add c int", False),
        ("drop index i", False),
        ("drop view v", False),
        ("truncate t", True),
        ("drop schema s cascade", True),
    ],
)
def test_what_loses_data_is_known(text: str, *, loses: bool) -> None:
    assert drops_data(read_ddl(text, Dialect.POSTGRES)) is loses


@pytest.mark.parametrize(
    ("text", "tried"),
    [
        ("alter table t add c int", [", algorithm=instant", ", algorithm=inplace, lock=none"]),
        ("create index i on t (c)", [" algorithm=inplace lock=none"]),
        ("drop index i on t", [""]),
        ("alter table t add c int, algorithm=copy", [""]),
        ("alter table t add partition (partition p values less than (9))", [""]),
        ("create table t (id int)", [""]),
        ("update t set c = 1", [""]),
    ],
)
def test_the_ladder_of_mysql(text: str, tried: list[str]) -> None:
    assert list(rungs(read_ddl(text, Dialect.MYSQL))) == tried
