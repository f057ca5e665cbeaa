"""What the RDS API says about DB clusters, and what a target makes of it; the API is moto's, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from rdskit.client.failover import ClusterSource
from rdskit.client.targets.location import locate
from rdskit.errors import ConfigError
from rdskit.kernel.targets import Engine, parse_target
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def rds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield the API of an empty account, in a region of its own."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "eu-north-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws():
        yield boto3.client("rds")


def _create(rds: Any, cluster: str, *instances: str) -> None:
    rds.create_db_cluster(
        DBClusterIdentifier=cluster,
        Engine="aurora-postgresql",
        DatabaseName="app",
        MasterUsername="app",
        MasterUserPassword="not a secret",
    )
    for name in instances:
        rds.create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.r6g.large",
            Engine="aurora-postgresql",
            DBClusterIdentifier=cluster,
        )


async def test_a_cluster_is_found_by_its_name_and_by_that_of_an_instance(rds: Any) -> None:
    _create(rds, "shop", "shop-1", "shop-2")
    _create(rds, "billing", "billing-1")
    owner = TaskOwner("test")
    for identifier in ("shop", "shop-2"):
        located = await locate(parse_target(f"rds://app:secret@{identifier}"), None, owner)
        assert (located.engine, located.database) == (Engine.POSTGRES, "app")
        assert isinstance(located.source, ClusterSource)
        assert (located.source.cluster, located.source.aurora) == ("shop", True)
        found = await located.source.topology()
        assert {host.identifier for host in found.hosts} == {"shop-1", "shop-2"}, "and none of the other cluster"
        assert found.writer is not None
        assert len(found.readers) == 1
    await owner.close()


async def test_a_name_that_is_neither_says_what_there_is(rds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_custom_endpoint(*_: str, **__: str) -> dict[str, list[object]]:
        return {"DBClusterEndpoints": []}  # moto has no such call

    monkeypatch.setattr("rdskit.aws.custom_endpoints.call", no_custom_endpoint)
    _create(rds, "shop", "shop-1")
    with pytest.raises(ConfigError, match=r"'shops' does not exist.*there are: shop-1"):
        await locate(parse_target("rds://app:secret@shops"), None, TaskOwner("test"))
