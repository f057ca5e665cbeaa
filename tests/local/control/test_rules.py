"""Refusals of RDS, as plain values."""

from __future__ import annotations

from typing import Any

import pytest

from rdskit.local.control.rds import rules
from rdskit.local.control.rds.rds_errors import InvalidCombinationError, InvalidStateError, InvalidValueError

LONG = "x" * 42
INSTALLED = {"postgres": ("18.6", "17.2")}


@pytest.mark.parametrize(("asked", "found"), [(None, "18.6"), ("18", "18.6"), ("17", "17.2"), ("17.2", "17.2")])
def test_version_asked_for_is_the_one_installed(asked: str | None, found: str) -> None:
    assert rules.check_engine("postgres", asked, INSTALLED) == found


def test_a_version_is_not_matched_by_its_first_digits() -> None:
    with pytest.raises(InvalidCombinationError, match=r"Cannot find version 1 for postgres\. .*18\.6, 17\.2"):
        rules.check_engine("postgres", "1", INSTALLED)


def test_engine_that_is_not_here_names_those_that_are() -> None:
    with pytest.raises(InvalidValueError, match=r"Invalid DB engine: oracle-ee.*postgres 18\.6, 17\.2"):
        rules.check_engine("oracle-ee", None, INSTALLED)


def test_machine_without_engines_says_so() -> None:
    with pytest.raises(InvalidValueError, match="no engine at all"):
        rules.check_engine("postgres", None, {})


@pytest.mark.parametrize("user", [None, "", "postgres", "rdsadmin", "RDSADMIN", "1abc", "a-b", "x" * 64])
def test_master_user_that_rds_refuses(user: str | None) -> None:
    with pytest.raises(InvalidValueError, match="MasterUsername"):
        rules.check_master_credentials(user, "long enough".replace(" ", "-"), "postgres", managed=False)


@pytest.mark.parametrize(
    "password", [None, "", "short", "x" * 129, "has space", "has/slash", 'has"quote', "has@sign", "ümlaut-too"]
)
def test_master_password_that_rds_refuses(password: str | None) -> None:
    with pytest.raises(InvalidValueError, match="MasterUserPassword"):
        rules.check_master_credentials("app", password, "postgres", managed=False)


def test_password_besides_a_managed_one() -> None:
    rules.check_master_credentials("app", None, "postgres", managed=True)
    with pytest.raises(InvalidCombinationError, match="ManageMasterUserPassword"):
        rules.check_master_credentials("app", "long-enough", "postgres", managed=True)


def test_states_that_operations_need() -> None:
    rules.check_usable("db", "available")
    rules.check_startable("db", "stopped")
    rules.check_stoppable("db", "available", replicas=(), source=None)
    with pytest.raises(InvalidStateError, match="db is not in available state, it is creating"):
        rules.check_usable("db", "creating")
    with pytest.raises(InvalidStateError, match="db is not stopped"):
        rules.check_startable("db", "available")
    with pytest.raises(InvalidStateError, match="has read replicas \\(r1, r2\\)"):
        rules.check_stoppable("db", "available", replicas=("r1", "r2"), source=None)
    with pytest.raises(InvalidStateError, match="read replica of src"):
        rules.check_stoppable("db", "available", replicas=(), source="src")
    with pytest.raises(InvalidStateError, match="not in available state"):
        rules.check_stoppable("db", "rebooting", replicas=(), source=None)
    with pytest.raises(InvalidStateError, match="not a read replica"):
        rules.check_replica("db", is_replica=False)


def test_forced_failover_needs_a_standby() -> None:
    rules.check_failover("db", multi_az=True, forced=True)
    rules.check_failover("db", multi_az=False, forced=False)
    with pytest.raises(InvalidCombinationError, match="Multi-AZ"):
        rules.check_failover("db", multi_az=False, forced=True)


@pytest.mark.parametrize(
    ("status", "request_", "message"),
    [
        ("deleting", {"skip_snapshot": True}, "already being deleted"),
        ("creating", {"skip_snapshot": True}, "currently creating"),
        ("available", {"skip_snapshot": True, "protected": True}, "deletion protection"),
        ("available", {"skip_snapshot": True, "final_snapshot": "final"}, "can not be specified"),
        ("available", {}, "is required unless SkipFinalSnapshot"),
        ("available", {"final_snapshot": "final"}, "takes no snapshots yet, so final cannot be made"),
    ],
)
def test_deletion_that_rds_refuses(status: str, request_: dict[str, Any], message: str) -> None:
    asked = {"protected": False, "skip_snapshot": False, "final_snapshot": None, **request_}
    with pytest.raises((InvalidStateError, InvalidCombinationError), match=message):
        rules.check_delete("db", status, **asked)


@pytest.mark.parametrize("status", sorted(rules.SETTLED))
def test_deletion_in_every_settled_status(status: str) -> None:
    rules.check_delete("db", status, protected=False, skip_snapshot=True, final_snapshot=None)


def test_zones_of_a_region() -> None:
    assert rules.zones("eu-west-1", None) == ("eu-west-1a", "eu-west-1b")
    assert rules.zones("eu-west-1", "eu-west-1c") == ("eu-west-1c", "eu-west-1a")
    with pytest.raises(InvalidValueError, match="us-east-1a is not in eu-west-1"):
        rules.zones("eu-west-1", "us-east-1a")


@pytest.mark.parametrize("engine", ["mysql", "mariadb"])
def test_rules_of_mysql_and_mariadb_for_the_master_user(engine: str) -> None:
    rules.check_master_credentials("admin", "long-enough", engine, managed=False)
    for user in ("rdsadmin", "root", "x" * 17):
        with pytest.raises(InvalidValueError, match="MasterUsername"):
            rules.check_master_credentials(user, "long-enough", engine, managed=False)
    with pytest.raises(InvalidValueError, match="8 to 41 characters"):
        rules.check_master_credentials("admin", LONG, engine, managed=False)
    rules.check_database_name("Shop_1", engine)
    with pytest.raises(InvalidValueError, match="DBName"):
        rules.check_database_name("sh`op", engine)
