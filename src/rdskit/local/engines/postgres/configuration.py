"""The files that tell a PostgreSQL server how to run. All are written whole, by us alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.local.engines.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.engines.session import Account

PASSWORD_FILE = "rdskit.pgpass"  # noqa: S105 - a file's name

DEFAULTS: Mapping[str, str] = {
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "superuser_reserved_connections": "5",
    "shared_buffers": "32MB",
    # In the data directory, with which it goes: in /dev/shm a server that was killed and is not started again leaves a
    # megabyte and more, until the machine restarts.
    "dynamic_shared_memory_type": "mmap",
    "wal_level": "replica",
    "max_wal_senders": "20",
    "wal_keep_size": "256MB",
    "max_wal_size": "512MB",
    "hot_standby": "on",
    # A promoted standby that has to wait for the walreceiver's usual retry needs 5 s instead of 0.1 s.
    "wal_retrieve_retry_interval": "100ms",
    "wal_receiver_timeout": "10s",
    "wal_sender_timeout": "10s",
    "log_line_prefix": "%t:%r:%u@%d:[%p]:",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}

# The socket's directory is open to our own processes only: through it the endpoint lets in whose token it has checked.
_HBA = """\
# Written by rdskit; the endpoint asks for TLS, this server is reached over the loopback network only.
local all         +rds_iam       trust
host all         all 127.0.0.0/8 scram-sha-256
host replication all 127.0.0.0/8 scram-sha-256
"""


def settings_text(address: Endpoint, sockets: str, settings: Mapping[str, str]) -> str:
    """The text of ``postgresql.conf``: the defaults, overridden by ``settings``, and where the server listens.

    Args:
        address: where it listens.
        sockets: directory of its private Unix socket, as seen from its data directory: a whole path may be too long.
        settings: everything else.
    """
    fixed = {"listen_addresses": address.host, "port": str(address.port), "unix_socket_directories": sockets}
    lines = (f"{name} = {_quoted(value)}" for name, value in {**DEFAULTS, **settings, **fixed}.items())
    return "\n".join(["# Written by rdskit: changed with parameter groups, not by hand.", *lines, ""])


def upstream(source: Endpoint, account: Account, data: Path, name: str) -> dict[str, str]:
    """The settings with which a standby streams from ``source``.

    The password is in a file of its own: a server logs ``primary_conninfo`` whenever it changes.

    Args:
        source: the server to stream from.
        account: who may replicate.
        data: the standby's data directory.
        name: how the standby calls itself; ``synchronous_standby_names`` uses it.
    """
    parts = {
        "host": source.host,
        "port": str(source.port),
        "user": account.user,
        "passfile": str(data / PASSWORD_FILE),
        "application_name": name,
        "sslmode": "disable",
        "gssencmode": "disable",
        "connect_timeout": "2",
    }
    return {"primary_conninfo": " ".join(f"{key}={_quoted(value)}" for key, value in parts.items())}


def write_access(data: Path, account: Account) -> None:
    """Write who may log in, and the password that a standby in this directory streams with."""
    write_whole(data / "pg_hba.conf", _HBA)
    escaped = account.password.replace("\\", "\\\\").replace(":", "\\:")
    write_whole(data / PASSWORD_FILE, f"*:*:*:{account.user}:{escaped}\n")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
