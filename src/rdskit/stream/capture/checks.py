"""What a database needs before its changes can be captured, each with its fix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.client import api
from rdskit.errors import ConfigError, QueryError
from rdskit.kernel.sql import Dialect
from rdskit.reports import Finding, Severity
from rdskit.stream.capture.tables import describe_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdskit.client.api import Database
    from rdskit.stream.capture.tables import Described

_POSTGRES: Final = """
select current_setting('wal_level') as wal_level, current_user::text as name,
       (select rolreplication or rolsuper from pg_roles where rolname = current_user) as may_replicate,
       coalesce((select pg_has_role(current_user, oid, 'usage') from pg_roles where rolname = 'rds_replication'), false)
           as has_rds_role,
       has_database_privilege(current_database(), 'create') as may_create, current_database()::text as database,
       current_setting('max_replication_slots')::int - (select count(*) from pg_replication_slots) as slots,
       current_setting('max_slot_wal_keep_size') as keep
"""
#: Each variable, what it must be, and how RDS is made to have it so.
_MYSQL: Final = (
    ("log_bin", "ON", "switch automated backups on: a retention of more than 0 days"),
    ("binlog_format", "ROW", "set binlog_format = ROW in the parameter group"),
    ("binlog_row_image", "FULL", "set binlog_row_image = FULL in the parameter group"),
    ("binlog_row_metadata", "FULL", "set binlog_row_metadata = FULL in the parameter group"),
    ("gtid_mode", "ON", "set gtid-mode = ON and enforce_gtid_consistency = ON in the parameter group, and reboot"),
    ("binlog_row_value_options", "", "set binlog_row_value_options to nothing in the parameter group"),
    ("binlog_transaction_compression", "OFF", "set binlog_transaction_compression = 0 in the parameter group"),
    ("log_bin_compress", "OFF", "set log_bin_compress = 0 in the parameter group"),
)
_RETENTION: Final = "call mysql.rds_set_configuration('binlog retention hours', 24)"


async def check(db: Database, tables: Sequence[str] = ()) -> list[Finding]:
    """Return everything that keeps a database, or a table of it, from being captured, and what is risky.

    Args:
        db: the database.
        tables: those that are to be captured.

    Raises:
        ConfigError: there is no table of a name.
    """
    writer = api.routed(db, lambda _statement, _scope: api.Route.WRITER)
    described = await describe_tables(writer, tables) if tables else []
    return await _findings(writer, described, snapshot=False)


async def refuse_unfit(db: Database, described: Sequence[Described], *, snapshot: bool) -> None:
    """Refuse to begin a stream that cannot work.

    Args:
        db: the database.
        described: the tables.
        snapshot: their rows are to be read first.

    Raises:
        ConfigError: a precondition is not met; the message has the fix.
    """
    errors = [each for each in await _findings(db, described, snapshot=snapshot) if each.severity is Severity.ERROR]
    if errors:
        first, more = errors[0], len(errors) - 1
        rest = f" ({more} more: rdskit changes check)" if more else ""
        raise ConfigError(f"{first.subject} cannot be captured: {first.message}; {first.remedy}{rest}")


async def _findings(db: Database, described: Sequence[Described], *, snapshot: bool) -> list[Finding]:
    is_postgres = api.dialect_of(db) is Dialect.POSTGRES
    found = await (_postgres(db) if is_postgres else _mysql(db))
    for each in described:
        found += _of_table(each, snapshot=snapshot)
    return found


def _of_table(described: Described, *, snapshot: bool) -> list[Finding]:
    name, found = described.table.given, []
    if not described.is_table:
        found.append(_error("table-kind", name, "it is no permanent, logged table", "name the tables behind it"))
    if described.identity == "n" or (described.identity == "d" and not described.table.key):
        found.append(
            _error(
                "replica-identity",
                name,
                "it has no replica identity, so that updates and deletes would be refused once it is published",
                f"add a primary key, or run: alter table {name} replica identity full",
            )
        )
    if not described.is_owned:
        found.append(
            _error("table-owner", name, "this user does not own it, and cannot publish it", "connect as its owner")
        )
    if snapshot and not described.table.key:
        found.append(
            _error("primary-key", name, "it has no primary key, which a snapshot needs", "add one, or start='now'")
        )
    found.extend(
        _error("column-type", name, f"column {column} is of a type that is not decoded", "store it as binary or text")
        for column in described.unreadable
    )
    return found


async def _postgres(db: Database) -> list[Finding]:
    row = await db.fetch_one(_POSTGRES)
    assert row is not None
    found: list[Finding] = []
    if row["wal_level"] != "logical":
        found.append(
            _error(
                "wal-level",
                "the server",
                f"wal_level is {row['wal_level']}",
                "set rds.logical_replication = 1 in the parameter group, and reboot",
            )
        )
    if not (row["may_replicate"] or row["has_rds_role"]):
        found.append(
            _error(
                "replication-role",
                f"user {row['name']}",
                "it may not open replication connections",
                f'run: grant rds_replication to "{row["name"]}" (outside RDS: alter role "{row["name"]}" replication)',
            )
        )
    if not row["may_create"]:
        found.append(
            _error(
                "create-publication",
                f"user {row['name']}",
                "it may not create a publication",
                f'run: grant create on database "{row["database"]}" to "{row["name"]}"',
            )
        )
    if row["slots"] <= 0:
        found.append(
            _error(
                "replication-slots",
                "the server",
                "all replication slots are taken",
                "drop one that is not used, or raise max_replication_slots",
            )
        )
    if row["keep"] == "-1":
        found.append(
            Finding(
                "slot-keeps-log",
                Severity.WARNING,
                "the server",
                "a consumer that is stopped for long lets the log fill the disk",
                {"max_slot_wal_keep_size": row["keep"]},
                "set max_slot_wal_keep_size, watch rdskit changes status, and drop consumers that are not used",
            )
        )
    return found


async def _mysql(db: Database) -> list[Finding]:
    names = ", ".join(f"'{name}'" for name, _, _ in _MYSQL)
    rows = await db.fetch_all(f"show global variables where variable_name in ({names})")
    values = {row[0].lower(): row[1].upper() for row in rows}
    found = [
        _error(name.replace("_", "-"), "the server", f"{name} is {values[name] or 'empty'}", remedy)
        for name, wanted, remedy in _MYSQL
        if name in values and values[name] != wanted
    ]
    found += await _mysql_grants(db)
    return found + await _retention(db)


async def _mysql_grants(db: Database) -> list[Finding]:
    user = await db.fetch_value("select current_user()")
    grants = " ".join([row[0] for row in await db.fetch_all("show grants")]).upper()
    if "REPLICATION SLAVE" in grants or "REPLICATION REPLICA" in grants or "ALL PRIVILEGES ON *.*" in grants:
        return []
    name, _, host = user.rpartition("@")
    return [
        _error(
            "replication-role",
            f"user {user}",
            "it may not read the binary log",
            f"run: grant replication slave on *.* to '{name}'@'{host}'",
        )
    ]


async def _retention(db: Database) -> list[Finding]:
    """Ask RDS how long it keeps the binary log; other servers have no such procedure."""
    try:
        rows = await db.fetch_all("call mysql.rds_show_configuration")
    except QueryError:
        return []
    kept = {row[0]: row[1] for row in rows}.get("binlog retention hours")
    if kept is not None:
        return []
    return [
        Finding(
            "binlog-retention",
            Severity.WARNING,
            "the server",
            "RDS removes the binary log as soon as it needs it no more, also what a stopped consumer has not read",
            {"binlog retention hours": None},
            f"run: {_RETENTION}",
        )
    ]


def _error(rule: str, subject: str, message: str, remedy: str) -> Finding:
    return Finding(rule, Severity.ERROR, subject, message, {}, remedy)
