"""Rewriting of statements that name parts of Aurora MySQL; nothing else changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.local.endpoints.aurora_statements import MARKS, rewrite

WRAPPER = (
    "SELECT SERVER_ID, CASE WHEN SESSION_ID = 'MASTER_SESSION_ID' THEN TRUE ELSE FALSE END, "
    "CPU, REPLICA_LAG_IN_MILLISECONDS, LAST_UPDATE_TIMESTAMP FROM {} "
    "WHERE time_to_sec(timediff(now(), LAST_UPDATE_TIMESTAMP)) <= 300 OR SESSION_ID = 'MASTER_SESSION_ID' "
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (WRAPPER.format("information_schema.replica_host_status"), WRAPPER.format("rds_cluster.replica_host_status")),
        (
            "select * from `INFORMATION_SCHEMA` . `Replica_Host_Status` r",
            "select * from rds_cluster.replica_host_status r",
        ),
        ("SELECT @@aurora_server_id", "SELECT @@global.report_host as `@@aurora_server_id`"),
        (
            "SELECT @@aurora_server_id, @@aurora_server_id",
            "SELECT @@global.report_host as `@@aurora_server_id`, @@global.report_host as `@@aurora_server_id`",
        ),
        ("select @@GLOBAL.aurora_server_id as id", "select @@global.report_host as id"),
        ("select @@innodb_read_only;", "select @@global.super_read_only as `@@innodb_read_only`;"),
        ("select @@innodb_read_only limit 1", "select @@global.super_read_only as `@@innodb_read_only` limit 1"),
        ("select concat(1, @@aurora_server_id, 2)", "select concat(1, @@global.report_host, 2)"),
        (
            "select 1 from t where a in (1, @@innodb_read_only)",
            "select 1 from t where a in (1, @@global.super_read_only)",
        ),
        ("select 1 from t order by 1, @@aurora_server_id", "select 1 from t order by 1, @@global.report_host"),
        ("set @a = @@aurora_server_id, @b = 1", "set @a = @@global.report_host, @b = 1"),
        ("select AURORA_VERSION()", "select @@global.version as `AURORA_VERSION()`"),
        ("select 1; select @@aurora_version", "select 1; select @@global.version as `@@aurora_version`"),
        (
            "SHOW VARIABLES LIKE 'aurora_version'",
            "select 'aurora_version' as Variable_name, @@global.version as Value",
        ),
        (
            "show global variables like 'innodb_read_only';",
            "select 'innodb_read_only' as Variable_name, if(@@global.super_read_only, 'ON', 'OFF') as Value;",
        ),
        (
            "SELECT SERVER_ID FROM information_schema.replica_host_status WHERE SERVER_ID = @@aurora_server_id",
            "SELECT SERVER_ID FROM rds_cluster.replica_host_status WHERE SERVER_ID = @@global.report_host",
        ),
    ],
)
def test_aurora_names_are_rewritten(before: str, after: str) -> None:
    assert rewrite(before.encode()).decode() == after


@pytest.mark.parametrize(
    "sql",
    [
        "select 'information_schema.replica_host_status'",
        "select 1 -- @@aurora_server_id",
        "select `@@aurora_server_id` from t",
        "select aurora_version from t",
        "select shop.aurora_version()",
        "select @aurora_server_id",
        "select * from replica_host_status",
        "select * from shop.replica_host_status",
        "show variables like 'aurora%'",
        "insert into notes values ('@@innodb_read_only')",
        "select 'never closed @@aurora_server_id",
    ],
)
def test_everything_else_is_left_as_it_is(sql: str) -> None:
    assert rewrite(sql.encode()).decode() == sql


@given(st.binary(max_size=200))
def test_statements_without_aurora_names_are_unchanged(sql: bytes) -> None:
    if not any(mark in sql.lower() for mark in MARKS):
        assert rewrite(sql) == sql


@given(st.text("ab'\"`\\;(), .@-#/*\n", max_size=30), st.sampled_from([each.decode() for each in MARKS]))
def test_the_rest_of_a_statement_is_unchanged(text: str, name: str) -> None:
    """Leave a name without ``@@`` alone, whatever quotes and comments surround it."""
    sql = f"select x{name} from t where {text}".encode()
    assert rewrite(sql) == sql
