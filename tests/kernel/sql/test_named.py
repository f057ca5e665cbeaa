"""Parameters for drivers that take names."""

from __future__ import annotations

import pytest

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect, ParameterStyle, StatementCache, bind, compile_statement, named_arguments

NAMED = ParameterStyle.NAMED


@pytest.mark.parametrize("dialect", Dialect)
def test_names_pass_through(dialect: Dialect) -> None:
    source = "select ':x' from t where a = :a and b in (:b, :a) -- :c"
    statement = StatementCache(dialect, style=NAMED)[source]
    assert (statement.text, set(statement.parameters), statement.kind.name) == (source, {"a", "b"}, "READ")
    text, args = bind(statement, {"a": 1, "b": 2})
    assert (text, named_arguments(text, args, dialect)) == (source, {"a": 1, "b": 2})


def test_a_list_becomes_one_parameter_for_each_element() -> None:
    source = "select 1 from t where id in :ids and x not in :ids and ids_1 = :ids_1 and n in :none and y = :y::int"
    statement = compile_statement(source, Dialect.POSTGRES, style=NAMED)
    text, args = bind(statement, {"ids": [7, 8], "ids_1": 9, "none": [], "y": 3})
    assert text == (
        "select 1 from t where id in (:ids__1, :ids__2) and x not in (:ids__1, :ids__2) and ids_1 = :ids_1 "
        "and n in (select null where false) and y = :y::int"
    )
    assert named_arguments(text, args, Dialect.POSTGRES) == {"ids__1": 7, "ids__2": 8, "ids_1": 9, "y": 3}
    on_mysql = compile_statement("select 1 from t where n in :none", Dialect.MYSQL, style=NAMED)
    assert bind(on_mysql, {"none": []})[0].endswith("in (select 1 from dual where 1 = 0)")


def test_a_list_cannot_be_cast_or_used_as_a_value() -> None:
    with pytest.raises(ConfigError, match="leave the cast out"):
        compile_statement("select 1 where a in :ids::bigint[]", Dialect.POSTGRES, style=NAMED)
    with pytest.raises(ConfigError, match="both as a list"):
        compile_statement("select 1 where a in :ids and b = :ids", Dialect.POSTGRES, style=NAMED)
