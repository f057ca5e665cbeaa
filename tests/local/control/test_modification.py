"""Plans of ModifyDBInstance requests, as plain values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rdskit.local.control.rds.modification import Current, plan
from rdskit.local.control.rds.rds_errors import InvalidCombinationError, InvalidValueError

BEFORE = Current(
    "db",
    engine="postgres",
    engine_version="18.6",
    port=5432,
    instance_class="db.t4g.micro",
    multi_az=False,
    managed_password=False,
    replica=False,
)
MANAGED = replace(BEFORE, managed_password=True)


def test_settings_without_servers_change_at_once() -> None:
    change = plan(BEFORE, {"BackupRetentionPeriod": 7, "DeletionProtection": False}, {})
    assert change.settings == {"BackupRetentionPeriod": 7, "DeletionProtection": False}
    assert change.pending == {}


def test_conversion_waits_unless_it_applies_immediately() -> None:
    later = plan(BEFORE, {"MultiAZ": True, "AllocatedStorage": 50}, {})
    assert later.multi_az is None
    assert later.pending == {"MultiAZ": True, "AllocatedStorage": 50}
    now = plan(BEFORE, {"ApplyImmediately": True}, later.pending)
    assert now.multi_az is True
    assert now.settings == {"AllocatedStorage": 50}
    assert now.pending == {}


def test_conversion_to_what_it_is_already_needs_no_servers() -> None:
    assert plan(BEFORE, {"MultiAZ": False, "ApplyImmediately": True}, {}).multi_az is None


def test_another_class_waits_unless_it_applies_immediately() -> None:
    later = plan(BEFORE, {"DBInstanceClass": "db.r6g.large"}, {})
    assert later.instance_class is None
    assert later.pending == {"DBInstanceClass": "db.r6g.large"}
    now = plan(BEFORE, {"ApplyImmediately": True}, later.pending)
    assert now.instance_class == "db.r6g.large"
    assert now.settings == {}, "the API shows the former class until the servers have moved"
    assert now.pending == {}


def test_the_class_that_it_has_already_needs_no_servers_and_withdraws_another_that_waits() -> None:
    same = {"DBInstanceClass": "db.t4g.micro"}
    assert plan(BEFORE, {**same, "ApplyImmediately": True}, {}).instance_class is None
    assert plan(BEFORE, same, {"DBInstanceClass": "db.r6g.large"}).pending == {}


def test_password_is_never_deferred() -> None:
    assert plan(BEFORE, {"MasterUserPassword": "long-enough"}, {}).password == "long-enough"


def test_management_of_the_password_begins_and_ends() -> None:
    assert plan(BEFORE, {"ManageMasterUserPassword": True}, {}).manage_password is True
    assert plan(MANAGED, {"ManageMasterUserPassword": True}, {}).manage_password is None
    end = plan(MANAGED, {"ManageMasterUserPassword": False, "MasterUserPassword": "long-enough"}, {})
    assert (end.manage_password, end.password) == (False, "long-enough")
    assert plan(MANAGED, {"RotateMasterUserPassword": True, "ApplyImmediately": True}, {}).rotate


@pytest.mark.parametrize(
    ("current", "request_", "error", "message"),
    [
        (BEFORE, {"MasterUserPassword": "short"}, InvalidValueError, "8 to 128"),
        (MANAGED, {"MasterUserPassword": "long-enough"}, InvalidCombinationError, "ManageMasterUserPassword"),
        (MANAGED, {"ManageMasterUserPassword": False}, InvalidCombinationError, "must specify MasterUserPassword"),
        (
            BEFORE,
            {"ManageMasterUserPassword": True, "MasterUserPassword": "long-enough"},
            InvalidCombinationError,
            "can't",
        ),
        (MANAGED, {"RotateMasterUserPassword": True}, InvalidCombinationError, "apply immediately"),
        (
            BEFORE,
            {"RotateMasterUserPassword": True, "ApplyImmediately": True},
            InvalidCombinationError,
            "nothing to rotate",
        ),
        (
            replace(BEFORE, replica=True),
            {"MasterUserPassword": "long-enough"},
            InvalidCombinationError,
            "on its source",
        ),
        (BEFORE, {"EngineVersion": "19.1"}, InvalidCombinationError, "from 18.6 to 19.1"),
        (BEFORE, {"DBPortNumber": 5433}, InvalidValueError, "it is 5432"),
    ],
)
def test_request_that_is_refused(
    current: Current, request_: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan(current, request_, {})


def test_version_and_port_that_it_has_already() -> None:
    assert plan(BEFORE, {"EngineVersion": "18", "DBPortNumber": 5432}, {}).settings == {}
