"""What an instance's status is after a step that its servers could not do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from rdskit.errors import LocalError
from rdskit.local.control.monitor import Monitor
from rdskit.local.control.rds import steps
from rdskit.local.control.rds.workflows import Workflows
from tests.local.control.conftest import until

PARAMETERS = {"work_mem": "16MB"}
OVER = "notice: db-ORDERS cannot fail over"
DOWN = "parameters-refused: db-ORDERS cannot start"


class Servers:
    """Take every parameter, and cannot restart."""

    def apply_parameters(self, resource_id: str, parameters: dict[str, str]) -> frozenset[str]:
        assert resource_id
        assert parameters == PARAMETERS
        return frozenset()

    def reboot(self, resource_id: str, *, force_failover: bool = False) -> None:
        raise LocalError(f"{resource_id} cannot {'fail over' if force_failover else 'start'}")


class Recorder:
    """What became of the steps, in words."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def record(self, _: object, kind: str, *, reason: str = "") -> None:
        assert (kind, reason) == ("class-started", "")

    def give_up(self, _: object, step: steps.Step, reason: str) -> None:
        self.told.append(f"{step.failed}: {reason}")


@pytest.mark.parametrize(
    ("step", "meanwhile", "status", "told"),
    [
        (steps.FailOver(PARAMETERS), "rebooting", "available", OVER),
        (steps.Reboot(PARAMETERS), "rebooting", "incompatible-parameters", DOWN),
        (steps.ScaleOver(PARAMETERS, "db.r6g.large"), "modifying", "available", OVER),
        (steps.Scale(PARAMETERS, "db.r6g.large"), "modifying", "incompatible-parameters", DOWN),
    ],
)
def test_a_failover_that_cannot_be_done_is_no_fault_of_the_parameters(
    step: steps.Step, meanwhile: str, status: str, told: str
) -> None:
    recorder, monitor = Recorder(), Monitor()
    workflows = Workflows(cast("Any", Servers()), monitor, lambda: None)
    subject = SimpleNamespace(resource_id="db-ORDERS")
    instance: Any = SimpleNamespace(
        dbi_resource_id="db-ORDERS",
        db_instance_identifier="orders",
        status="available",
        steps=[],
        backend=recorder,
        subject=lambda: subject,
    )
    with monitor:
        workflows.begin(instance, step)
        assert instance.status == meanwhile
    until(lambda: not instance.steps)
    workflows.close(10)
    assert (instance.status, recorder.told) == (status, [told])
