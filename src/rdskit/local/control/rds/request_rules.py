"""Check names and sizes in a request as RDS does, before the action is performed.

Source: Amazon RDS API Reference, "Constraints" of each parameter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from rdskit.local.control.rds.rds_errors import InvalidCombinationError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_request"]

_HYPHENATED: Final = re.compile(r"[A-Za-z](-?[A-Za-z0-9])*")
_SUBNET_GROUP: Final = re.compile(r"[A-Za-z0-9._ -]{1,255}")
_TAG: Final = re.compile(r"[\w\s.:/=+@-]*")
_LONGEST_KEY, _LONGEST_VALUE, _MOST_TAGS = 128, 256, 50

#: The parameter with the new name of each action, and its greatest length.
_NEW: Final[Mapping[str, tuple[str, int]]] = {
    "CreateDBInstance": ("DBInstanceIdentifier", 63),
    "CreateDBInstanceReadReplica": ("DBInstanceIdentifier", 63),
    "ModifyDBInstance": ("NewDBInstanceIdentifier", 63),
    "CreateDBCluster": ("DBClusterIdentifier", 63),
    "CreateDBClusterEndpoint": ("DBClusterEndpointIdentifier", 63),
    "CreateDBParameterGroup": ("DBParameterGroupName", 255),
    "CopyDBParameterGroup": ("TargetDBParameterGroupIdentifier", 255),
    "CreateEventSubscription": ("SubscriptionName", 255),
}
_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "Port": (1150, 65535),
    "DBPortNumber": (1150, 65535),
    "MaxAllocatedStorage": (20, 65536),
    "BackupRetentionPeriod": (0, 35),
    "Iops": (1000, 256_000),
    "StorageThroughput": (125, 4000),
    "PromotionTier": (0, 15),
}
_STORAGE: Final[Mapping[str, tuple[int, int]]] = {
    "gp2": (20, 65536),
    "gp3": (20, 65536),
    "io1": (100, 65536),
    "io2": (100, 65536),
    "standard": (5, 3072),
}
_INTERVALS: Final = (0, 1, 5, 10, 15, 30, 60)


def check_request(action: str, request: Mapping[str, Any]) -> None:
    """Refuse names and sizes that RDS refuses.

    Args:
        action: such as ``CreateDBInstance``.
        request: the parameters, by RDS's names.

    Raises:
        InvalidValueError: a name or a size is invalid.
        InvalidCombinationError: two sizes contradict each other.
    """
    if action in _NEW:
        name, longest = _NEW[action]
        _check_name(name, request.get(name), longest)
    if action == "CreateDBSubnetGroup":
        _check_subnet_group(str(request.get("DBSubnetGroupName") or ""))
    for name, (least, most) in _RANGES.items():
        _check_range(name, request.get(name), least, most)
    _check_storage(request, new=action.startswith("Create"))
    _check_tags(request.get("Tags") or ())
    if request.get("MonitoringInterval", 0) not in _INTERVALS:
        allowed = ", ".join(map(str, _INTERVALS))
        raise InvalidValueError(f"Invalid MonitoringInterval {request['MonitoringInterval']}: it is one of {allowed}.")


def _check_name(parameter: str, value: Any, longest: int) -> None:
    # ModifyDBInstance without a new name. For the other actions the name is required.
    if value is None and parameter.startswith("New"):
        return
    text = str(value or "")
    if len(text) > longest or not _HYPHENATED.fullmatch(text):
        raise InvalidValueError(
            f"The parameter {parameter} is not a valid identifier: {text[:80]!r}. Identifiers have at most {longest} "
            "characters, begin with a letter, contain only ASCII letters, digits and hyphens, and must not end with a "
            "hyphen or contain two consecutive hyphens."
        )


def _check_subnet_group(name: str) -> None:
    if name.lower() == "default" or not _SUBNET_GROUP.fullmatch(name):
        raise InvalidValueError(
            f"The parameter DBSubnetGroupName is not valid: {name[:80]!r}. It has at most 255 letters, digits, "
            "periods, underscores, spaces and hyphens, and is not 'default'."
        )


def _check_range(parameter: str, value: Any, least: int, most: int) -> None:
    if value is not None and not least <= int(value) <= most:
        raise InvalidValueError(f"Invalid {parameter} {value}: it must be from {least} to {most}.")


def _check_storage(request: Mapping[str, Any], *, new: bool) -> None:
    size, kind = request.get("AllocatedStorage"), str(request.get("StorageType") or "gp2")
    if kind not in _STORAGE:
        raise InvalidValueError(f"Invalid storage type: {kind}. Valid types are {', '.join(_STORAGE)}.")
    if size is None or str(request.get("Engine", "")).startswith("aurora"):
        return
    # The lower limit of a modification is the present size, which only the instance knows: see rules.check_modifiable.
    least, most = _STORAGE[kind] if new else (1, 65536)
    _check_range("AllocatedStorage", size, least, most)
    maximum = request.get("MaxAllocatedStorage")
    if maximum is not None and int(maximum) < int(size):
        raise InvalidCombinationError(f"MaxAllocatedStorage {maximum} is less than AllocatedStorage {size}.")


def _check_tags(tags: Any) -> None:
    if len(tags) > _MOST_TAGS:
        raise InvalidValueError(f"A resource has at most {_MOST_TAGS} tags, not {len(tags)}.")
    for tag in tags:
        key, value = str(tag.get("Key") or ""), str(tag.get("Value") or "")
        fits = 0 < len(key) <= _LONGEST_KEY and len(value) <= _LONGEST_VALUE
        if not fits or key.lower().startswith("aws:") or not _TAG.fullmatch(key + value):
            raise InvalidValueError(
                f"The tag {key[:80]!r} is not valid: a key has 1 to {_LONGEST_KEY} characters and does not begin with "
                f"'aws:', a value has at most {_LONGEST_VALUE}; letters, digits, spaces and _.:/=+-@ are allowed."
            )
