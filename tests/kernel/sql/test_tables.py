"""Which tables a statement reads and writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.errors import ConfigError
from rdskit.kernel.sql import NO_TABLES, UNKNOWN_TABLES, Dialect, Kind, Tables, compile_statement

PG, MY = Dialect.POSTGRES, Dialect.MYSQL


def _tables(source: str, dialect: Dialect) -> tuple[set[str] | None, set[str] | None]:
    reads, writes = compile_statement(source, dialect).tables
    return (None if reads is None else set(reads)), (None if writes is None else set(writes))


READS = [
    ("select 1", ""),
    ("select a, b from users where c = :c for update", "users"),
    ("select * from users u, orders as o where u.id = o.user_id", "users orders"),
    ("select * from shop.users left join orders using (id) natural join items, lines", "shop.users orders items lines"),
    ("select * from (select id from users where x in (select y from bans)) u (a)", "users bans"),
    ("select (select count(*) from a), extract(year from b), trim(both from c) from d", "a d"),
    ("select * from (a join b on a.x = b.x) cross join c", "a b c"),
    ("select a from x where y is distinct from z and q is not distinct from r", "x"),
    ("(select 1 from a) union all (select 2 from b order by 1) limit 3", "a b"),
    ("select * from ((select 1 from a) union select 2 from b) t", "a b"),
    ("select x from a union select y from b, c intersect table d", "a b c d"),
    ("table users", "users"),
    ("values (1, (select max(id) from a))", "a"),
    ("with a as (select * from b), c as (select * from a) select * from c join d on true", "b d"),
    ("with users as (select * from users) select * from users", "users"),
    ("with recursive t(n) as (select 1 union all select n + 1 from t join s on true) select n from t", "s"),
    ("with a as (select 1), b as (with a as (select 2 from c) select * from a) select * from a, b", "c"),
    ("select * from a -- from b\n join /* c, */ d on a.from = d.join", "a d"),
    ("select 'from x', t.from from t order by a, b", "t"),
    ("select sum(x) over (partition by y order by z) from t window w as (order by a)", "t"),
    ("select * from a where b = any(:ids) and c in :cs", "a"),
    ("explain select * from a", "a"),
    ("select * from a where exists (select from b where b.x = a.x)", "a b"),
]


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(("source", "reads"), READS)
def test_a_query_reads_tables_and_writes_none(source: str, reads: str, dialect: Dialect) -> None:
    if dialect is MY and ("any(" in source or "select from" in source):
        source = source.replace("any(:ids)", "7").replace("select from", "select 1 from")
    assert _tables(source, dialect) == (set(reads.split()), set())


READS_ONE = [
    (PG, 'select * from Users, "Users", "a""b", "a.b"."C"', {"users", "Users", 'a"b', '"a.b".C'}),
    (PG, "select * from only a, lateral (select * from b where b.x = a.x) l, unnest(:ids) u(id)", {"a", "b"}),
    (PG, "select * from generate_series(1, 3) with ordinality as g(a, b) join c on true", {"c"}),
    (PG, "select * from rows from (unnest(:a), generate_series(1, 2)) as r(x, y), d", {"d"}),
    (PG, "with a as materialized (select 1 from b), c as not materialized (table d) select from a, c", {"b", "d"}),
    (PG, "select distinct on (a, b) c from d fetch first 3 rows with ties", {"d"}),
    (PG, "explain (analyze, buffers) (select 1 from a)", {"a"}),
    (PG, "select $$ from x $$, E'\\' from y', a[1] from b", {"b"}),
    (PG, "select pg_catalog.lower(a) from b", {"b"}),
    (
        MY,
        "select * from Users use index for join (a, b), `Or``ders` force index (i), `shop`.`t`",
        {"Users", "Or`ders", "shop.t"},
    ),
    (MY, "select straight_join a from b straight_join c on b.x = c.x", {"b", "c"}),
    (MY, "select 1 from dual", set()),
    (MY, "select @a := max(x) from t", {"t"}),
    (MY, "select a from t into @x", {"t"}),
    (MY, "select * from json_table(:doc, '$[*]' columns (id int path '$.id')) as j join t using (id)", {"t"}),
    (MY, "select * from t partition (p0, p1) as u where a regexp (select b from c)", {"t", "c"}),
    (MY, 'select "from x", a from t lock in share mode', {"t"}),
]


@pytest.mark.parametrize(("dialect", "source", "reads"), READS_ONE)
def test_a_query_of_one_dialect(dialect: Dialect, source: str, reads: set[str]) -> None:
    assert _tables(source, dialect) == (reads, set())


WRITES = [
    ("insert into t (a, b) values (:a, lower(:b))", "", "t"),
    ("insert into shop.t select * from a join b on true", "a b", "shop.t"),
    ("insert into t (select a from b)", "b", "t"),
    ("insert into t (a) (select a from b) union select c from d", "b d", "t"),
    ("insert into t with x as (select * from a) select * from x", "a", "t"),
    ("insert into t table s", "s", "t"),
    ("insert into t values ((select max(a) from s))", "s", "t"),
    ("update t set a = a + 1, b = (select max(x) from s) where id in (select id from r)", "s r", "t"),
    ("update t as x set a = 1 where x.id = :id", "", "t"),
    ("delete from t where id not in (select id from s)", "s", "t"),
    ("truncate table t", "", "t"),
    ("create table if not exists t (id int primary key, o int, n varchar(9) default 'x')", "", "t"),
    ("create table t as select * from a, b", "a b", "t"),
    ("create unique index i on shop.t (a, lower(b))", "", "shop.t"),
    ("alter table t add column a int", "", "t"),
    ("drop table if exists a, b.c", "", "a b.c"),
]


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(("source", "reads", "writes"), WRITES)
def test_a_change_writes_its_target(source: str, reads: str, writes: str, dialect: Dialect) -> None:
    assert _tables(source, dialect) == (set(reads.split()), set(writes.split()))


_MERGE = "merge into t as x using (select * from s) y on x.id = y.id when matched then update set a = y.a"
_GONE = "gone as (delete from a where b returning *)"
WRITES_ONE = [
    (PG, "insert into t as x (a) values (1) on conflict (a) do update set b = x.b where x.c returning *", "", "t"),
    (PG, "insert into t default values returning (select max(a) from s)", "s", "t"),
    (PG, "update only t set (a, b) = (select x, y from s) from r, q where t.id = r.id", "s r q", "t"),
    (PG, "delete from only t as x using a join b using (id), c where x.id = a.id returning x.*", "a b c", "t"),
    (PG, "update t set a = 1 from t as u where u.id = t.up", "t", "t"),
    (PG, f"{_MERGE} when not matched then insert (a) values (y.a) when not matched by source then delete", "s", "t"),
    (PG, "merge into t x using s on x.id = s.id when matched then do nothing", "s", "t"),
    (PG, f"with {_GONE}, kept as (update c set d = 1) insert into log select * from gone join e", "e", "a c log"),
    (PG, "with t as (select 1) insert into t select * from t", "", "t"),
    (PG, "select a into temp table n from b", "b", "n"),
    (PG, "insert into t values (nextval('s'), pg_notify('a', 'b'))", "", "t"),
    (PG, "truncate a, only b.c restart identity", "", "a b.c"),
    (PG, "create temp table t as values (1)", "", "t"),
    (PG, "create index concurrently if not exists i on only t using btree (a) include (b) where c > 1", "", "t"),
    (PG, "drop index on_t", None, None),
    (MY, "insert ignore t (a) values (1), (2) as new on duplicate key update b = new.b + values(b)", "", "t"),
    (MY, "insert into t partition (p0) set a = 1, b = (select 1 from s)", "s", "t"),
    (MY, "replace into t (a) select b from s", "s", "t"),
    (MY, "replace low_priority t values (1)", "", "t"),
    (MY, "update low_priority a join b on a.x = b.x set a.y = b.y = 1 where b.z", "b", "a"),
    (MY, "update users as u, orders o set u.a = 1, o.b = 2", "", "users orders"),
    (MY, "update users as u, orders o set a = 1", "", "users orders"),
    (MY, "update Users u join (select id from bans) x on u.id = x.id set u.a = 1", "bans", "Users"),
    (MY, "update users u join users v on u.up = v.id set u.a = v.a", "users", "users"),
    (MY, "delete u, o.* from users as u join orders as o join kept on true where u.x", "kept", "users orders"),
    (MY, "delete quick from u using users as u join kept on true", "kept", "users"),
    (MY, "delete U from users as u join kept on true", "", "users kept"),
    (MY, "delete from t where a = 1 order by b limit 3", "", "t"),
    (MY, "load data local infile 'x' replace into table t fields terminated by ',' (a, @b) set c = lower(@b)", "", "t"),
    (MY, "rename table a to b, c.d to c.e", "", "a b c.d c.e"),
    (MY, "truncate t", "", "t"),
    (MY, "create table t (id int) select * from s", "s", "t"),
    (MY, "drop index i on t", "", "t"),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "source", "reads", "writes"), WRITES_ONE)
def test_a_change_of_one_dialect(dialect: Dialect, source: str, reads: str | None, writes: str | None) -> None:
    expected = UNKNOWN_TABLES if writes is None or reads is None else (set(reads.split()), set(writes.split()))
    assert _tables(source, dialect) == expected


UNKNOWN = [
    (PG, "select transfer(1, 2)"),
    (PG, "select * from shop.report(:a) r"),
    (PG, 'insert into t values ("Lower"(1))'),
    (PG, "do $$ begin delete from t; end $$"),
    (PG, "call p(1)"),
    (PG, "execute q"),
    (PG, "copy t from stdin"),
    (PG, "truncate t cascade"),
    (PG, "drop table t cascade"),
    (PG, "create table p partition of t for values in (1)"),
    (PG, "create table t () inherits (s)"),
    (PG, "create table t (id int primary key, o int references o (id) on delete cascade)"),
    (PG, "create view v as select 1"),
    (PG, "create function f() returns int language sql as 'select 1'"),
    (PG, "alter table t rename to s"),
    (PG, "alter table t alter a type int using f(a)"),
    (PG, "refresh materialized view v"),
    (PG, "declare c cursor for select 1 from t"),
    (PG, "commit prepared 'x'"),
    (PG, 'select * from U&"d\\0061t"'),
    (PG, "explain analyze execute q"),
    (PG, "with recursive a(n) as (select 1) search depth first by n set o select * from a"),
    (PG, "select dblink_exec('insert into t values (1)')"),
    (PG, "select lo_unlink(1)"),
    (PG, "vacuum t"),
    (MY, "call p()"),
    (MY, "do sleep(1)"),
    (MY, "set @a = (select f())"),
    (MY, "insert into t /*! select * from s */ values (1)"),
    (MY, 'select * from "users"'),
    (MY, "select a into b from t"),
    (MY, "handler t read first"),
    (MY, "lock tables t write"),
    (MY, "start slave"),
    (MY, "execute q using @a"),
    (MY, "delete a b from c"),
    (MY, "xa commit 'x'"),
]


@pytest.mark.parametrize(("dialect", "source"), UNKNOWN)
def test_what_may_do_anything_is_unknown(dialect: Dialect, source: str) -> None:
    assert _tables(source, dialect) == UNKNOWN_TABLES


def test_what_only_concerns_transaction_or_session_has_no_tables() -> None:
    for source in ("begin", "commit", "savepoint a", "rollback to savepoint a", "start transaction read only"):
        assert compile_statement(source, PG).tables == compile_statement(source, MY).tables == NO_TABLES
    for source in ("set local role app", "listen a", "notify a, 'b'", "discard all"):
        assert compile_statement(source, PG).tables == NO_TABLES
    assert compile_statement("show tables", MY).tables == Tables(None, frozenset())
    assert compile_statement("describe t", MY).tables == Tables(None, frozenset())


def test_a_function_that_only_reads_leaves_the_writes_known() -> None:
    readable = frozenset({"shop.price"})
    statement = compile_statement("update t set a = shop.price(b)", PG, readable)
    assert statement.tables == Tables(None, frozenset({"t"}))
    assert compile_statement("update t set a = price(b)", PG, readable).tables == UNKNOWN_TABLES


# --- statements that are built, so that their tables are known beforehand -------------------------------------------

NAMES = st.sampled_from(["users", "orders", "a1", "s.items", "s.t"])
SPACE = st.sampled_from([" ", "\n", " /* from x, y */ ", " -- join z\n"])


@st.composite
def queries(draw: st.DrawFn, depth: int = 2) -> tuple[list[str], set[str]]:
    """Words of a query, and the tables that it reads."""
    kind = draw(st.sampled_from(["plain", "join", "nested", "with", "union", "in"] if depth else ["plain", "join"]))
    table = draw(NAMES)
    if kind == "plain":
        return ["select", "a", ",", "b", "from", table, "where", "c", "=", "'from z'"], {table}
    if kind == "join":
        other = draw(NAMES)
        return ["select", "*", "from", table, "x", "join", other, "as", "y", "on", "x.a", "=", "y.b"], {table, other}
    words, reads = draw(queries(depth=depth - 1))
    if kind == "nested":
        return ["select", "*", "from", "(", *words, ")", "as", "q", ",", table, "group", "by", "a"], reads | {table}
    if kind == "with":
        return ["with", "w", "as", "(", *words, ")", "select", "*", "from", "w", ",", table], reads | {table}
    if kind == "in":
        return ["select", "a", "from", table, "where", "a", "in", "(", *words, ")"], reads | {table}
    more, read_too = draw(queries(depth=depth - 1))
    return ["(", *words, ")", "union", "(", *more, ")"], reads | read_too


@given(st.data(), st.sampled_from(Dialect), NAMES)
def test_tables_are_those_that_were_put_in(data: st.DataObject, dialect: Dialect, target: str) -> None:
    words, reads = data.draw(queries())
    change, written = data.draw(
        st.sampled_from(
            [
                ([], set[str]()),
                (["insert", "into", target, "(", "a", ")"], {target}),
                (["update", target, "set", "a", "=", "(", *words, ")", "where", "b", "in"], {target}),
                (["delete", "from", target, "where", "a", "in"], {target}),
                (["create", "table", target, "as"], {target}),
            ]
        )
    )
    body = ["(", *words, ")"] if change and change[-1] == "in" else words
    source = "".join(word + data.draw(SPACE) for word in [*change, *body])
    if data.draw(st.booleans()):
        source = source.upper().replace("USERS", "users").replace("ORDERS", "orders")
        source = source.replace("S.ITEMS", "s.items").replace("S.T", "s.t").replace("A1", "a1")
    assert _tables(source, dialect) == (reads, written)


_WORDS = """
    select insert into update delete from using join with as ( ) , a b.c set where values table only merge on union = *
    . 'x' := @ recursive replace truncate create index drop explain lateral 1
"""
SOUP = st.lists(st.sampled_from(_WORDS.split()), max_size=14).map(" ".join)


@given(SOUP, st.sampled_from(Dialect))
def test_any_text_is_answered_and_a_read_never_writes(source: str, dialect: Dialect) -> None:
    try:
        statement = compile_statement(source, dialect)
    except ConfigError:
        return
    if statement.kind is Kind.READ and statement.tables.writes is not None:
        assert statement.tables.writes == frozenset()
