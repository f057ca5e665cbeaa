"""Select the settings of a new instance, from its request or from its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["inherited_from", "settings_of"]

_SETTINGS = (
    "db_instance_identifier",
    "db_instance_class",
    "engine",
    "port",
    "allocated_storage",
    "max_allocated_storage",
    "backup_retention_period",
    "auto_minor_version_upgrade",
    "db_name",
    "db_subnet_group_name",
    "db_parameter_group_name",
    "copy_tags_to_snapshot",
    "iops",
    "master_username",
    "multi_az",
    "preferred_backup_window",
    "preferred_maintenance_window",
    "publicly_accessible",
    "storage_type",
    "storage_encrypted",
    "kms_key_id",
    "tags",
    "vpc_security_group_ids",
    "deletion_protection",
    "option_group_name",
    "enable_cloudwatch_logs_exports",
    "enable_iam_database_authentication",
    "storage_throughput",
    "monitoring_interval",
    "monitoring_role_arn",
)
_INHERITED = (
    "engine",
    "engine_version",
    "allocated_storage",
    "db_name",
    "master_username",
    "storage_type",
    "db_parameter_group_name",
    "db_instance_class",
    "port",
    "storage_encrypted",
)


def settings_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a creation request, without password, zones and engine version."""
    return {name: request[name] for name in _SETTINGS if request.get(name) is not None}


def inherited_from(source: object) -> dict[str, Any]:
    """Return the settings that a read replica inherits from its source, unless its request overrides them."""
    values = {name: getattr(source, name) for name in _INHERITED}
    return {name: value for name, value in values.items() if value is not None}
