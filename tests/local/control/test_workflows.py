"""The status of an instance after a step that failed."""

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
    """Servers that accept every parameter and fail to restart."""

    def apply_parameters(self, resource_id: str, parameters: dict[str, str]) -> frozenset[str]:
        assert resource_id
        assert parameters == PARAMETERS
        return frozenset()

    def reboot(self, resource_id: str, *, force_failover: bool = False) -> None:
        raise LocalError(f"{resource_id} cannot {'fail over' if force_failover else 'start'}")


class Recorder:
    """Collects the results of steps as texts."""

    def __init__(self) -> None:
        self.results: list[str] = []

    def record(self, _: object, kind: str, *, reason: str = "") -> None:
        assert (kind, reason) == ("class-started", "")

    def give_up(self, _: object, step: steps.Step, reason: str) -> None:
        self.results.append(f"{step.failed}: {reason}")


@pytest.mark.parametrize(
    ("step", "during", "status", "result"),
    [
        (steps.FailOver(PARAMETERS), "rebooting", "available", OVER),
        (steps.Reboot(PARAMETERS), "rebooting", "incompatible-parameters", DOWN),
        (steps.ScaleOver(PARAMETERS, "db.r6g.large"), "modifying", "available", OVER),
        (steps.Scale(PARAMETERS, "db.r6g.large"), "modifying", "incompatible-parameters", DOWN),
    ],
)
def test_a_failed_failover_is_not_blamed_on_the_parameters(
    step: steps.Step, during: str, status: str, result: str
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
        assert instance.status == during
    until(lambda: not instance.steps)
    workflows.close(10)
    assert (instance.status, recorder.results) == (status, [result])
