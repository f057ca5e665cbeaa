"""Write the files that configure a PostgreSQL server. Only rdskit writes them, and always as a whole."""

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
    # Shared memory as files in the data directory, which are deleted with it. In /dev/shm a killed server that is not
    # started again would leave a megabyte or more until the machine restarts.
    "dynamic_shared_memory_type": "mmap",
    "wal_level": "replica",
    "max_wal_senders": "20",
    # Replicas have no replication slots: a slot of a replica that is down would fill the disk. Instead the source
    # keeps this much WAL, after which a replica is copied again.
    "wal_keep_size": "256MB",
    "max_wal_size": "512MB",
    "hot_standby": "on",
    # The default is 5 s. A standby that waits for its next attempt to fetch WAL would be promoted that much later.
    "wal_retrieve_retry_interval": "100ms",
    # Both ends notice a silent peer after 10 s; the default of a minute would delay every restoration.
    "wal_receiver_timeout": "10s",
    "wal_sender_timeout": "10s",
    "log_line_prefix": "%t:%r:%u@%d:[%p]:",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The log is searched for ERROR, FATAL and PANIC, which other languages translate.
    "lc_messages": "C",
}

# ``trust`` on the private socket is safe because only this user can enter the socket's directory. The endpoint connects
# there for an IAM user whose token it has verified.
_HBA = """\
# Written by rdskit; the endpoint asks for TLS, this server is reached over the loopback network only.
local all         +rds_iam       trust
host all         all 127.0.0.0/8 scram-sha-256
host replication all 127.0.0.0/8 scram-sha-256
"""


def settings_text(address: Endpoint, sockets: str, settings: Mapping[str, str]) -> str:
    """Return the text of ``postgresql.conf``: defaults, ``settings`` over them, and where the server listens.

    Args:
        address: where it listens.
        sockets: directory of its private Unix socket, relative to its data directory. An absolute path may exceed the
            limit of 107 bytes for a socket's path.
        settings: everything else.
    """
    # Last, so that no parameter group can move the server.
    fixed = {"listen_addresses": address.host, "port": str(address.port), "unix_socket_directories": sockets}
    lines = (f"{name} = {_quoted(value)}" for name, value in {**DEFAULTS, **settings, **fixed}.items())
    return "\n".join(["# Written by rdskit: changed with parameter groups, not by hand.", *lines, ""])


def upstream(source: Endpoint, account: Account, data: Path, name: str) -> dict[str, str]:
    """Return the settings with which a standby streams from ``source``.

    The password is in a separate file, because a server logs ``primary_conninfo`` whenever it changes.

    Args:
        source: the server to stream from.
        account: the user that replicates.
        data: the standby's data directory.
        name: the standby's ``application_name``, to which ``synchronous_standby_names`` refers.
    """
    parts = {
        "host": source.host,
        "port": str(source.port),
        "user": account.user,
        "passfile": str(data / PASSWORD_FILE),
        "application_name": name,
        "sslmode": "disable",
        "gssencmode": "disable",
        # A source that hangs must not block the WAL receiver, which could not follow another source in that time.
        "connect_timeout": "2",
    }
    return {"primary_conninfo": " ".join(f"{key}={_quoted(value)}" for key, value in parts.items())}


def write_access(data: Path, account: Account) -> None:
    """Write the login rules, and the password file with which a standby in this directory streams."""
    write_whole(data / "pg_hba.conf", _HBA)
    # In a password file a colon separates fields, and a backslash escapes.
    escaped = account.password.replace("\\", "\\\\").replace(":", "\\:")
    write_whole(data / PASSWORD_FILE, f"*:*:*:{account.user}:{escaped}\n")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
