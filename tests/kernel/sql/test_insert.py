"""The text of inserts, and how rows are cut into messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect
from rdskit.kernel.sql.insert import (
    Insertion,
    cut,
    keys_there_query,
    merge_staging,
    mysql_values,
    postgres_values,
    primary_key_query,
    quote_name,
    staging_table,
)
from rdskit.kernel.sql.returning import with_returning

PLAIN = Insertion("t", ("a", "b"))
IGNORE = Insertion("t", ("a", "b"), "ignore")
UPDATE = Insertion("s.t", ("a", "b"), "update", ("a",))


def test_names_are_quoted_whatever_they_hold() -> None:
    assert quote_name('sales.or"der', Dialect.POSTGRES) == '"sales"."or""der"'
    assert quote_name("or`der", Dialect.MYSQL) == "`or``der`"
    for wrong in ("sales.", ".sales", "", "a..b"):
        with pytest.raises(ConfigError, match=rf"{wrong!r} is not the name of a table"):
            quote_name(wrong, Dialect.POSTGRES)


def test_a_name_in_quotes_may_hold_dots() -> None:
    assert quote_name('"my.orders"', Dialect.POSTGRES) == '"my.orders"'
    assert quote_name('sales."my.""orders"""', Dialect.POSTGRES) == '"sales"."my.""orders"""'
    assert quote_name("`a.b`.`c.d`", Dialect.MYSQL) == "`a.b`.`c.d`"
    assert quote_name("`half", Dialect.MYSQL) == "```half`"
    assert quote_name("`half`open", Dialect.MYSQL) == "```half``open`"
    assert primary_key_query(Dialect.MYSQL, "shop.`a.b`")[1] == ["shop", "a.b"]
    assert primary_key_query(Dialect.MYSQL, "`a.b`")[1] == [None, "a.b"]


def test_what_postgresql_is_told() -> None:
    assert postgres_values(PLAIN).strip() == 'insert into "t" ("a", "b") values ($1, $2)'
    assert postgres_values(IGNORE).endswith("on conflict do nothing")
    assert postgres_values(UPDATE).endswith('on conflict ("a") do update set "b" = excluded."b"')
    assert 'as select "a", "b" from "s"."t" with no data' in staging_table(UPDATE)
    assert "where" not in merge_staging(UPDATE, last_only=False)
    assert 'later."a" = given."a" and later.ctid > given.ctid' in merge_staging(UPDATE, last_only=True)
    one, two = (keys_there_query("s.t", key) for key in ({"a": "bigint"}, {"a": "bigint", "b": "text"}))
    assert (
        one == 'select array_agg(kept."a") from "s"."t" as kept where kept."a" = any((select $1::bigint[])::bigint[])'
    )
    assert two.endswith('join "s"."t" as kept on kept."a" = given.k1 and kept."b" = given.k2')


def test_what_mysql_is_told() -> None:
    assert mysql_values(PLAIN, 2) == "insert into `t` (`a`, `b`) values (?, ?), (?, ?)"
    assert mysql_values(IGNORE, 2).endswith("on duplicate key update `t`.`a` = `t`.`a`")
    assert "duplicate" not in mysql_values(IGNORE, 1)
    assert mysql_values(UPDATE, 1).endswith("on duplicate key update `s`.`t`.`b` = values(`b`)")


def test_an_update_of_nothing_but_the_key_keeps_the_row() -> None:
    only_key = Insertion("t", ("a",), "update", ("a",))
    assert postgres_values(only_key).endswith('on conflict ("a") do nothing')
    assert mysql_values(only_key, 2).endswith("on duplicate key update `t`.`a` = `t`.`a`")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("t", ("a",), "replace"), "on_conflict='replace' is not known"),
        (("t", ("a",), None, ("a",)), "needs on_conflict="),
        (("t", ("a",), "update", ("b",)), "have no column 'b', which is part of the key"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Insertion(*arguments)


@given(
    rows=st.lists(st.tuples(st.text(max_size=40), st.integers()), max_size=60),
    most=st.integers(1, 20),
    size=st.integers(1, 1000),
)
def test_pieces_hold_all_rows_in_order_and_no_more_than_they_may(
    rows: list[tuple[str, int]], most: int, size: int
) -> None:
    pieces = list(cut(rows, most, size))
    assert [row for piece in pieces for row in piece] == rows
    for piece in pieces:
        assert 1 <= len(piece) <= most
        assert len(piece) == 1 or sum(len(text.encode()) for text, _ in piece) <= size


@pytest.mark.parametrize("large", ["x" * 100_000, b"x" * 100_000, ["x" * 100_000], {"x": "y" * 100_000}])
def test_a_large_row_is_a_piece_of_its_own(large: Any) -> None:
    assert [len(piece) for piece in cut([(1,), (large,), (2,), (3,)], 100, 65_536)] == [1, 1, 2]


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("insert into t values ($1) -- the end\n;", "insert into t values ($1) returning 1"),
        ("with x as (select 1) update t set a = $1", "with x as (select 1) update t set a = $1 returning 1"),
        ("delete from t where a = 'returning'", "delete from t where a = 'returning' returning 1"),
        ("call p($1)", None),
        ("merge into t using s on true when matched then delete", None),
        ("with x as (delete from t returning a) insert into s select a from x", None),
        ("", None),
    ],
)
def test_statements_whose_rows_can_be_counted(text: str, counted: str | None) -> None:
    assert with_returning(text) == counted
