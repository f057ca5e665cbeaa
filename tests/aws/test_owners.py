"""Whose an endpoint is, as the RDS API tells it; the API is moto's, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from rdskit.aws import keys, session
from rdskit.aws.rds import Owner, owner_of_address, owner_of_name
from rdskit.errors import ConfigError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.rds_names import RdsName, read_name
from rdskit.kernel.topology import Selection
from tests.client.test_fork import in_forked_child

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "eu-north-1"


@pytest.fixture
def rds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield the API of an account that is configured for another region than its databases are in."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws():
        yield boto3.client("rds", region_name=REGION)


def cluster(rds: Any) -> Any:
    rds.create_db_cluster(
        DBClusterIdentifier="shop", Engine="aurora-mysql", MasterUsername="app", MasterUserPassword="not a secret"
    )
    instance("shop-1", rds, engine="aurora-mysql", DBClusterIdentifier="shop")
    return rds.describe_db_clusters(DBClusterIdentifier="shop")["DBClusters"][0]


def instance(name: str, rds: Any, engine: str = "postgres", **more: Any) -> Endpoint:
    rds.create_db_instance(DBInstanceIdentifier=name, DBInstanceClass="db.r6g.large", Engine=engine, **more)
    return endpoint(name, rds)


def endpoint(name: str, rds: Any) -> Endpoint:
    raw = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["Endpoint"]
    return Endpoint(raw["Address"], raw["Port"])


def read(host: str) -> RdsName:
    name = read_name(host)
    assert name is not None, host
    return name


async def by_name(host: str) -> Owner:
    return await owner_of_name(read(host), host)


async def test_a_name_is_looked_up_in_its_own_region(rds: Any) -> None:
    described = cluster(rds)
    single = instance("single", rds)
    assert await by_name(described["Endpoint"]) == Owner("shop", is_cluster=True, engine="aurora-mysql")
    readers = Owner("shop", is_cluster=True, engine="aurora-mysql", selection=Selection(readers_only=True))
    assert await by_name(described["ReaderEndpoint"]) == readers
    assert await by_name(endpoint("shop-1", rds).host) == Owner("shop", is_cluster=True, engine="aurora-mysql")
    assert await by_name(single.host.upper()) == Owner("single", is_cluster=False, engine="postgres")


async def test_a_read_replica_stands_for_its_source(rds: Any) -> None:
    instance("single", rds)
    rds.create_db_instance_read_replica(DBInstanceIdentifier="twin", SourceDBInstanceIdentifier="single")
    assert await by_name(endpoint("twin", rds).host) == Owner("single", is_cluster=False, engine="postgres")


async def test_what_another_account_calls_the_same_is_not_ours(rds: Any) -> None:
    ours = instance("single", rds).host
    theirs = ours.replace(read(ours).domain, f"zzz999.{REGION}.rds.amazonaws.com")
    with pytest.raises(ConfigError, match=f"has the endpoint {theirs}: it is another account's"):
        await by_name(theirs)
    with pytest.raises(ConfigError, match="'unknown' does not exist"):
        await by_name(f"unknown.zzz999.{REGION}.rds.amazonaws.com")


async def test_an_address_is_looked_up_among_all(rds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    described = cluster(rds)
    monkeypatch.setattr("rdskit.aws.rds._PAGE", 20)
    places = [instance(f"many-{number:03}", rds) for number in range(21)]
    assert await owner_of_address(places[-1]) == Owner("many-020", is_cluster=False, engine="postgres")
    owner = await owner_of_address(Endpoint(described["ReaderEndpoint"], described["Port"]))
    assert owner is not None
    assert owner.selection.readers_only
    assert await owner_of_address(Endpoint(described["Endpoint"], described["Port"] + 1)) is None


async def test_custom_endpoints_have_members(rds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    described = cluster(rds)
    host = described["Endpoint"].replace("shop.cluster-", "batch.cluster-custom-")
    custom = {
        "DBClusterIdentifier": "shop",
        "DBClusterEndpointIdentifier": "batch",
        "Endpoint": host,
        "EndpointType": "CUSTOM",
        "CustomEndpointType": "READER",
        "StaticMembers": ["shop-1"],
    }
    real = session.call_hurried

    async def call(service: str, operation: str, **arguments: Any) -> Any:
        if operation == "describe_db_cluster_endpoints":  # the one that the emulation has not
            assert arguments["DBClusterEndpointIdentifier"] == "batch"
            return {"DBClusterEndpoints": [custom]}
        return await real(service, operation, **arguments)

    monkeypatch.setattr("rdskit.aws.rds.call_hurried", call)
    selection = Selection(readers_only=True, members=frozenset({"shop-1"}))
    assert await by_name(host) == Owner("shop", is_cluster=True, engine="aurora-mysql", selection=selection)


def test_a_forked_child_does_not_wait_for_a_lock_of_its_parents_threads() -> None:
    with keys._resolving, session._building:  # as another thread would hold them
        assert in_forked_child(lambda: f"{keys._resolving.locked()} {session._building.locked()}") == "False False"


def test_a_forked_child_makes_clients_of_its_own(rds: Any) -> None:
    assert rds
    ours = session.client("rds", REGION)
    assert session.client("rds", REGION) is ours
    assert in_forked_child(lambda: str(session._client.cache_info().currsize)) == "0"
    assert session.client("rds", REGION) is ours
