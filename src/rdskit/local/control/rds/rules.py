"""Check requests against an instance's status and settings, as RDS does. All checks are pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.local.control.rds.rds_errors import InvalidCombinationError, InvalidStateError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = [
    "SETTLED",
    "check_changeable",
    "check_database_name",
    "check_delete",
    "check_engine",
    "check_failover",
    "check_group_family",
    "check_master_credentials",
    "check_modifiable",
    "check_no_member",
    "check_no_snapshot",
    "check_password",
    "check_replica",
    "check_replicas_settled",
    "check_stands_alone",
    "check_startable",
    "check_stoppable",
    "check_usable",
    "zones",
]

SETTLED = frozenset({"available", "stopped", "failed", "incompatible-parameters", "storage-full"})
"""Final statuses. Every other status changes to one of them by itself, or the instance is deleted."""

# RDS API Reference, CreateDBInstance, MasterUserPassword.
_FORBIDDEN_IN_PASSWORD = frozenset('/@" ')
_SHORTEST_PASSWORD = 8


@dataclass(frozen=True, slots=True)
class CredentialRules:
    """The rules of RDS for the master user of one engine.

    Attributes:
        reserved: names that the engine or RDS uses itself.
        name: pattern of a name.
        longest_password: greatest length of a password.
        database: pattern of the name of an initial database.
        longest_name: greatest length of a name.
        reserved_databases: names of the engine's own databases.
    """

    reserved: frozenset[str]
    name: str
    longest_password: int
    database: str
    longest_name: int
    reserved_databases: frozenset[str]


_MYSQL_RULES = CredentialRules(
    reserved=frozenset(
        {
            *("rdsadmin", "rdsrepladmin", "rdstopmgr", "rds_superuser_role", "root", "public", "mysql", "sys"),
            *("admin_role", "event_scheduler", "system"),
        }
    ),
    name="[A-Za-z][A-Za-z0-9_]{0,15}",
    longest_name=16,
    longest_password=41,
    database=r"\w{1,64}",
    reserved_databases=frozenset({"mysql", "sys", "information_schema", "performance_schema", "rds_cluster"}),
)
_POSTGRES_RULES = CredentialRules(
    reserved=frozenset(
        {
            *("postgres", "rdsadmin", "rds_superuser", "rds_iam", "rds_replication", "rds_password", "admin", "public"),
            *(
                "none",
                "user",
                "current_user",
                "session_user",
                "current_role",
                "all",
                "table",
                "select",
                "group",
                "role",
            ),
        }
    ),
    name="[A-Za-z_][A-Za-z0-9_]{0,62}",
    longest_name=63,
    longest_password=128,
    database=r"[A-Za-z_]\w{0,62}",
    reserved_databases=frozenset({"rdsadmin", "template0", "template1"}),
)
_CREDENTIAL_RULES = {
    "postgres": _POSTGRES_RULES,
    "aurora-postgresql": _POSTGRES_RULES,
    "mysql": _MYSQL_RULES,
    "aurora-mysql": _MYSQL_RULES,
    "mariadb": _MYSQL_RULES,
}


def check_engine(engine: str, version: str | None, installed: Mapping[str, Collection[str]]) -> str:
    """Return the installed version for a request.

    Args:
        engine: the requested engine.
        version: the requested version: complete, a major version, or None for the preferred one.
        installed: versions by engine, the preferred one first.

    Raises:
        InvalidValueError: the engine is not installed; the message names those that are.
    """
    versions = installed.get(engine)
    if not versions:
        offered = "; ".join(f"{name} {', '.join(have)}" for name, have in installed.items() if have)
        raise InvalidValueError(
            f"Invalid DB engine: {engine}. The local RDS has {offered or 'no engine at all'}; "
            "see `rdskit local doctor` for what to install."
        )
    # A version that ends at a point matches: "18" finds 18.6, but "1" does not.
    for each in versions:
        if version is None or each == version or each.startswith(f"{version}."):
            return each
    raise InvalidCombinationError(
        f"Cannot find version {version} for {engine}. The local RDS has {', '.join(versions)}."
    )


def check_database_name(name: str | None, engine: str) -> None:
    """Refuse a name of an initial database that RDS refuses."""
    if name is None:
        return
    rules = _CREDENTIAL_RULES[engine]
    if name.lower() in rules.reserved_databases or not re.fullmatch(rules.database, name, re.ASCII):
        raise InvalidValueError(f"The parameter DBName is not valid: {name!r} cannot name a {engine} database.")


def check_master_credentials(user: str | None, password: str | None, engine: str, *, managed: bool) -> None:
    """Refuse a master user or a password that RDS refuses."""
    rules = _CREDENTIAL_RULES[engine]
    if not user:
        raise InvalidValueError("The parameter MasterUsername must be provided and must not be blank.")
    if user.lower() in rules.reserved or user.lower().startswith(("pg_", "rds_", "mysql.")):
        raise InvalidValueError(f"MasterUsername {user} cannot be used as it is a reserved word used by the engine")
    if not re.fullmatch(rules.name, user):
        raise InvalidValueError(
            f"The parameter MasterUsername is not a valid identifier: {user[:80]!r}. It begins with a letter, and has "
            f"at most {rules.longest_name} letters, digits and underscores for {engine}."
        )
    if managed and password:
        raise InvalidCombinationError("You can't specify MasterUserPassword when ManageMasterUserPassword is enabled.")
    if not managed:
        check_password(password, engine)


def check_password(password: str | None, engine: str) -> None:
    """Refuse a master password that RDS refuses."""
    if not password:
        raise InvalidValueError("The parameter MasterUserPassword must be provided and must not be blank.")
    longest = _CREDENTIAL_RULES[engine].longest_password
    if not _SHORTEST_PASSWORD <= len(password) <= longest:
        raise InvalidValueError(
            "The parameter MasterUserPassword is not a valid password because it must have "
            f"{_SHORTEST_PASSWORD} to {longest} characters."
        )
    if _FORBIDDEN_IN_PASSWORD & set(password) or not password.isprintable() or not password.isascii():
        raise InvalidValueError(
            "The parameter MasterUserPassword is not a valid password. "
            "Only printable ASCII characters besides '/', '@', '\"', ' ' may be used."
        )


def check_stands_alone(engine: str) -> None:
    """Refuse an instance of an Aurora engine without a cluster."""
    if engine.startswith("aurora"):
        raise InvalidCombinationError(f"An instance of {engine} belongs to a DB cluster: give DBClusterIdentifier.")


def check_no_member(identifier: str, cluster: str | None) -> None:
    """Refuse an operation on a cluster's instance that belongs to the cluster."""
    if cluster:
        raise InvalidCombinationError(f"{identifier} is an instance of the DB cluster {cluster}: this is not for it.")


def check_usable(identifier: str, status: str) -> None:
    """Refuse an operation that needs a running instance."""
    if status != "available":
        raise InvalidStateError(f"Database instance {identifier} is not in available state, it is {status}.")


def check_changeable(identifier: str, status: str) -> None:
    """Refuse to modify or reboot an instance that is not available."""
    # Modifying and rebooting is how a user repairs incompatible parameters.
    if status != "incompatible-parameters":
        check_usable(identifier, status)


def check_modifiable(identifier: str, status: str, *, present: int, storage: int | None) -> None:
    """Refuse to modify an instance that is not available, and to reduce its storage.

    An instance in status ``storage-full`` accepts only a request for more storage.

    Args:
        identifier: name of the instance.
        status: its status.
        present: its allocated storage in GiB.
        storage: the requested storage; None for no change.
    """
    if storage is not None and storage < present:
        raise InvalidCombinationError(
            f"Requested allocated storage {storage} GiB is less than that of {identifier}, {present} GiB."
        )
    if status != "storage-full" or (storage or 0) <= present:
        check_changeable(identifier, status)


def check_stoppable(identifier: str, status: str, *, replicas: Collection[str], source: str | None) -> None:
    """Refuse to stop an instance that RDS cannot stop."""
    if source:
        raise InvalidStateError(f"Cannot stop {identifier}: it is a read replica of {source}.")
    if replicas:
        raise InvalidStateError(f"Cannot stop {identifier}: it has read replicas ({', '.join(replicas)}).")
    if status != "available":
        raise InvalidStateError(f"Instance {identifier} is not in available state.")


def check_startable(identifier: str, status: str) -> None:
    """Refuse to start an instance that is not stopped."""
    if status != "stopped":
        raise InvalidStateError(f"Instance {identifier} is not stopped, it cannot be started.")


def check_failover(identifier: str, *, multi_az: bool, forced: bool) -> None:
    """Refuse a forced failover without a standby."""
    if forced and not multi_az:
        raise InvalidCombinationError(f"You can't force a failover of {identifier}: it isn't configured for Multi-AZ.")


def check_delete(
    identifier: str, status: str, *, protected: bool, skip_snapshot: bool, final_snapshot: str | None
) -> None:
    """Refuse a deletion that RDS refuses, and one that needs a snapshot."""
    if status == "deleting":
        raise InvalidStateError(f"Instance {identifier} is already being deleted.")
    if status not in SETTLED:
        raise InvalidStateError(f"Instance {identifier} is currently {status} - try again later.")
    if protected:
        raise InvalidCombinationError(
            "Cannot delete protected DB Instance, please disable deletion protection and try again."
        )
    if skip_snapshot and final_snapshot:
        raise InvalidCombinationError(
            "FinalDBSnapshotIdentifier can not be specified when deleting with SkipFinalSnapshot."
        )
    if not skip_snapshot and not final_snapshot:
        raise InvalidCombinationError("FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.")
    check_no_snapshot(final_snapshot)


def check_no_snapshot(identifier: str | None) -> None:
    """Refuse a snapshot: the local RDS takes none."""
    if identifier:
        raise InvalidCombinationError(
            f"The local RDS takes no snapshots yet, so {identifier} cannot be made: leave it out "
            "(when deleting: SkipFinalSnapshot)."
        )


def check_replica(identifier: str, *, is_replica: bool) -> None:
    """Refuse to promote an instance that is not a replica."""
    if not is_replica:
        raise InvalidStateError(f"DB instance {identifier} is not a read replica.")


def check_replicas_settled(identifier: str, replicas: Mapping[str, str]) -> None:
    """Refuse to delete a source whose replicas (name → status) cannot be promoted first."""
    for name, status in replicas.items():
        if status not in ("available", "failed"):
            raise InvalidStateError(f"Cannot delete {identifier} now: its read replica {name} is {status}.")


def check_group_family(group: str, family: str | None, wanted: str) -> None:
    """Refuse a parameter group of another engine or major version."""
    if family != wanted:
        raise InvalidCombinationError(
            f"The Parameter Group {group} with DBParameterGroupFamily {family} can't be used for this instance. "
            f"Please use a Parameter Group with DBParameterGroupFamily {wanted}"
        )


def zones(region: str, asked: str | None) -> tuple[str, str]:
    """Return the zone of the primary and that of its standby.

    Args:
        region: such as ``eu-west-1``.
        asked: the requested availability zone, or None.

    Raises:
        InvalidValueError: the zone is not in the region.
    """
    first = asked or f"{region}a"
    if not re.fullmatch(rf"{re.escape(region)}[a-f]", first):
        raise InvalidValueError(f"Invalid availability zone: {first} is not in {region}.")
    return first, f"{region}{'b' if first.endswith('a') else 'a'}"
