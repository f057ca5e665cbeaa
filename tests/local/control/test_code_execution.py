"""No setting and no statement of the master user makes a server run a program, load a library or use a file."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pymysql
import pytest
from botocore.exceptions import ClientError

from rdskit.errors import LocalError
from rdskit.local import lifecycle
from rdskit.local.control.layout import Layout
from rdskit.local.fleet.mysql.parameters import KEPT_BY_RDS as KEPT_IN_MYSQL
from rdskit.local.fleet.mysql.parameters import translate as translate_mysql
from rdskit.local.fleet.postgres.parameters import translate
from tests.local.control.conftest import PASSWORD
from tests.local.hostile_sql import FAMILY_STATEMENTS, MYSQL_STATEMENTS, STATEMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_rds.type_defs import DBInstanceTypeDef

    from tests.local.control.conftest import LocalRdsDaemon

PARAMETERS = {
    "postgres18": (
        ("session_preload_libraries", "/evil/evil.so"),
        ("session_preload_libraries", "auto_explain,../../evil/evil"),
        ("shared_preload_libraries", "evil"),
        ("local_preload_libraries", "evil"),
        ("dynamic_library_path", "/evil"),
        ("extension_control_path", "/evil"),
        ("oauth_validator_libraries", "evil"),
        ("jit_provider", "/evil/evil"),
        ("archive_command", "touch /evil/evil"),
        ("archive_library", "evil"),
        ("archive_cleanup_command", "touch /evil/evil"),
        ("restore_command", "touch /evil/evil"),
        ("recovery_end_command", "touch /evil/evil"),
        ("ssl_passphrase_command", "touch /evil/evil"),
        ("log_directory", "/evil"),
        ("log_filename", "../../evil"),
        ("external_pid_file", "/evil/evil"),
        ("hba_file", "/evil/evil"),
        ("unix_socket_directories", "/evil"),
        ("allow_system_table_mods", "1"),
        ("jit_dump_bitcode", "1"),
        ("ignore_checksum_failure", "1"),
        ("zero_damaged_pages", "1"),
        ("log_line_prefix", "x'\nsession_preload_libraries = '/evil/evil.so"),
        ("search_path", "a\0b"),
        ("wal_compression", "nonsense"),
        ("default_transaction_isolation", "nonsense"),
        ("work_mem", "{touch /evil/evil}"),
        ("work_mem", "1e3"),
        ("work_mem", "\u0661\u0662\u0663"),
    ),
    "mysql": (
        ("plugin_load", "evil=/evil/evil.so"),
        ("early_plugin_load", "evil"),
        ("plugin_dir", "/evil"),
        ("general_log_file", "/evil/evil.cnf"),
        ("slow_query_log_file", "/evil/evil"),
        ("log_error", "/evil/evil"),
        ("log_error_services", "evil"),
        ("secure_file_priv", ""),
        ("tmpdir", "/evil"),
        ("datadir", "/evil"),
        ("innodb_data_home_dir", "/evil"),
        ("innodb_undo_directory", "/evil"),
        ("innodb_buffer_pool_filename", "/evil/evil"),
        ("character_sets_dir", "/evil"),
        ("lc_messages_dir", "/evil"),
        ("init_file", "/evil/evil.sql"),
        ("init_replica", "set global x = 1"),
        ("ssl_key", "/evil/evil"),
        ("partial_revokes", "0"),
        ("mandatory_roles", "rdsadmin"),
        ("sql_mode", "x\nplugin_load = evil.so"),
    ),
    "mariadb": (
        ("wsrep_provider", "/evil/evil.so"),
        ("wsrep_notify_cmd", "touch /evil/evil"),
        ("plugin_load_add", "evil"),
        ("plugin_dir", "/evil"),
        ("general_log_file", "/evil/evil"),
        ("log_error", "/evil/evil"),
        ("aria_log_dir_path", "/evil"),
        ("replica_load_tmpdir", "/evil"),
        ("init_slave", "set global x = 1"),
        ("proxy_protocol_networks", "*"),
        ("secure_file_priv", ""),
        ("binlog_format", "nonsense"),
    ),
}


@pytest.mark.parametrize("family", PARAMETERS)
def test_parameters_that_rds_lets_no_user_change(local: LocalRdsDaemon, family: str) -> None:
    engine = "postgres" if family.startswith("postgres") else family
    versions = local.rds.describe_db_engine_versions(Engine=engine)["DBEngineVersions"]
    name = f"evil-{family}"
    found = versions[0]["DBParameterGroupFamily"]
    local.rds.create_db_parameter_group(DBParameterGroupName=name, DBParameterGroupFamily=found, Description="x")
    for parameter, value in PARAMETERS[family]:
        for method in ("immediate", "pending-reboot"):
            given: Any = {"ParameterName": parameter, "ParameterValue": value, "ApplyMethod": method}
            with pytest.raises(ClientError, match="InvalidParameter") as refused:
                local.rds.modify_db_parameter_group(DBParameterGroupName=name, Parameters=[given])
            assert "static parameter" not in str(refused.value) or method == "immediate", parameter
    pages = local.rds.get_paginator("describe_db_parameters").paginate(DBParameterGroupName=name)
    every = {each["ParameterName"]: each for page in pages for each in page["Parameters"]}
    for parameter, _ in PARAMETERS[family]:
        if parameter in every and every[parameter].get("IsModifiable"):
            assert parameter in (
                *(
                    "session_preload_libraries",
                    "shared_preload_libraries",
                    "log_filename",
                    "log_line_prefix",
                    "work_mem",
                ),
                *("search_path", "wal_compression", "default_transaction_isolation", "sql_mode", "binlog_format"),
            )


def test_useful_parameters_can_still_be_changed(local: LocalRdsDaemon) -> None:
    rds = local.rds
    rds.create_db_parameter_group(DBParameterGroupName="useful", DBParameterGroupFamily="postgres18", Description="x")
    for parameter, value in {
        "shared_preload_libraries": "pg_stat_statements,auto_explain",
        "session_preload_libraries": "auto_explain",
        "log_filename": "postgresql.log.%Y-%m-%d-%H",
        "search_path": '"$user", shop',
        "timezone": "Europe/Berlin",
        "default_transaction_isolation": "repeatable read",
        "wal_compression": "pglz",
        "shared_buffers": "{DBInstanceClassMemory/32768}",
        "max_connections": "LEAST({DBInstanceClassMemory/9531392},5000)",
        "log_statement": "ddl",
        "autovacuum_vacuum_scale_factor": "0.1",
    }.items():
        given: Any = {"ParameterName": parameter, "ParameterValue": value, "ApplyMethod": "pending-reboot"}
        rds.modify_db_parameter_group(DBParameterGroupName="useful", Parameters=[given])


def test_the_fleet_refuses_them_too() -> None:
    for parameter, value in PARAMETERS["postgres18"][:22]:
        if parameter.startswith("ssl_"):  # the endpoint terminates TLS: these settings do not matter to the server
            assert parameter in translate({parameter: value}).ignored
            continue
        with pytest.raises(LocalError, match=parameter):
            translate({parameter: value})
    for parameter, value in PARAMETERS["mysql"]:
        with pytest.raises(LocalError, match=parameter):
            translate_mysql({parameter: value})
    assert not KEPT_IN_MYSQL.fullmatch("max_connections")
    assert not KEPT_IN_MYSQL.fullmatch("local_infile")


@pytest.fixture(scope="module")
def postgres(local: LocalRdsDaemon) -> DBInstanceTypeDef:
    return local.create("victim")


def test_statements_of_the_master_user_of_postgresql(
    local: LocalRdsDaemon, postgres: DBInstanceTypeDef, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    with local.connect(postgres) as connection:
        connection.execute("create table if not exists loot (t text)")
        done = []
        for statement in STATEMENTS:
            with contextlib.suppress(psycopg.Error):
                connection.execute(statement.format(trap=trap))
                done.append(statement)
        connection.execute("reset all")
        assert done == []
        assert connection.execute("select rolsuper from pg_roles where rolname = 'app'").fetchone() == (False,)
    assert not trap.exists()


def test_startup_options_run_no_code(local: LocalRdsDaemon, postgres: DBInstanceTypeDef) -> None:
    for option in ("session_preload_libraries=/evil/evil", "log_statement=all", "session_authorization=rdsadmin"):
        with pytest.raises(psycopg.OperationalError, match=r"permission denied|does not exist"):
            local.connect(postgres, options=f"-c {option}")


FUNCTIONS = (
    *("pg_is_in_recovery()", "pg_current_wal_lsn()", "pg_current_wal_insert_lsn()", "pg_last_wal_replay_lsn()"),
    *("current_setting(text)", "count(text)", "now()", "clock_timestamp()", "pg_switch_wal()", "pg_reload_conf()"),
)


def test_the_supervisor_runs_no_function_of_the_user(local: LocalRdsDaemon, postgres: DBInstanceTypeDef) -> None:
    """Run no function of the master user, who owns the superuser's database and may set its search path."""
    with local.connect(postgres) as connection:
        connection.execute("create schema evil")
        connection.execute("create table evil.witness (who text)")
        connection.execute("grant all on schema evil to public; grant all on evil.witness to public")
        connection.execute(
            "create function evil.run(integer, integer) returns boolean language plpgsql as "
            "$$ begin insert into evil.witness values (current_user); return true; end $$"
        )
        connection.execute("create operator evil.= (leftarg = integer, rightarg = integer, function = evil.run)")
        for name in FUNCTIONS:
            connection.execute(
                f"create function evil.{name} returns text language plpgsql as "
                "$$ begin insert into evil.witness values (current_user); return 'f'; end $$"
            )
        for setting in ("search_path = evil, pg_catalog", "role = app", "default_transaction_read_only = on"):
            connection.execute(f"alter database postgres set {setting}")
    local.rds.modify_db_instance(DBInstanceIdentifier="victim", MasterUserPassword="another-horse")
    local.settle("victim")
    local.rds.create_db_instance_read_replica(DBInstanceIdentifier="victim-r1", SourceDBInstanceIdentifier="victim")
    local.settle("victim-r1")
    local.rds.reboot_db_instance(DBInstanceIdentifier="victim")
    local.settle("victim")
    with local.connect(postgres, "another-horse") as connection:
        connection.execute("set default_transaction_read_only = off")
        assert connection.execute("select who from evil.witness where who <> 'app'").fetchall() == []
        for setting in ("search_path", "role", "default_transaction_read_only"):
            connection.execute(f"alter database postgres reset {setting}")
    local.rds.modify_db_instance(DBInstanceIdentifier="victim", MasterUserPassword=PASSWORD)
    local.settle("victim")


def test_functions_of_aurora_read_no_view_of_the_user(local: LocalRdsDaemon) -> None:
    """Read the catalog's view in a function of the superuser, not a temporary one of the same name."""
    local.rds.create_db_cluster(
        DBClusterIdentifier="aurora", Engine="aurora-postgresql", MasterUsername="app", MasterUserPassword=PASSWORD
    )
    local.rds.create_db_instance(
        DBInstanceIdentifier="aurora-1",
        DBClusterIdentifier="aurora",
        Engine="aurora-postgresql",
        DBInstanceClass="db.r6g.large",
    )
    with local.connect(local.settle("aurora-1")) as connection:
        connection.execute(
            "create function pg_temp.evil() returns text language plpgsql as "
            "$$ begin perform set_config('evil.ran_as', current_user, false); return 'x'; end $$"
        )
        connection.execute(
            "create temp view pg_stat_replication as select 1 as pid, pg_temp.evil() as application_name, "
            "null::pg_lsn as flush_lsn, null::pg_lsn as replay_lsn, null::interval as replay_lag"
        )
        connection.execute("create temp view pg_stat_wal_receiver as select pg_temp.evil() as status")
        connection.execute("grant select on pg_stat_replication, pg_stat_wal_receiver to public")
        connection.execute("select * from aurora_replica_status()")
        connection.execute("select aurora_db_instance_identifier()")
        ran = connection.execute("select current_setting('evil.ran_as', true)").fetchone()
        assert ran in ((None,), ("",))


@contextlib.contextmanager
def family_login(local: LocalRdsDaemon, engine: str) -> Iterator[Any]:
    instance = local.create(f"victim-{engine}", Engine=engine, DBName="shop")
    connection = pymysql.connect(
        host=instance["Endpoint"]["Address"],
        port=instance["Endpoint"]["Port"],
        user="app",
        password=PASSWORD,
        ssl_ca=lifecycle.env(local.data)["RDSKIT_CA"],
        autocommit=True,
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        yield cursor
    local.delete(f"victim-{engine}")


@pytest.mark.parametrize("engine", ["mysql", "mariadb"])
def test_statements_of_the_master_user_of_the_mysql_family(local: LocalRdsDaemon, engine: str, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    with family_login(local, engine) as cursor:
        cursor.execute("create table shop.loot (t text)")
        done = []
        for statement in (*FAMILY_STATEMENTS, *(MYSQL_STATEMENTS if engine == "mysql" else ())):
            with contextlib.suppress(pymysql.Error):
                cursor.execute(statement.format(trap=trap))
                done.append((statement, cursor.rowcount))
        cursor.execute("select count(*) from shop.loot")
        assert cursor.fetchone() == (0,)
        assert [statement for statement, rows in done if rows or not statement.startswith("insert into shop")] == []
        for fine in (
            "create database own",
            "create table own.t (a int primary key)",
            "insert into own.t values (1)",
            "create user 'reader'@'%' identified by 'correct-horse'",
            "grant select, insert on own.* to 'reader'@'%'",
            "create view own.v as select * from own.t",
            "create procedure own.p() select 1",
            "select user, host from mysql.user",
            "flush privileges",
            "drop database own",
        ):
            cursor.execute(fine)
    assert not trap.exists()


def test_the_superuser_has_no_endpoint(local: LocalRdsDaemon, postgres: DBInstanceTypeDef) -> None:
    """Refuse the superuser at an endpoint, even with the password from the data directory."""
    assert Layout(local.data).fleet.exists()
    with pytest.raises(psycopg.OperationalError, match=r'user "rdsadmin".*rejected|rejects connection.*"rdsadmin"'):
        local.connect(postgres, user="rdsadmin", password="x")
