"""Create roles and databases as RDS does. The master user has many rights, but is no superuser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.engines.postgres.sql import READ_ONLY
from rdskit.local.engines.session import Account, StatementRefused
from rdskit.local.fleet.engine import ADMIN

if TYPE_CHECKING:
    from rdskit.local.engines.postgres.server import PostgresServer
    from rdskit.local.engines.postgres.sql import PostgresSession
    from rdskit.local.engines.session import ServerSession
    from rdskit.local.fleet.model import InstanceSpec

ADMIN_DATABASE: Final = "rdsadmin"
RESERVED: Final = (ADMIN, "rds_superuser", "rds_iam", "rds_replication", "rds_password", "public", "none")

_PREDEFINED: Final = {"pg_monitor": 10, "pg_signal_backend": 10, "pg_checkpoint": 15, "pg_create_subscription": 16}
_GRANT_OPTIONS_SINCE: Final = 16
#: Before PostgreSQL 16, CREATEROLE is enough to grant any role but a superuser's. These roles give access to the
#: server's machine, so on those releases they are made superusers' too. They cannot log in, and their members gain
#: nothing by it.
_OPEN_THE_MACHINE: Final = ("pg_execute_server_program", "pg_read_server_files", "pg_write_server_files")


def check_master_user(name: str) -> None:
    """Refuse a master user name that RDS reserves.

    Raises:
        LocalError: the name is reserved.
    """
    if name.lower() in RESERVED or name.lower().startswith("pg_"):
        raise LocalError(f"master user name {name} is reserved by the engine: choose another")


def set_up(server: PostgresServer, spec: InstanceSpec) -> None:
    """Create the roles and databases of a new RDS instance on a fresh server."""
    with server.connect() as session:
        _make_roles(session, server.binaries.major)
        _make_master(session, spec, server.binaries.major)
        owner = session.identifier(spec.master_user)
        session.execute(f"alter database postgres owner to {owner}")
        if spec.database and spec.database != "postgres":
            session.execute(f"create database {session.identifier(spec.database)} owner {owner}")
        # The heartbeat's table is in a database that no user can connect to, so no lock or trigger of a user can block
        # it.
        session.execute(f"create database {ADMIN_DATABASE}")
        session.execute(f"revoke connect, temporary on database {ADMIN_DATABASE} from public")
    with server.connect(ADMIN_DATABASE) as session:
        session.execute("create table public.rds_heartbeat2 (id int primary key, value bigint not null)")
        session.execute("insert into public.rds_heartbeat2 values (1, 0)")


def set_password(server: PostgresServer, user: str, password: str) -> None:
    """Change a user's password. Only its SCRAM verifier appears in the statement."""
    with server.connect() as session:
        verifier = session.literal(session.verifier(Account(user, password)))
        session.execute(f"alter role {session.identifier(user)} password {verifier}")


def heartbeat(session: ServerSession, *, timeout: float) -> bool:
    """Commit the smallest durable write; return False while the server refuses writes."""
    try:
        session.execute("update public.rds_heartbeat2 set value = value + 1 where id = 1", timeout=timeout)
    except StatementRefused as error:
        if error.sqlstate != READ_ONLY:
            raise
        return False
    return True


def _make_roles(session: PostgresSession, major: int) -> None:
    for role in ("rds_superuser", "rds_iam", "rds_replication", "rds_password"):
        session.execute(f"create role {role} nologin")
    predefined = ", ".join(role for role, since in _PREDEFINED.items() if major >= since)
    if major < _GRANT_OPTIONS_SINCE:
        for role in _OPEN_THE_MACHINE:
            session.execute("update pg_authid set rolsuper = true where rolname = $1", role)
    session.execute(f"grant {predefined}, rds_replication, rds_password to rds_superuser with admin option")


def _make_master(session: PostgresSession, spec: InstanceSpec, major: int) -> None:
    name = session.identifier(spec.master_user)
    verifier = session.literal(session.verifier(Account(spec.master_user, spec.master_password)))
    # RDS's servers let members of rds_replication open replication connections; a plain server asks for the attribute.
    session.execute(f"create role {name} login createdb createrole replication password {verifier}")
    session.execute(f"grant rds_superuser to {name} with admin option")
    if major >= _GRANT_OPTIONS_SINCE:
        # The master user may grant rds_iam, but does not become an IAM user by it.
        session.execute(f"grant rds_iam to {name} with admin true, inherit false, set false")
