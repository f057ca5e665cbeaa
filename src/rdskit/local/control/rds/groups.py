"""Manage parameter groups, and apply their values to real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.rds.exceptions import DBParameterGroupNotFoundError

from rdskit.local.control.rds import steps
from rdskit.local.control.rds.parameters import Assignment, check_assignment
from rdskit.local.control.rds.rds_errors import InvalidGroupStateError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from moto.rds.models import DBParameterGroup

    from rdskit.local.control.rds.instance import LocalDBInstance
    from rdskit.local.control.rds.models import LocalRDSBackend

__all__ = ["ParameterGroups"]


class ParameterGroups:
    """The parameter groups of one account and region.

    Args:
        backend: the backend with the groups and the instances; every method is called inside the monitor.
    """

    def __init__(self, backend: LocalRDSBackend) -> None:
        self._backend = backend

    def create(self, request: Mapping[str, Any]) -> DBParameterGroup:
        """Create an empty group of a family that an installed engine has."""
        # Raises for an unknown family. May release the monitor while the engine is asked.
        self._backend.engines.parameters(request["db_parameter_group_family"])
        return self._backend.create_db_parameter_group(dict(request))

    def modify(self, name: str, assignments: Sequence[Assignment]) -> DBParameterGroup:
        """Set values, and apply the immediate ones to running servers of all instances that use the group."""
        group = self._changeable(name)
        known = self._backend.engines.parameters(group.family or "")
        # All are checked before any is set: a refused request must change nothing.
        for each in assignments:
            check_assignment(known.get(each.name), each)
        for each in assignments:
            group.parameters[each.name] = {"ParameterValue": each.value, "ApplyMethod": each.method}
        changed = {each.name for each in assignments if each.method == "immediate"}
        self._apply(group, changed, waiting={each.name for each in assignments} - changed)
        return group

    def reset(self, name: str, chosen: Iterable[Assignment] | None) -> DBParameterGroup:
        """Reset values to the engine's defaults.

        Args:
            name: name of the group.
            chosen: parameters and how to apply each; None resets all, dynamic ones at once.
        """
        group = self._changeable(name)
        known = self._backend.engines.parameters(group.family or "")
        if chosen is None:
            immediate = {each for each in group.parameters if not known[each].static}
            waiting = set(group.parameters) - immediate
        else:
            asked = list(chosen)
            immediate = {each.name for each in asked if each.method == "immediate"}
            waiting = {each.name for each in asked} - immediate
        for each in immediate | waiting:
            group.parameters.pop(each, None)
        self._apply(group, immediate, waiting)
        return group

    def delete(self, name: str) -> None:
        """Delete a group that no instance uses."""
        group = self._changeable(name)
        users = [each.db_instance_identifier for each in self._users(group)]
        if users:
            raise InvalidGroupStateError(
                f"One or more database instances are still members of {name}: {', '.join(users)}"
            )
        self._backend.delete_db_parameter_group(name)

    def describe(self, name: str, source: str | None) -> list[dict[str, object]]:
        """Return every parameter with the group's value or the default, optionally of one source only."""
        group = self._group(name)
        known = self._backend.engines.parameters(group.family or "")
        assignments = {
            each: Assignment(each, value["ParameterValue"], value["ApplyMethod"])
            for each, value in group.parameters.items()
        }
        described = [known[each].described(assignments.get(each)) for each in sorted(known)]
        return [each for each in described if source in (None, each["Source"])]

    def _group(self, name: str) -> DBParameterGroup:
        if group := self._backend.db_parameter_groups.get(name):
            return group
        for instance in self._backend.instances():
            # moto creates a default group when an instance's groups are first read.
            if (group := instance.db_parameter_groups()[0]).name == name:
                return group
        raise DBParameterGroupNotFoundError(name)

    def _changeable(self, name: str) -> DBParameterGroup:
        if name.startswith("default."):
            raise InvalidValueError(f"The parameter group {name} cannot be modified: create one of your own.")
        return self._group(name)

    def _users(self, group: DBParameterGroup) -> list[LocalDBInstance]:
        return [each for each in self._backend.instances() if each.db_parameter_group_name == group.name]

    def _apply(self, group: DBParameterGroup, immediate: set[str], waiting: set[str]) -> None:
        values = {name: each["ParameterValue"] for name, each in group.parameters.items()}
        for instance in self._users(group):
            # "pending-reboot" stays until the reboot, even if later changes apply at once.
            if waiting:
                instance.parameter_apply_status = "pending-reboot"
            if immediate and instance.status == "available" and instance.parameter_apply_status != "pending-reboot":
                instance.parameter_apply_status = "applying"
            if immediate:
                self._apply_now(instance, values, immediate)

    def _apply_now(self, instance: LocalDBInstance, values: Mapping[str, str], immediate: set[str]) -> None:
        # Only the immediate values: the others of the group wait for the reboot, and must not reach the servers
        # earlier.
        kept = {name: value for name, value in instance.applied_parameters.items() if name not in immediate}
        instance.applied_parameters = kept | {name: values[name] for name in immediate if name in values}
        if instance.status not in ("stopped", "failed"):
            self._backend.workflows.begin(instance, steps.ApplyParameters(instance.applied_parameters))
