"""What a real PostgreSQL makes of it: the only authority on where its literals end and what its functions do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdskit.kernel.sql import Dialect, Kind, bind, compile_statement
from rdskit.kernel.sql.functions import HARMLESS_FUNCTIONS, SESSION_FUNCTIONS, WRITING_FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres

Connection = psycopg.Connection[tuple[Any, ...]]

TEXT = st.lists(
    st.sampled_from([":a", "'", "''", '"', "\\", "$$", "$q", "$1", "--", "/*", "*/", "\n", ";", "%s", "?", "é", "x"]),
    max_size=8,
).map("".join)


@pytest.fixture(scope="module")
def connection(postgres: ThrowawayPostgres) -> Iterator[Connection]:
    with psycopg.connect(postgres.dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as opened:
        yield opened


def _run(connection: Connection, source: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    text, arguments = bind(compile_statement(source, Dialect.POSTGRES), values)
    return connection.execute(text.encode(), arguments).fetchall()


def _unicode_escaped(text: str) -> str:
    return "".join(f"\\{ord(c):04x}" if c in "\\':" else c for c in text)


LITERALS = st.sampled_from(
    [
        lambda text: "'" + text.replace("'", "''") + "'",
        lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
        lambda text: "e'" + text.replace("\\", "\\\\").replace("'", "''") + "' -- :c\n'' ",
        lambda text: "U&'" + _unicode_escaped(text) + "'",
        lambda text: f"$tag${text}$tag$",
        lambda text: "/* :a /* ' */ */ '" + text.replace("'", "''") + "' -- ' :b\n",
    ]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns=st.lists(st.tuples(st.one_of(st.none(), LITERALS), TEXT), min_size=1, max_size=6))
def test_literals_and_parameters_come_back(connection: Connection, columns: list[tuple[Any, str]]) -> None:
    values = {f"p{n}": text for n, (literal, text) in enumerate(columns) if literal is None}
    terms = [f":p{n}::text" if literal is None else literal(text) for n, (literal, text) in enumerate(columns)]
    assert _run(connection, "select " + ", ".join(terms), values) == [tuple(text for _, text in columns)]


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ("select n from generate_series(1, 5) n where n in :ids order by n", {"ids": [2, 4, 9]}, [2, 4]),
        ("select n from generate_series(1, 3) n where n not in :ids order by n", {"ids": (2,)}, [1, 3]),
        ("select n from generate_series(1, 2) n where n not in :ids order by n", {"ids": []}, [1, 2]),
        ("select n from generate_series(1, 2) n where n in :ids::bigint[]", {"ids": []}, []),
        ("select n from generate_series(1, 3) n where not n in :ids and n + 1 in :ids", {"ids": [2]}, [1]),
        ("select n from generate_series(1, 3) n where n in (:a, :b) order by 1", {"a": 1, "b": 3}, [1, 3]),
        ("select (array[10, 20, 30])[:n]", {"n": 2}, [20]),
        ("select (array[10, 20, 30])[:low : :high]", {"low": 2, "high": 3}, [[20, 30]]),
        ("select a[1:n] from (values (array[1, 2, 3], 2)) t(a, n)", {}, [[1, 2]]),
        ("select position(:a::text in :b::text)", {"a": "b", "b": "abc"}, [2]),
        ("select ('{\"k\": 1}'::jsonb ? :k) and :k::text = 'k'", {"k": "k"}, [True]),
        ("select :a::int + :b::int - :a::int", {"a": 1, "b": 5}, [5]),
    ],
)
def test_rewritten_operators_mean_the_same(
    connection: Connection, source: str, values: dict[str, Any], expected: list[Any]
) -> None:
    assert [row[0] for row in _run(connection, source, values)] == expected


@pytest.mark.parametrize("source", ["select 'a' 'b :x'", "select E'a'\n'\\' :x'"])
def test_continued_literals_are_read_as_the_server_reads_them(connection: Connection, source: str) -> None:
    assert compile_statement(source, Dialect.POSTGRES).names == ()
    if "\n" in source:
        assert _run(connection, source, {}) == [("a' :x",)]
    else:
        with pytest.raises(psycopg.errors.SyntaxError):
            _run(connection, source, {})


def _built_in(connection: Connection, volatility: str) -> set[str]:
    """Names of the functions of a volatility that a query can call."""
    return {
        name
        for (name,) in connection.execute(
            b"""select proname from pg_proc
                where provolatile = $1 and pronamespace = 'pg_catalog'::regnamespace and prokind = 'f'
                  and prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
                  and 'internal'::regtype <> all (proargtypes::oid[])""",
            [volatility],
        )
    }


# Volatile because the answer differs from call to call, not because anything changes; the prefixes are views'
# functions and those of pg_upgrade, which the server refuses otherwise.
_ONLY_TELLING_PREFIXES = (
    *("binary_upgrade_", "pg_available_", "pg_control_", "pg_get_", "pg_is_", "pg_last_", "pg_ls_", "pg_read_"),
    *("pg_show_", "pg_sleep", "pg_stat_get_", "pg_wal_summary_"),
)
_ONLY_TELLING = frozenset(
    {"amvalidate", "array_sample", "array_shuffle", "clock_timestamp", "current_query", "currtid2", "gen_random_uuid"}
    | {"pg_blocking_pids", "pg_collation_actual_version", "pg_current_logfile", "pg_database_collation_actual_version"}
    | {"pg_database_size", "pg_hba_file_rules", "pg_ident_file_mappings", "pg_indexes_size", "pg_jit_available"}
    | {"pg_isolation_test_session_is_blocked", "pg_lock_status", "pg_notification_queue_usage", "pg_relation_size"}
    | {"pg_partition_ancestors", "pg_partition_tree", "pg_prepared_xact", "pg_replication_origin_progress"}
    | {"pg_replication_origin_session_is_setup", "pg_replication_origin_session_progress", "pg_stat_file"}
    | {"pg_safe_snapshot_blocking_pids", "pg_sequence_last_value", "pg_stat_have_stats", "pg_table_size"}
    | {"pg_tablespace_size", "pg_total_relation_size", "pg_xact_commit_timestamp", "pg_xact_commit_timestamp_origin"}
    | {"pg_xact_status", "plpgsql_call_handler", "plpgsql_validator", "random", "random_normal", "timeofday"}
    | {"txid_status", "uuidv4", "uuidv7"}
)


def test_every_volatile_function_is_known(connection: Connection) -> None:
    volatile = _built_in(connection, "v")
    unknown = volatile - WRITING_FUNCTIONS - _ONLY_TELLING
    assert len(volatile) > 100
    assert {name for name in unknown if not name.startswith(_ONLY_TELLING_PREFIXES)} == set()


def test_harmless_functions_are_not_volatile(connection: Connection) -> None:
    suspect = _built_in(connection, "v") & HARMLESS_FUNCTIONS[Dialect.POSTGRES] - _ONLY_TELLING
    assert {name for name in suspect if not name.startswith(_ONLY_TELLING_PREFIXES)} == set()


# Words of the grammar that stand before a parenthesis, and functions of the extensions that come with PostgreSQL.
_OF_THE_GRAMMAR = frozenset(
    {
        "by",
        "columns",
        "cross",
        "cube",
        "filter",
        "full",
        "groups",
        "inner",
        "is",
        "join",
        "materialized",
        "natural",
        "of",
    }
    | {
        "ordinality",
        "outer",
        "over",
        "range",
        "recursive",
        "rollup",
        "rows",
        "sets",
        "tablesample",
        "varying",
        "within",
    }
    | {"zone"}
)
_OF_EXTENSIONS = frozenset({"levenshtein", "similarity", "unaccent"})


def test_harmless_functions_are_not_names_that_users_give_to_their_own(connection: Connection) -> None:
    taken = "select proname from pg_proc where pronamespace = 'pg_catalog'::regnamespace"
    reserved = "select word from pg_get_keywords() where catcode in ('R', 'C')"
    known = {name for (name,) in connection.execute(f"{taken} union {reserved}".encode())}
    assert HARMLESS_FUNCTIONS[Dialect.POSTGRES] - known - _OF_THE_GRAMMAR - _OF_EXTENSIONS == set()


def test_every_advisory_lock_function_is_known(connection: Connection) -> None:
    locks = {name for name in _built_in(connection, "v") if "advisory" in name}
    assert locks <= WRITING_FUNCTIONS
    assert {name for name in locks if "xact" not in name} == {name for name in SESSION_FUNCTIONS if "advisory" in name}


REFUSED = [
    "select nextval('s')",
    "select * from t for update",
    "select * from t for key share",
    "with x as (insert into t values (2) returning a) select * from x",
    "with m as (with d as (select 1 as a) update t set a = d.a from d returning t.a) select * from m",
    "with values(a, b) as (select 1, 2) update t set a = values.b from values where t.a = values.a",
    "explain analyze (select nextval('s'))",
    "explain (analyze) (with x as (delete from t returning 1) select 1)",
    "select a into u from t",
    "explain analyze insert into t values (1)",
    "create table u (a int)",
    "select lo_create(0)",
    "truncate t",
]


def test_what_a_read_only_transaction_refuses_is_a_write(connection: Connection) -> None:
    connection.execute(b"create table if not exists t (a int)")
    connection.execute(b"create sequence if not exists s")
    connection.execute(b"set default_transaction_read_only = on")
    for source in REFUSED:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute(source.encode())
        assert compile_statement(source, Dialect.POSTGRES).kind is Kind.WRITE, source
    connection.execute(b"reset default_transaction_read_only")
