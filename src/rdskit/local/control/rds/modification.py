"""Plan a ModifyDBInstance request: which changes apply at once, need the servers, or wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rdskit.local.control.rds.rds_errors import InvalidCombinationError, InvalidValueError
from rdskit.local.control.rds.rules import check_password

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Current", "Modification", "plan"]

_DEFERRED = ("MultiAZ", "DBInstanceClass", "AllocatedStorage", "Iops", "StorageType", "StorageThroughput")
"""Settings that wait for the next call with ApplyImmediately. There is no maintenance window here."""

_AT_ONCE = (
    "AutoMinorVersionUpgrade",
    "BackupRetentionPeriod",
    "CopyTagsToSnapshot",
    "DeletionProtection",
    "MaxAllocatedStorage",
    "MonitoringInterval",
    "MonitoringRoleArn",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "PubliclyAccessible",
    "VpcSecurityGroupIds",
    "CACertificateIdentifier",
    "EnableIAMDatabaseAuthentication",
)


@dataclass(frozen=True, slots=True)
class Current:
    """The instance's settings before the request."""

    identifier: str
    engine: str
    engine_version: str
    port: int
    instance_class: str
    multi_az: bool
    managed_password: bool
    replica: bool


@dataclass(frozen=True, slots=True)
class Modification:
    """The changes that a request makes.

    Attributes:
        settings: RDS names and new values that apply at once.
        multi_az: convert to Multi-AZ (True) or Single-AZ (False) now; None for no change.
        instance_class: change to this class now, which restarts the servers; None for no change.
        password: a new master password, or None.
        manage_password: create (True) or remove (False) the managed secret; None for no change.
        rotate: whether to give the managed secret a new random password.
        parameter_group: the group to associate, or None.
        new_identifier: the new name of the instance, or None.
        pending: all changes that wait after this request.
    """

    settings: dict[str, Any]
    multi_az: bool | None
    instance_class: str | None
    password: str | None
    manage_password: bool | None
    rotate: bool
    parameter_group: str | None
    new_identifier: str | None
    pending: dict[str, Any]


def plan(current: Current, request: Mapping[str, Any], pending: Mapping[str, Any]) -> Modification:
    """Decide what a request changes, and when.

    Args:
        current: the instance's settings.
        request: the parameters of ModifyDBInstance, by their RDS names.
        pending: PendingModifiedValues so far; applied now if this request applies immediately.

    Raises:
        InvalidCombinationError, InvalidValueError: RDS refuses the request, or the local servers cannot do it.
    """
    _check(current, request)
    immediately = bool(request.get("ApplyImmediately"))
    # As on RDS, a call with ApplyImmediately also applies what earlier calls left pending.
    waiting = {**pending, **{name: request[name] for name in _DEFERRED if request.get(name) is not None}}
    # A request for the current class withdraws a pending change.
    if waiting.get("DBInstanceClass") == current.instance_class:
        del waiting["DBInstanceClass"]
    settings = {name: request[name] for name in _AT_ONCE if request.get(name) is not None}
    if immediately:
        settings.update(waiting)
        waiting = {}
    multi_az = settings.pop("MultiAZ", None)
    return Modification(
        settings=settings,
        multi_az=multi_az if multi_az != current.multi_az else None,
        instance_class=settings.pop("DBInstanceClass", None),
        password=request.get("MasterUserPassword"),
        manage_password=_changed_management(current, request),
        rotate=bool(request.get("RotateMasterUserPassword")),
        parameter_group=request.get("DBParameterGroupName"),
        new_identifier=request.get("NewDBInstanceIdentifier"),
        pending=waiting,
    )


def _changed_management(current: Current, request: Mapping[str, Any]) -> bool | None:
    asked = request.get("ManageMasterUserPassword")
    return bool(asked) if asked is not None and bool(asked) != current.managed_password else None


def _check(current: Current, request: Mapping[str, Any]) -> None:
    password = request.get("MasterUserPassword")
    manage = request.get("ManageMasterUserPassword")
    if password is not None:
        _check_new_password(current, password, manage)
    elif manage is False and current.managed_password:
        raise InvalidCombinationError(
            "You must specify MasterUserPassword when you set ManageMasterUserPassword to false."
        )
    if request.get("RotateMasterUserPassword"):
        _check_rotation(current, request)
    # With a point after both, so that "18.1" is not a prefix of "18.10".
    version = request.get("EngineVersion")
    if version is not None and not f"{current.engine_version}.".startswith(f"{version}."):
        raise InvalidCombinationError(
            f"Cannot upgrade {current.identifier} from {current.engine_version} to {version}: "
            "the local RDS does not upgrade engines yet."
        )
    port = request.get("DBPortNumber")
    if port not in (None, current.port):
        raise InvalidValueError(f"The local RDS cannot change the port of {current.identifier}, it is {current.port}.")


def _check_new_password(current: Current, password: str, manage: object) -> None:
    if manage or (current.managed_password and manage is None):
        raise InvalidCombinationError(
            "You can't specify MasterUserPassword for an instance with ManageMasterUserPassword enabled."
        )
    if current.replica:
        raise InvalidCombinationError(f"{current.identifier} is a read replica: change the password on its source.")
    check_password(password, current.engine)


def _check_rotation(current: Current, request: Mapping[str, Any]) -> None:
    if not request.get("ApplyImmediately"):
        raise InvalidCombinationError("You must specify apply immediately when rotating the master user password.")
    if not current.managed_password:
        raise InvalidCombinationError(f"{current.identifier} does not manage its master password: nothing to rotate.")
