"""Write the option files of MySQL and MariaDB servers.

Only rdskit writes these files, and always as a whole. Settings that matter to durability are RDS's; buffers are small.
A server reads no other option file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rdskit.errors import LocalError
from rdskit.local.engines.files import write_whole
from rdskit.local.engines.mysql.sql import literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.engines.session import Account

OPTION_FILE = "rdskit.cnf"
#: The presence of this file makes a server start as a standby. It has the options that differ then.
STANDBY_FILE = "rdskit.standby.cnf"

#: Milliseconds. A commit waits for its acknowledgement until the fleet releases it. If the server itself gave up, as it
#: does after 10 s by default, the standby could be promoted without an acknowledged commit.
_NO_TIMEOUT = "4294967295"

#: Options whose variable has another name in SQL.
_VARIABLES = {"default_time_zone": "time_zone"}

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")

_WHOLE_NUMBER = re.compile(r"(-?\d+)([KMGT]?)", re.IGNORECASE)
_UNIT = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

_COMMON: Mapping[str, str] = {
    "character_set_server": "utf8mb4",
    "default_time_zone": "+00:00",
    "lower_case_table_names": "0",
    "skip_name_resolve": "ON",
    "local_infile": "OFF",
    "log_bin": "binlog",
    "relay_log": "relay",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
    "sync_binlog": "1",
    "innodb_flush_log_at_trx_commit": "1",
    # Linux limits the number of asynchronous I/O contexts for the whole machine (fs.aio-max-nr), and many servers run
    # here.
    "innodb_use_native_aio": "OFF",
    "innodb_buffer_pool_size": "32M",
    "key_buffer_size": "1M",
    "max_connections": "200",
    "open_files_limit": "4096",
    "table_open_cache": "400",
    "table_definition_cache": "400",
    "thread_cache_size": "8",
}

#: Settings that differ in a follower. Commits of many clients share one sync of the log. An applier would sync at each
#: transaction and fall behind, and a promotion would have to wait for the backlog. Nothing is lost by this: the
#: operating system keeps what a killed server has written, and after a power failure the source has everything on disk.
FOLLOWER: Mapping[str, str] = {"sync_binlog": "0", "innodb_flush_log_at_trx_commit": "2"}

MARIADB_DEFAULTS: Mapping[str, str] = {
    **_COMMON,
    "binlog_format": "ROW",
    "log_slave_updates": "ON",
    "gtid_strict_mode": "ON",
    "slave_net_timeout": "10",
    "innodb_log_file_size": "32M",
    "aria_pagecache_buffer_size": "8M",
    "performance_schema": "OFF",
    "rpl_semi_sync_master_wait_point": "AFTER_SYNC",
    "rpl_semi_sync_master_timeout": _NO_TIMEOUT,
}

MYSQL_DEFAULTS: Mapping[str, str] = {
    **_COMMON,
    "plugin_load_add": "semisync_source.so;semisync_replica.so;mysql_clone.so",
    "mysqlx": "OFF",
    "secure_file_priv": "NULL",
    # The master user has all rights on data except for the system tables, which are revoked for the one schema.
    "partial_revokes": "ON",
    "gtid_mode": "ON",
    "enforce_gtid_consistency": "ON",
    # A server that is killed during its start leaves a new binary log without GTIDs. With ON, the next start reads only
    # the newest log and forgets the last transactions. A former primary would then be sent transactions that it has.
    "binlog_gtid_simple_recovery": "OFF",
    "replica_net_timeout": "10",
    "replica_parallel_workers": "2",
    "innodb_redo_log_capacity": "32M",
    "innodb_log_buffer_size": "4M",
    "innodb_log_writer_threads": "OFF",
    "innodb_doublewrite_pages": "8",
    "temptable_max_ram": "16M",
    "auto_generate_certs": "OFF",
    "rpl_semi_sync_source_wait_point": "AFTER_SYNC",
    "rpl_semi_sync_source_timeout": _NO_TIMEOUT,
    # With its default sizes the performance schema takes half of the server's memory.
    "performance_schema_digests_size": "500",
    "performance_schema_error_size": "0",
    "performance_schema_events_stages_history_long_size": "0",
    "performance_schema_events_statements_history_long_size": "100",
    "performance_schema_events_transactions_history_long_size": "0",
    "performance_schema_events_waits_history_long_size": "0",
    "performance_schema_max_statement_classes": "256",
    "performance_schema_max_thread_instances": "260",
    "performance_schema_hosts_size": "16",
    "performance_schema_users_size": "32",
    "performance_schema_accounts_size": "32",
}


def option_text(address: Endpoint, settings: Mapping[str, str]) -> str:
    """Return the text of the server's option file.

    Args:
        address: where it listens.
        settings: everything else; names as in SQL.

    Raises:
        LocalError: a name is invalid, or a value cannot be written in an option file.
    """
    fixed = {"bind_address": address.host, "port": str(address.port), "socket": ""}
    return _section("mysqld", {**settings, **fixed})


def client_text(address: Endpoint, account: Account) -> str:
    """Return an option file with which the server's programs log in, so that no command line has the password."""
    return _section(
        "client",
        {
            "protocol": "tcp",
            "host": address.host,
            "port": str(address.port),
            "user": account.user,
            "password": account.password,
        },
    )


def command_line(options: Mapping[str, str]) -> list[str]:
    """Return the options as words of a command."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


def write_standby(data: Path, options: Mapping[str, str]) -> None:
    """Mark the data directory as a standby's, whose server starts with ``options``."""
    write_whole(data / STANDBY_FILE, _section("mysqld", options))


def read_standby(data: Path) -> dict[str, str]:
    """Return the options of a standby; none for a primary."""
    try:
        lines = (data / STANDBY_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def canonical(name: str) -> str:
    """Return a variable's name as in SQL, whatever its spelling in an option file."""
    return name.lower().replace("-", "_")


def variable(option: str) -> str:
    """Return the name in SQL of an option's variable."""
    return _VARIABLES.get(option, option)


def switch(on: bool) -> str:  # noqa: FBT001 - it has no other argument
    """Return the value of a variable that is on or off."""
    return "ON" if on else "OFF"


def expression(value: str | None) -> str:
    """Return an option file's value as ``SET GLOBAL`` accepts it; None is the variable's own default."""
    if value is None:
        return "default"
    # Suffixes such as 32M are allowed in option files only.
    number = _WHOLE_NUMBER.fullmatch(value)
    if number:
        return str(int(number[1]) * _UNIT[number[2].upper()])
    return literal(value)


def _section(name: str, options: Mapping[str, str]) -> str:
    lines = [f"{_checked(option)} = {_quoted(option, value)}" for option, value in options.items()]
    return "\n".join(["# Written by rdskit: changed with parameter groups, not by hand.", f"[{name}]", *lines, ""])


def _checked(name: str) -> str:
    # A name with a line break could add any option to the file.
    if not _NAME.fullmatch(name):
        raise LocalError(f"{name!r} is not the name of a server variable: use letters, digits and underscores")
    return name


def _quoted(name: str, value: str) -> str:
    if any(ord(character) < ord(" ") for character in value):
        raise LocalError(f"the value of {name} has a control character: remove it")
    escaped = re.sub(r"""([\\"'])""", r"\\\1", value)
    return f'"{escaped}"'
