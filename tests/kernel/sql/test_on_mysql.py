"""What real MySQL and MariaDB servers make of it: where their literals and comments end, and what they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdskit.errors import ConfigError
from rdskit.kernel.sql import Dialect, Kind, bind, compile_statement
from rdskit.kernel.sql.functions import HARMLESS_FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

Connection = pymysql.Connection

TEXT = st.lists(
    st.sampled_from(
        [":a", "'", "''", '"', "`", "\\", "--", "-- ", "#", "/*", "*/", "\n", ";", "%s", "?", "é", "😀", "x"]
    ),
    max_size=8,
).map("".join)


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    server = request.getfixturevalue(request.param)
    opened = pymysql.connect(
        host=server.host, port=server.port, user=server.superuser, password=server.password, autocommit=True
    )
    with opened, opened.cursor() as cursor:
        cursor.execute("create database if not exists lexical")
        cursor.execute("use lexical")
        yield opened


def _run(connection: Connection, source: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Prepare and execute by the server, so that the server alone decides what a parameter is."""
    text, arguments = bind(compile_statement(source, Dialect.MYSQL), values)
    with connection.cursor() as cursor:
        cursor.execute("set @source = %s", (text,))
        cursor.execute("prepare statement from @source")
        for number, argument in enumerate(arguments):
            cursor.execute(f"set @p{number} = %s", (argument,))
        cursor.execute("execute statement using " + ", ".join(f"@p{n}" for n in range(len(arguments))))
        return [tuple(row) for row in cursor.fetchall()]


LITERALS = st.sampled_from(
    [
        lambda text: "'" + text.replace("\\", "\\\\").replace("'", "''") + "'",
        lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
        lambda text: '"' + text.replace("\\", "\\\\").replace('"', '""') + '"',
        lambda text: "_utf8mb4'" + text.replace("\\", "\\\\").replace("'", "\\'") + "' # ' :c ?\n",
        lambda text: "/* :a ' ? */ '" + text.replace("\\", "\\\\").replace("'", "''") + "' -- ' :b ?\n",
        lambda text: "/*! '" + text.replace("\\", "\\\\").replace("'", "''") + "' */",
        lambda text: "'' '" + text.replace("\\", "\\\\").replace("'", "''") + "'",
    ]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns=st.lists(st.tuples(st.one_of(st.none(), LITERALS), TEXT), min_size=1, max_size=6))
def test_literals_and_parameters_come_back(connection: Connection, columns: list[tuple[Any, str]]) -> None:
    values = {f"p{n}": text for n, (literal, text) in enumerate(columns) if literal is None} | {"last": "x"}
    terms = [f":p{n}" if literal is None else literal(text) for n, (literal, text) in enumerate(columns)]
    rows = _run(connection, "select " + ", ".join([*terms, ":last"]), values)
    assert rows == [(*(text for _, text in columns), "x")]


SOUP = st.text(alphabet="'\"`:ab1_\\-/*#! \n,=();?", max_size=30)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(soup=SOUP)
def test_what_the_server_prepares_has_our_number_of_parameters(connection: Connection, soup: str) -> None:
    """Any text that both accept: as many parameters are bound as the server counts."""
    source = f"select 1, {soup} , :last"
    try:
        statement = compile_statement(source, Dialect.MYSQL)
    except ConfigError:
        return
    with connection.cursor() as cursor:
        cursor.execute("set @source = %s, @p = 1", (statement.text,))
        try:
            cursor.execute("prepare statement from @source")
        except (pymysql.err.ProgrammingError, pymysql.err.OperationalError):
            return
        markers = ", ".join(["@p"] * len(statement.names))
        cursor.execute("execute statement" + (f" using {markers}" if markers else ""))
        cursor.fetchall()


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ("select n from (select 2 n union select 3) t where n in :ids and :y = 1", {"ids": [2, 9], "y": 1}, [2]),
        ("select n from (select 2 n union select 3) t where n not in :ids", {"ids": (2,)}, [3]),
        (
            "select n from (select 2 n union select 3) t where n not in :ids and :y = 1 order by 1",
            {"ids": [], "y": 1},
            [2, 3],
        ),
        ("select n from (select 2 n union select 3) t where n in :ids and :y = 1", {"ids": [], "y": 1}, []),
        ("select n from (select 2 n union select 3) t where n in (:a, :b) order by 1", {"a": 3, "b": 2}, [2, 3]),
        ("select :a + :b - :a", {"a": 1, "b": 5}, [5]),
        ("select @x := :a", {"a": 7}, [7]),
        ("select position(:a in :b)", {"a": "b", "b": "abc"}, [2]),
        ("select 5--:a", {"a": 2}, [7]),
        ("select `a:b` from (select :a as `a:b`) t", {"a": 3}, [3]),
    ],
)
def test_rewritten_operators_mean_the_same(
    connection: Connection, source: str, values: dict[str, Any], expected: list[Any]
) -> None:
    assert [row[0] for row in _run(connection, source, values)] == expected


REFUSED = [
    "insert into t values (1)",
    "update t set a = 2",
    "delete from t",
    "replace into t values (1)",
    "select * from t for update",
    "truncate t",
    "create table u (a int)",
    "drop table t",
    "alter table t add b int",
    "load data infile '/nowhere' into table t",
    "delete from t where a in (with x as (select 1 a) select a from x)",
]


def test_what_a_read_only_transaction_refuses_is_a_write(connection: Connection) -> None:
    refused = {1792, 1290, 1223}  # read-only transaction; --secure-file-priv; read lock
    with connection.cursor() as cursor:
        cursor.execute("create table if not exists t (a int)")
        cursor.execute("set session transaction read only")
        for source in REFUSED:
            assert compile_statement(source, Dialect.MYSQL).kind is Kind.WRITE, source
            if "for update" in source:
                continue  # takes a lock, which a read-only transaction of this family may
            with pytest.raises(pymysql.err.MySQLError) as error:
                cursor.execute(source)
                pytest.fail(source)
            assert error.value.args[0] in refused, (source, error.value)
        cursor.execute("set session transaction read write")


# What one of the two servers has and the other takes for a function of the user's own.
_OF_ONE_SERVER = frozenset(
    {
        "any_value",
        "bin_to_uuid",
        "chr",
        "decode",
        "encode",
        "filter",
        "grouping",
        "groups",
        "gtid_subset",
        "gtid_subtract",
    }
    | {"is_uuid", "isempty", "json_exists", "json_query", "lateral", "materialized", "md5", "percentile_cont"}
    | {
        "percentile_disc",
        "regexp_like",
        "sets",
        "sha",
        "sha1",
        "tablesample",
        "to_char",
        "uuid_to_bin",
        "within",
        "zone",
    }
)


def test_harmless_functions_are_not_names_that_users_give_to_their_own(connection: Connection) -> None:
    names = HARMLESS_FUNCTIONS[Dialect.MYSQL] - _OF_ONE_SERVER
    assert {name for name in names if _is_free(connection, name)} == set()


def _is_free(connection: Connection, name: str) -> bool:
    """Return whether the server looks for a stored function of that name."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(f"select {name}()")
        except pymysql.Error as error:
            return bool(error.args[0] == 1305)  # FUNCTION … does not exist
    return False
