"""Names and sizes that RDS refuses are refused, before anything is created."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from rdskit.local.control.rds.rds_errors import InvalidCombinationError, InvalidValueError
from rdskit.local.control.rds.request_rules import check_request
from rdskit.local.control.rds.rules import check_database_name, check_master_credentials

if TYPE_CHECKING:
    from tests.local.control.conftest import LocalRdsDaemon

NAMES = {
    "CreateDBInstance": "DBInstanceIdentifier",
    "CreateDBInstanceReadReplica": "DBInstanceIdentifier",
    "ModifyDBInstance": "NewDBInstanceIdentifier",
    "CreateDBCluster": "DBClusterIdentifier",
    "CreateDBClusterEndpoint": "DBClusterEndpointIdentifier",
    "CreateDBParameterGroup": "DBParameterGroupName",
    "CopyDBParameterGroup": "TargetDBParameterGroupIdentifier",
    "CreateEventSubscription": "SubscriptionName",
}
BAD = ("", "1a", "-a", "a-", "a--b", "a_b", "a.b", "a b", "a/b", "../a", "a\n", "é", "a\0", "a" * 256, "default.x")


@pytest.mark.parametrize("action", NAMES)
def test_identifiers(action: str) -> None:
    for good in ("a", "A1", "orders-2", "a" * 63):
        check_request(action, {NAMES[action]: good})
    for bad in BAD:
        with pytest.raises(InvalidValueError, match=f"{NAMES[action]} is not a valid identifier"):
            check_request(action, {NAMES[action]: bad})


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"Port": 1149}, "from 1150 to 65535"),
        ({"Port": 65536}, "from 1150 to 65535"),
        ({"Port": -1}, "from 1150"),
        ({"AllocatedStorage": 19}, "from 20 to 65536"),
        ({"AllocatedStorage": 65537}, "from 20 to 65536"),
        ({"AllocatedStorage": 99, "StorageType": "io1"}, "from 100"),
        ({"AllocatedStorage": 4, "StorageType": "standard"}, "from 5 to 3072"),
        ({"StorageType": "floppy"}, "Invalid storage type"),
        ({"MaxAllocatedStorage": 10}, "from 20"),
        ({"BackupRetentionPeriod": 36}, "from 0 to 35"),
        ({"BackupRetentionPeriod": -1}, "from 0 to 35"),
        ({"MonitoringInterval": 2}, "one of 0, 1, 5"),
        ({"PromotionTier": 16}, "from 0 to 15"),
        ({"Iops": 1}, "from 1000"),
        ({"Tags": [{"Key": "aws:x", "Value": "y"}]}, "not valid"),
        ({"Tags": [{"Key": "", "Value": "y"}]}, "not valid"),
        ({"Tags": [{"Key": "k", "Value": "v" * 257}]}, "not valid"),
        ({"Tags": [{"Key": "k\0"}]}, "not valid"),
        ({"Tags": [{"Key": f"k{number}"} for number in range(51)]}, "at most 50"),
    ],
    ids=str,
)
def test_sizes_and_tags(parameters: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason):
        check_request("CreateDBInstance", {"DBInstanceIdentifier": "a", **parameters})


def test_what_fits_is_accepted() -> None:
    fine = {"Port": 1150, "AllocatedStorage": 20, "MaxAllocatedStorage": 20, "Tags": [{"Key": "a b", "Value": "ü@x"}]}
    check_request("CreateDBInstance", {"DBInstanceIdentifier": "a", **fine, "MonitoringInterval": 60})
    check_request("CreateDBSubnetGroup", {"DBSubnetGroupName": "my group.1_a"})
    check_request("DescribeDBInstances", {"DBInstanceIdentifier": "arn:aws:rds:eu-west-1:123456789012:db:a"})
    with pytest.raises(InvalidCombinationError, match="less than AllocatedStorage"):
        check_request(
            "CreateDBInstance", {"DBInstanceIdentifier": "a", "AllocatedStorage": 30, "MaxAllocatedStorage": 20}
        )
    for bad in ("default", "Default", "a/b", "a" * 256, ""):
        with pytest.raises(InvalidValueError, match="DBSubnetGroupName"):
            check_request("CreateDBSubnetGroup", {"DBSubnetGroupName": bad})


@pytest.mark.parametrize(
    ("engine", "longest"), [("postgres", 63), ("aurora-postgresql", 63), ("mysql", 16), ("mariadb", 16)]
)
def test_names_of_master_users(engine: str, longest: int) -> None:
    check_master_credentials("a" * longest, "correct-horse", engine, managed=False)
    for bad in ("a" * (longest + 1), "1a", "a-b", "a b", "a'b", 'a"b', "a;b", "ü", "a\n"):
        with pytest.raises(InvalidValueError, match=f"at most {longest}"):
            check_master_credentials(bad, "correct-horse", engine, managed=False)
    for reserved in ("rdsadmin", "RDSADMIN", "rds_superuser", "rds_new", "pg_monitor", "public"):
        with pytest.raises(InvalidValueError, match="reserved word"):
            check_master_credentials(reserved, "correct-horse", engine, managed=False)


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("postgres", "template1"),
        ("postgres", "rdsadmin"),
        ("postgres", "a-b"),
        ("postgres", "a" * 64),
        ("mysql", "mysql"),
        ("mysql", "performance_schema"),
        ("mariadb", "sys"),
        ("mysql", "a/b"),
        ("mysql", "../a"),
        ("mariadb", "a" * 65),
    ],
)
def test_names_of_databases(engine: str, name: str) -> None:
    with pytest.raises(InvalidValueError, match="DBName is not valid"):
        check_database_name(name, engine)


def test_the_api_refuses_them(local: LocalRdsDaemon) -> None:
    rds = local.rds
    common: dict[str, Any] = {"DBInstanceClass": "db.t4g.micro", "Engine": "postgres"}
    login: dict[str, Any] = {"MasterUsername": "app", "MasterUserPassword": "correct-horse"}
    for changed in (
        {"DBInstanceIdentifier": "../../x"},
        {"Port": 80},
        {"AllocatedStorage": 1},
        {"MasterUsername": "a" * 64},
        {"DBName": "template0"},
    ):
        with pytest.raises(ClientError, match="InvalidParameterValue"):
            rds.create_db_instance(**{"DBInstanceIdentifier": "fine", **common, **login, **changed})
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        rds.create_db_cluster(DBClusterIdentifier="a--b", Engine="aurora-postgresql", **login)
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        rds.create_db_parameter_group(DBParameterGroupName="a/b", DBParameterGroupFamily="postgres18", Description="x")
    assert rds.describe_db_instances()["DBInstances"] == []
