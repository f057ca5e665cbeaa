"""What a statement does to data and session."""

from __future__ import annotations

import pytest

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect, Kind, StatementCache, compile_statement, function_name
from rdskit.kernel.sql.functions import HARMLESS_FUNCTIONS, WRITING_FUNCTIONS

READ, WRITE, TRANSACTION, SESSION = Kind.READ, Kind.WRITE, Kind.TRANSACTION, Kind.SESSION

READS = [
    "select 1",
    "SELECT id FROM t WHERE note = 'for update' -- for update",
    "(select 1) union all (select 2)",
    "values (1), (2)",
    "table t",
    "show search_path",
    "with t(n) as (select count(*) from x) select * from t",
    "with recursive t(n) as (values (1) union all select n + 1 from t) select sum(n) from t",
    "explain select 1",
    "explain (analyze, buffers) select 1",
    "explain (select 1)",
    "explain analyze (with x as (select 1) select * from x)",
    "with values(a) as (select 1) select a from values",
    "select * from (with m as (with d as (select 1) select * from d) select * from m) t",
    'select "into", "nextval" from t',
    "select nextval from t",
    "select substring(a for 3) from t",
    "select a from t /* insert into t */ where b in (select c from d)",
]


@pytest.mark.parametrize("source", READS)
@pytest.mark.parametrize("dialect", Dialect)
def test_a_read_is_repeatable_and_leaves_no_trace(source: str, dialect: Dialect) -> None:
    statement = compile_statement(source, dialect)
    assert (statement.kind, statement.returns_rows, statement.dirties_session) == (READ, True, False)
    assert statement.repeatable


def test_a_read_that_calls_an_unknown_function_is_not_repeatable() -> None:
    for source in ("select transfer(1, 2)", "select * from app.transfer (1)", 'select "Transfer"(1)'):
        statement = compile_statement(source, Dialect.POSTGRES)
        assert (statement.kind, statement.repeatable) == (READ, False)


UNKNOWN = [
    ("select price(1), count(*), Tax(2)", {"price", "tax"}),
    ("select shop.price(1)", {"shop.price"}),
    ('select "Shop" . "Price" (1)', {"Shop.Price"}),
    ('select "a.b"(1)', {'"a.b"'}),
    ("select app.lower(name) from t", {"app.lower"}),
    ("select pg_catalog.lower(name) from t", set()),
    ("with p(a, b) as (select price(1), 2) select * from p", {"price"}),
    ("select * from shop.prices(1) as p(a, b)", {"shop.prices"}),
    ("explain analyze select price(1)", {"price"}),
    ("select price(1) for update", set()),
    ("select price(1), nextval('s')", set()),
    ("insert into t select price(1)", set()),
]


@pytest.mark.parametrize(("source", "unknown"), UNKNOWN)
def test_functions_that_nobody_knows_are_named_where_only_they_decide(source: str, unknown: set[str]) -> None:
    assert compile_statement(source, Dialect.POSTGRES).unknown == unknown


def test_functions_that_are_known_to_only_read_make_a_statement_repeatable() -> None:
    source = "select shop.price(1), tax(2)"
    some = compile_statement(source, Dialect.POSTGRES, frozenset({"shop.price"}))
    assert (some.repeatable, some.unknown) == (False, frozenset({"tax"}))
    known = compile_statement(source, Dialect.POSTGRES, frozenset({"shop.price", "tax"}))
    assert (known.kind, known.repeatable, known.unknown) == (READ, True, frozenset())
    writes = compile_statement("select tax(2), nextval('s')", Dialect.POSTGRES, frozenset({"tax"}))
    assert (writes.kind, writes.repeatable) == (WRITE, False)


def test_a_function_is_named_as_statements_spell_it() -> None:
    assert [function_name(name) for name in ("Price", " shop.PRICE", 'shop."Price"', "`shop`.tax")] == [
        "price",
        "shop.price",
        "shop.Price",
        "shop.tax",
    ]
    for name in ("", "price()", "a..b", "a b", '"a.b"'):
        with pytest.raises(ConfigError, match="not a function's name"):
            function_name(name)


def test_what_is_learnt_of_functions_compiles_the_statements_again_that_call_them() -> None:
    cache = StatementCache(Dialect.POSTGRES, ["tax"])
    before = {source: cache[source] for source in ("select price(1)", "select tax(1)", "select transfer(1)")}
    cache.learn(["price"])
    assert [cache[source].repeatable for source in before] == [True, True, False]
    assert cache["select tax(1)"] is before["select tax(1)"]
    assert cache["select transfer(1)"] is before["select transfer(1)"]


# Source, kind, whether it returns rows, whether it dirties the session.
POSTGRES = [
    ("insert into t values (1)", WRITE, False, False),
    ("insert into t select 1 returning id", WRITE, True, False),
    ("update t set a = (select returning_x from u)", WRITE, False, False),
    ("delete from t where a = 'returning'", WRITE, False, False),
    ("merge into t using u on true when matched then delete returning t.id", WRITE, True, False),
    ("with x as (delete from t returning *) select * from x", WRITE, True, False),
    ("with x as not materialized (insert into t values (1)) select 1", WRITE, True, False),
    ("with x as (select 1) insert into t select * from x", WRITE, False, False),
    ("with m as (with d as (select 1) update t set a = 1 returning a) select * from m", WRITE, True, False),
    ("with m as (with d as (select 1), e as (table d) delete from t returning a) table m", WRITE, True, False),
    ("select * from (with m as (with d as (table u) insert into t table d returning 1) table m)", WRITE, True, False),
    ("with values(a, b) as (select 1, 2) update t set a = values.b from values", WRITE, False, False),
    ("with recursive values(a) as (select 1) delete from t using values returning 1", WRITE, True, False),
    ("with x as (select 1), values as (select 2) insert into t table x", WRITE, False, False),
    ("with x as (select 1) update t set a = 1 returning a", WRITE, True, False),
    ("select * from t for update skip locked", WRITE, True, False),
    ("select * from t FOR NO KEY UPDATE", WRITE, True, False),
    ("select * from t for /* */ share", WRITE, True, False),
    ("select * from t for key share", WRITE, True, False),
    ("with x as (select * from t for update) select * from x", WRITE, True, False),
    ("select a into u from t", WRITE, False, False),
    ("select a into temp u from t", WRITE, False, True),
    ("select nextval('s')", WRITE, True, False),
    ("select pg_catalog.nextval('s')", WRITE, True, False),
    ("select \"nextval\" ('s')", WRITE, True, False),
    ("select NextVal/* */('s')", WRITE, True, False),
    ("select pg_notify('a', 'b')", WRITE, True, False),
    ("select lo_create(0)", WRITE, True, False),
    ("select txid_current()", WRITE, True, False),
    ("select pg_create_logical_replication_slot('a', 'b')", WRITE, True, False),
    ("select pg_advisory_xact_lock(1)", WRITE, True, False),
    ("select pg_advisory_lock(1)", WRITE, True, True),
    ("insert into t select pg_try_advisory_lock(1)::int", WRITE, False, True),
    ("select set_config('a.b', 'c', true)", WRITE, True, False),
    ("select set_config('a.b', (select f(true)), false)", WRITE, True, True),
    ("select set_config('a.b', 'c', :local)", WRITE, True, True),
    ("select set_config('a', :v, true) as set_config", WRITE, True, False),
    ("select set_config('a', :v, false) as set_config", WRITE, True, True),
    ("select set_config('a', 'c', true), set_config('b', 'c', false)", WRITE, True, True),
    ("explain insert into t values (1)", WRITE, True, False),
    ("explain analyze select nextval('s')", WRITE, True, False),
    ("explain analyze (select nextval('s'))", WRITE, True, False),
    ("explain (analyze) ((select nextval('s')))", WRITE, True, False),
    ("explain analyze (with x as (delete from t returning 1) select 1)", WRITE, True, False),
    ("explain (analyze, format json) with x as (delete from t returning 1) select 1", WRITE, True, False),
    ("begin", TRANSACTION, False, False),
    ("start transaction isolation level serializable", TRANSACTION, False, False),
    ("commit and chain", TRANSACTION, False, False),
    ("END", TRANSACTION, False, False),
    ("rollback to savepoint a", TRANSACTION, False, False),
    ("abort", TRANSACTION, False, False),
    ("savepoint a", TRANSACTION, False, False),
    ("release a", TRANSACTION, False, False),
    ("prepare transaction 'x'", TRANSACTION, False, False),
    ("rollback prepared 'x'", TRANSACTION, False, False),
    ("set local work_mem = '1MB'", TRANSACTION, False, False),
    ("set transaction read only", TRANSACTION, False, False),
    ("set constraints all deferred", TRANSACTION, False, False),
    ("set work_mem = '1MB'", SESSION, False, True),
    ("set session characteristics as transaction read only", SESSION, False, True),
    ("reset all", SESSION, False, True),
    ("discard all", SESSION, False, True),
    ("listen a", SESSION, False, True),
    ("unlisten *", SESSION, False, True),
    ("prepare p as select 1", SESSION, False, True),
    ("deallocate p", SESSION, False, True),
    ("declare c cursor with hold for select 1", SESSION, False, True),
    ("load 'auto_explain'", SESSION, False, True),
    ("create temp table t (a int)", SESSION, False, True),
    ("create or replace temporary view v as select 1", SESSION, False, True),
    ("create global temporary table t (a int)", SESSION, False, True),
    ("create table temp_x as select 1", WRITE, False, True),
    ("notify a", WRITE, False, False),
    ("lock table t", WRITE, False, False),
    ("copy t to stdout", WRITE, False, False),
    ("alter table t add b int", WRITE, False, True),
    ("truncate t", WRITE, False, False),
    ("analyze t", WRITE, False, False),
    ("do $$ begin perform 1; end $$", WRITE, False, True),
    ("call p(1)", WRITE, True, True),
    ("frobnicate", WRITE, True, True),
]  # fmt: skip


@pytest.mark.parametrize(("source", "kind", "returns_rows", "dirties_session"), POSTGRES)
def test_postgres(source: str, kind: Kind, *, returns_rows: bool, dirties_session: bool) -> None:
    statement = compile_statement(source, Dialect.POSTGRES)
    assert (statement.kind, statement.returns_rows, statement.dirties_session) == (kind, returns_rows, dirties_session)
    assert not statement.repeatable


MYSQL = [
    ("select 1 /*! for update */", WRITE, True, False),
    ("select 1 /*M!100100 lock in share mode */", WRITE, True, False),
    ("/*!40101 set names utf8mb4 */", SESSION, False, True),
    ("select * from t lock in share mode", WRITE, True, False),
    ("select last_insert_id()", WRITE, True, False),
    ("select last_insert_id(4711)", WRITE, True, True),
    ("update counters set n = Last_Insert_Id(n + 1)", WRITE, False, True),
    ("select get_lock('a', 1)", WRITE, True, True),
    ("select `release_lock`('a')", WRITE, True, True),
    ("select @a := 1", READ, True, True),
    ("select a into @b from t", WRITE, False, True),
    ("replace into t values (1)", WRITE, False, False),
    ("insert into t values (1) returning id", WRITE, True, False),
    ("set local sql_mode = ''", SESSION, False, True),
    ("set transaction isolation level read committed", SESSION, False, True),
    ("use shop", SESSION, False, True),
    ("lock tables t write", SESSION, False, True),
    ("unlock tables", SESSION, False, True),
    ("create temporary table t (a int)", SESSION, False, True),
    ("load data infile 'x' into table t", WRITE, False, False),
    ("analyze table t", WRITE, True, False),
    ("xa start 'a'", TRANSACTION, False, False),
    ("start transaction read only", TRANSACTION, False, False),
    ("start replica", WRITE, True, True),
    ("describe t", READ, True, False),
    ("explain format=tree select 1", READ, True, False),
    ("handler t open", WRITE, True, True),
]  # fmt: skip


@pytest.mark.parametrize(("source", "kind", "returns_rows", "dirties_session"), MYSQL)
def test_mysql(source: str, kind: Kind, *, returns_rows: bool, dirties_session: bool) -> None:
    statement = compile_statement(source, Dialect.MYSQL)
    assert (statement.kind, statement.returns_rows, statement.dirties_session) == (kind, returns_rows, dirties_session)
    assert statement.repeatable == (kind is READ and not dirties_session)


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("set role tenant", True),
        ("SET LOCAL ROLE tenant", True),
        ("set session authorization tenant", True),
        ("set local session authorization tenant", True),
        ("reset role", True),
        ("reset all", True),
        ("discard all", True),
        ("select set_config('role', :role, true)", True),
        ("with x as (select set_config(:name, 'x', true)) select * from x", True),
        ("set local search_path = tenant", False),
        ("set statement_timeout = 0", False),
        ("select role from member", False),
        ("update member set role = 'x'", False),
        ("select 'set role x'", False),
    ],
)
def test_a_statement_may_make_the_transaction_another_role(source: str, *, changes: bool) -> None:
    assert compile_statement(source, Dialect.POSTGRES).changes_role is changes


@pytest.mark.parametrize("dialect", Dialect)
def test_code_that_is_not_in_the_text_may_commit_a_part_of_its_work(dialect: Dialect) -> None:
    for source in ("call p(1)", "do p(1)", "execute p", "frobnicate"):
        assert not compile_statement(source, dialect).atomic, source
    for source in ("insert into t values (1)", "select 1", "truncate t", "explain select 1", "set a = 1"):
        assert compile_statement(source, dialect).atomic, source


@pytest.mark.parametrize("dialect", Dialect)
def test_no_function_is_both_harmless_and_writing(dialect: Dialect) -> None:
    assert not HARMLESS_FUNCTIONS[dialect] & WRITING_FUNCTIONS


def test_what_is_built_in_elsewhere_is_a_function_of_the_users_own_here() -> None:
    for name in ("match", "truncate", "quote", "insert", "compress", "field", "if", "sleep", "uuid", "year"):
        source = f"select concat({name}(1, 2))"
        there, here = compile_statement(source, Dialect.MYSQL), compile_statement(source, Dialect.POSTGRES)
        assert (there.unknown, here.repeatable) == (frozenset(), False), name
        assert here.kind is WRITE or here.unknown == {name}
    for name in ("string_agg", "array_length", "random", "age", "to_json"):
        source = f"select {name}(1, 2)"
        there, here = compile_statement(source, Dialect.POSTGRES), compile_statement(source, Dialect.MYSQL)
        assert (there.repeatable, here.unknown) == (True, frozenset({name})), name


@pytest.mark.parametrize(
    ("source", "kind", "repeatable"),
    [
        ("select next value for s", WRITE, False),
        ("select previous value for s", WRITE, False),
        ("select last_insert_id()", WRITE, False),
        ("select found_rows(), row_count()", WRITE, False),
        ("select wait_for_executed_gtid_set('x')", WRITE, False),
        ("select @mine", READ, False),
        ("select `a`, @`mine` from t", READ, False),
        ("select @@version, @@global.gtid_executed", READ, True),
        ("select '@mine'", READ, True),
        ("select next, value from t", READ, True),
        ("show tables", READ, True),
        ("show full columns from t", READ, True),
        ("show create table t", READ, True),
        ("show full processlist", READ, False),
        ("show replica status", READ, False),
        ("show count(*) warnings", READ, False),
        ("show session status like 'x'", READ, False),
    ],
)
def test_what_mysql_knows_of_one_session_or_host_is_not_asked_of_any_reader(
    source: str,
    kind: Kind,
    repeatable: bool,  # noqa: FBT001 - a table's column
) -> None:
    statement = compile_statement(source, Dialect.MYSQL)
    assert (statement.kind, statement.repeatable) == (kind, repeatable)
