"""Create users and databases as RDS for MySQL and MariaDB does. The master user has many rights, but is no superuser.

The privileges are those of the RDS User Guide, "Master user account privileges". None of them lets a user write to a
read-only server, or change the fleet's own account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.errors import LocalError
from rdskit.local.fleet.engine import ADMIN

if TYPE_CHECKING:
    from rdskit.local.engines.session import ServerSession
    from rdskit.local.fleet.model import InstanceSpec

HEARTBEAT: Final = "update mysql.rds_heartbeat2 set value = value + 1 where id = 1"

_RESERVED: Final = (ADMIN, "rdsrepladmin", "rdstopmgr", "rds_superuser_role", "root", "public", "mysql.sys")
_COMMON_GLOBALS: Final = "RELOAD, PROCESS, SHOW DATABASES, REPLICATION SLAVE, REPLICATION CLIENT, CREATE USER"
_COMMON_DATA: Final = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, "
    "EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER"
)
#: With one of these on the system tables a user could grant itself everything, or load a library.
_CHANGING: Final = (
    "INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, "
    "EVENT, TRIGGER"
)
_ROLE: Final = "rds_superuser_role"
# SET_USER_ID is called SET_ANY_DEFINER since MySQL 8.2. Granting a privilege that the server does not know is an error,
# so the list is filtered by SHOW PRIVILEGES.
_MYSQL_ONLY: Final = (
    "CREATE ROLE",
    "DROP ROLE",
    "APPLICATION_PASSWORD_ADMIN",
    "ROLE_ADMIN",
    "SET_USER_ID",
    "SET_ANY_DEFINER",
    "XA_RECOVER_ADMIN",
)


def check_master_user(name: str) -> None:
    """Refuse a master user name that RDS reserves.

    Raises:
        LocalError: the name is reserved.
    """
    if name.lower() in _RESERVED or name.lower().startswith("mysql."):
        raise LocalError(f"master user name {name} is reserved by the engine: choose another")


def set_up(session: ServerSession, spec: InstanceSpec, identified: str, *, with_role: bool) -> None:
    """Create the users and databases of a new RDS instance on a fresh server.

    Args:
        session: the superuser's.
        spec: the instance.
        identified: clause that gives the master user its password.
        with_role: grant the master user its rights by a role, as on MySQL 8 and later.
    """
    master = user(session, spec.master_user)
    session.execute(f"create user {master} {identified}")
    if with_role:
        _grant_by_role(session, master)
    else:
        _grant_by_database(session, master)
    if spec.database:
        session.execute(f"create database {session.identifier(spec.database)}")
    session.execute("create table mysql.rds_heartbeat2 (id int primary key, value bigint not null) engine = innodb")
    session.execute("insert into mysql.rds_heartbeat2 values (1, 0)")


def user(session: ServerSession, name: str) -> str:
    """Return a user who may connect from any host, quoted for use in a statement."""
    return f"{session.literal(name)}@'%'"


def _grant_by_database(session: ServerSession, master: str) -> None:
    """Grant everything but changes of the system tables.

    MariaDB has no partial revokes. A grant on one database counts instead of the grant on all databases. Source:
    MariaDB, "GRANT", "Database Privileges": the most specific name counts.
    """
    session.execute(f"grant {_COMMON_GLOBALS} on *.* to {master} with grant option")
    session.execute(f"grant {_COMMON_DATA} on `%`.* to {master} with grant option")
    session.execute(f"grant SELECT, EXECUTE, SHOW VIEW on mysql.* to {master} with grant option")


def _grant_by_role(session: ServerSession, master: str) -> None:
    known = {row[0].upper() for row in session.execute("show privileges") if row[0]}
    own = ", ".join(each for each in _MYSQL_ONLY if each in known)
    session.execute(f"create role {_ROLE}")
    session.execute(f"grant {_COMMON_GLOBALS}, {_COMMON_DATA}, {own} on *.* to {_ROLE} with grant option")
    # Needs ``partial_revokes``, which the server's defaults set.
    session.execute(f"revoke {_CHANGING} on mysql.* from {_ROLE}")
    session.execute(f"grant {_ROLE} to {master} with admin option")
    session.execute(f"set default role all to {master}")
