"""Multi-AZ DB clusters by the API: created with their three instances, failed over, deleted with them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from rdskit.local import lifecycle
from tests.local.control.conftest import PASSWORD, LocalRdsDaemon, until

NAME = "orders"
CLUSTER: dict[str, Any] = {
    "DBClusterIdentifier": NAME,
    "Engine": "postgres",
    "MasterUsername": "app",
    "MasterUserPassword": PASSWORD,
    "DatabaseName": "shop",
}


def described(local: LocalRdsDaemon) -> Any:
    return local.rds.describe_db_clusters(DBClusterIdentifier=NAME)["DBClusters"][0]


def writer(local: LocalRdsDaemon) -> str:
    (name,) = [each["DBInstanceIdentifier"] for each in described(local)["DBClusterMembers"] if each["IsClusterWriter"]]
    return str(name)


def asked(local: LocalRdsDaemon, host: str, sql: str) -> object:
    with psycopg.connect(
        host=host,
        user="app",
        password=PASSWORD,
        dbname="shop",
        sslmode="verify-full",
        sslrootcert=lifecycle.env(local.data)["RDSKIT_CA"],
        connect_timeout=10,
    ) as connection:
        row = connection.execute(sql).fetchone()
        return row[0] if row else None


def test_a_cluster_comes_with_three_instances_and_goes_with_them(local: LocalRdsDaemon) -> None:
    rds = local.rds
    with pytest.raises(ClientError, match="DBClusterInstanceClass is required"):
        rds.create_db_cluster(**CLUSTER)
    made = rds.create_db_cluster(**CLUSTER, DBClusterInstanceClass="db.m6gd.large", AllocatedStorage=100)["DBCluster"]
    assert (made["Status"], made["MultiAZ"], made["AllocatedStorage"]) == ("creating", True, 100)
    rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier=NAME)
    found = described(local)
    names = {each["DBInstanceIdentifier"] for each in found["DBClusterMembers"]}
    assert names == {f"orders-instance-{number}" for number in (1, 2, 3)}
    assert len({local.describe(name)["AvailabilityZone"] for name in names}) == 3
    before = writer(local)
    source = "select rds_tools.multi_az_db_cluster_source_dbi_resource_id()"
    assert asked(local, found["Endpoint"], source) == local.describe(before)["DbiResourceId"]
    assert asked(local, found["ReaderEndpoint"], "select pg_is_in_recovery()") is True
    with pytest.raises(ClientError, match="come with it"):
        rds.create_db_instance(
            DBInstanceIdentifier="more", DBInstanceClass="db.m6gd.large", Engine="postgres", DBClusterIdentifier=NAME
        )
    rds.failover_db_cluster(DBClusterIdentifier=NAME)
    rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier=NAME)
    assert writer(local) != before
    until(lambda: len(lifecycle.clusters(local.data)[0]["in_sync"]) == 2, timeout=60)
    assert rds.delete_db_cluster(DBClusterIdentifier=NAME, SkipFinalSnapshot=True)["DBCluster"]["Status"] == "deleting"
    until(lambda: lifecycle.clusters(local.data) == [], timeout=60)
    assert rds.describe_db_instances()["DBInstances"] == []
    with pytest.raises(ClientError, match="not found"):
        described(local)
