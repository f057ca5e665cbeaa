"""Parameter groups: their values are in force on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local.control.conftest import PASSWORD, until

if TYPE_CHECKING:
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef

    from tests.local.control.conftest import LocalRdsDaemon


@pytest.fixture
def group(local: LocalRdsDaemon) -> str:
    family = local.rds.describe_db_engine_versions(Engine="postgres")["DBEngineVersions"][0]["DBParameterGroupFamily"]
    local.rds.create_db_parameter_group(DBParameterGroupName="tuned", DBParameterGroupFamily=family, Description="x")
    return "tuned"


def setting(local: LocalRdsDaemon, instance: DBInstanceTypeDef, name: str) -> str:
    with local.connect(instance) as connection:
        row = connection.execute("select current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def apply_status(local: LocalRdsDaemon, identifier: str) -> str:
    return local.describe(identifier)["DBParameterGroups"][0]["ParameterApplyStatus"]


def parameter(local: LocalRdsDaemon, group: str, name: str) -> dict[str, Any]:
    pages = local.rds.get_paginator("describe_db_parameters").paginate(DBParameterGroupName=group)
    return next(dict(each) for page in pages for each in page["Parameters"] if each["ParameterName"] == name)


def test_values_are_in_force_from_creation_on_and_change(local: LocalRdsDaemon, group: str) -> None:
    rds = local.rds

    def assign(name: str, value: str, method: Any) -> None:
        change: Any = {"ParameterName": name, "ParameterValue": value, "ApplyMethod": method}
        rds.modify_db_parameter_group(DBParameterGroupName=group, Parameters=[change])

    assign("work_mem", "8192", "immediate")
    assign("max_connections", "60", "pending-reboot")
    instance = local.create("tuned", DBParameterGroupName=group)
    assert setting(local, instance, "work_mem") == "8MB"
    assert setting(local, instance, "max_connections") == "60"
    assert apply_status(local, "tuned") == "in-sync"

    assign("work_mem", "16384", "immediate")
    until(lambda: apply_status(local, "tuned") == "in-sync")
    assert setting(local, instance, "work_mem") == "16MB"

    assign("max_connections", "70", "pending-reboot")
    assert apply_status(local, "tuned") == "pending-reboot"
    assert setting(local, instance, "max_connections") == "60"
    rds.reboot_db_instance(DBInstanceIdentifier="tuned")
    assert setting(local, local.settle("tuned"), "max_connections") == "70"
    assert apply_status(local, "tuned") == "in-sync"

    described = parameter(local, group, "work_mem")
    assert (described["ParameterValue"], described["Source"], described["ApplyType"]) == ("16384", "user", "dynamic")
    rds.reset_db_parameter_group(DBParameterGroupName=group, ResetAllParameters=True)
    until(lambda: setting(local, instance, "work_mem") == "4MB")
    assert apply_status(local, "tuned") == "pending-reboot"

    with pytest.raises(ClientError, match="still members of tuned: tuned"):
        rds.delete_db_parameter_group(DBParameterGroupName=group)
    local.delete("tuned")
    rds.delete_db_parameter_group(DBParameterGroupName=group)


def test_default_group_describes_the_engine_and_cannot_be_modified(local: LocalRdsDaemon) -> None:
    instance = local.create("plain")
    name = instance["DBParameterGroups"][0]["DBParameterGroupName"]
    assert parameter(local, name, "work_mem")["Source"] == "engine-default"
    change: Any = {"ParameterName": "work_mem", "ParameterValue": "8192", "ApplyMethod": "immediate"}
    with pytest.raises(ClientError, match="cannot be modified"):
        local.rds.modify_db_parameter_group(DBParameterGroupName=name, Parameters=[change])
    defaults = local.rds.describe_engine_default_parameters(DBParameterGroupFamily=name.removeprefix("default."))
    assert len(defaults["EngineDefaults"]["Parameters"]) == 100
    assert defaults["EngineDefaults"]["Marker"]
    local.delete("plain")


def test_values_that_no_server_can_run_with_are_reported_and_repaired(local: LocalRdsDaemon) -> None:
    rds = local.rds
    family = rds.describe_db_engine_versions(Engine="postgres")["DBEngineVersions"][0]["DBParameterGroupFamily"]
    rds.create_db_parameter_group(DBParameterGroupName="greedy", DBParameterGroupFamily=family, Description="x")
    change: Any = {"ParameterName": "shared_buffers", "ParameterValue": "1000000000", "ApplyMethod": "pending-reboot"}
    rds.modify_db_parameter_group(DBParameterGroupName="greedy", Parameters=[change])

    rds.create_db_instance(
        DBInstanceIdentifier="never",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        MasterUsername="app",
        MasterUserPassword=PASSWORD,
        DBParameterGroupName="greedy",
    )
    until(lambda: local.describe("never")["DBInstanceStatus"] == "failed")
    assert any("creation failed" in message for message in local.messages("never"))
    local.delete("never")

    local.create("repaired")
    rds.modify_db_instance(DBInstanceIdentifier="repaired", DBParameterGroupName="greedy")
    assert apply_status(local, "repaired") == "pending-reboot"
    rds.reboot_db_instance(DBInstanceIdentifier="repaired")
    until(lambda: local.describe("repaired")["DBInstanceStatus"] == "incompatible-parameters")
    assert any("incompatible-parameters" in message for message in local.messages("repaired"))
    rds.reset_db_parameter_group(DBParameterGroupName="greedy", ResetAllParameters=True)
    rds.reboot_db_instance(DBInstanceIdentifier="repaired")
    local.connect(local.settle("repaired")).close()
    local.delete("repaired")
    rds.delete_db_parameter_group(DBParameterGroupName="greedy")
