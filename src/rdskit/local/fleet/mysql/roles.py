"""Users and databases as RDS for MySQL and MariaDB gives them: the master user may do much, but is no superuser.

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
#: With one of these on the system's own tables a user would grant itself everything, or have a library loaded.
_CHANGING: Final = (
    "INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, "
    "EVENT, TRIGGER"
)
_ROLE: Final = "rds_superuser_role"
# SET_USER_ID is called SET_ANY_DEFINER since MySQL 8.2.
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
    """Refuse a name that RDS keeps for itself.

    Raises:
        LocalError: it is one.
    """
    if name.lower() in _RESERVED or name.lower().startswith("mysql."):
        raise LocalError(f"master user name {name} is reserved by the engine: choose another")


def set_up(session: ServerSession, spec: InstanceSpec, identified: str, *, with_role: bool) -> None:
    """Give a fresh server the users and databases of a new RDS instance.

    Args:
        session: the superuser's.
        spec: the instance.
        identified: the clause that gives the master user the password.
        with_role: the master user has its rights by a role, as on MySQL 8 and later.
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
    """A user who may come from everywhere, quoted for use in a statement."""
    return f"{session.literal(name)}@'%'"


def _grant_by_database(session: ServerSession, master: str) -> None:
    """Grant everything but changes of the system's tables: a database's own grant counts instead of that for all.

    MariaDB has no partial revokes. Source: MariaDB, "GRANT", "Database Privileges": the most specific name counts.
    """
    session.execute(f"grant {_COMMON_GLOBALS} on *.* to {master} with grant option")
    session.execute(f"grant {_COMMON_DATA} on `%`.* to {master} with grant option")
    session.execute(f"grant SELECT, EXECUTE, SHOW VIEW on mysql.* to {master} with grant option")


def _grant_by_role(session: ServerSession, master: str) -> None:
    known = {row[0].upper() for row in session.execute("show privileges") if row[0]}
    own = ", ".join(each for each in _MYSQL_ONLY if each in known)
    session.execute(f"create role {_ROLE}")
    session.execute(f"grant {_COMMON_GLOBALS}, {_COMMON_DATA}, {own} on *.* to {_ROLE} with grant option")
    session.execute(f"revoke {_CHANGING} on mysql.* from {_ROLE}")
    session.execute(f"grant {_ROLE} to {master} with admin option")
    session.execute(f"set default role all to {master}")
