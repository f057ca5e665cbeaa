"""Global databases as the RDS API tells them; the API is moto's, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from rdskit.aws.global_clusters import (
    GlobalCluster,
    RegionalCluster,
    configured_region,
    describe_global_cluster,
    parse_global_cluster,
)
from rdskit.client.failover import GlobalSource, NearReaders
from rdskit.client.targets.location import locate
from rdskit.errors import ConfigError, NoWriterError
from rdskit.kernel.targets import Engine, parse_target
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIMARY, SECONDARY = "eu-west-1", "us-west-2"
CLUSTERS = {PRIMARY: "shop", SECONDARY: "shop-west"}


@pytest.fixture
def regions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set up an account with a global database ``world``, with one instance ``db-1`` in each of two regions."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": SECONDARY}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws():
        clients = {region: boto3.client("rds", region_name=region) for region in CLUSTERS}
        clients[PRIMARY].create_global_cluster(GlobalClusterIdentifier="world", Engine="aurora-postgresql")
        for region, cluster in CLUSTERS.items():
            clients[region].create_db_cluster(
                DBClusterIdentifier=cluster,
                Engine="aurora-postgresql",
                MasterUsername="app",
                MasterUserPassword="not a secret",
                GlobalClusterIdentifier="world",
            )
            clients[region].create_db_instance(
                DBInstanceIdentifier="db-1",
                DBInstanceClass="db.r6g.large",
                Engine="aurora-postgresql",
                DBClusterIdentifier=cluster,
            )
        yield


@pytest.mark.usefixtures("regions")
async def test_a_global_database_is_told_with_its_regions() -> None:
    assert await describe_global_cluster("world") == GlobalCluster(
        "aurora-postgresql",
        None,
        (RegionalCluster("shop", PRIMARY, True), RegionalCluster("shop-west", SECONDARY, False)),
    )
    with pytest.raises(ConfigError, match="global cluster 'unknown' does not exist"):
        await describe_global_cluster("unknown")
    assert await configured_region() == SECONDARY


@pytest.mark.usefixtures("regions")
async def test_its_writer_is_in_one_region_and_readers_are_near() -> None:
    found = await GlobalSource("world").topology()
    assert found.writer is not None
    assert found.writer.identifier == f"{PRIMARY}/db-1"
    assert [reader.identifier for reader in found.readers] == [f"{SECONDARY}/db-1"]
    assert found.writer.endpoint.host.endswith(f".{PRIMARY}.rds.amazonaws.com")
    near = await NearReaders(GlobalSource("world"), SECONDARY).topology()
    assert (near.writer, near.readers) == (found.writer, found.readers)
    assert await NearReaders(GlobalSource("world"), "ap-south-1").topology() == found, "all, where none is near"


@pytest.mark.usefixtures("regions")
async def test_rds_identifier_may_be_a_global_database() -> None:
    owner = TaskOwner("test")
    located = await locate(parse_target("rds://app:pw@world/shop"), None, owner)
    assert (located.engine, located.database, located.source.cluster) == (Engine.POSTGRES, "shop", "world")
    assert isinstance(located.source, NearReaders)
    assert located.source.region == SECONDARY
    await owner.close()


@pytest.mark.usefixtures("regions")
async def test_a_region_that_cannot_be_told_is_left_out_but_not_the_primary(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def elsewhere(identifier: str) -> GlobalCluster:
        return GlobalCluster("aurora-postgresql", None, members[identifier])

    here = RegionalCluster("shop", PRIMARY, writes=True)
    members = {
        "half": (here, RegionalCluster("gone", SECONDARY, writes=False)),
        "headless": (RegionalCluster("shop-west", SECONDARY, writes=False),),
    }
    monkeypatch.setattr("rdskit.client.failover.global_source.describe_global_cluster", elsewhere)
    found = await GlobalSource("half").topology()
    assert [host.identifier for host in found.hosts] == [f"{PRIMARY}/db-1"]
    assert "cluster gone in us-west-2 is left out" in caplog.text
    with pytest.raises(NoWriterError, match="global cluster 'headless' has no writer in any region"):
        await GlobalSource("headless").topology()


def test_an_answer_is_read() -> None:
    arn = "arn:aws-cn:rds:cn-north-1:123456789012:cluster:shop"
    raw = {
        "Engine": "aurora-mysql",
        "DatabaseName": "",
        "GlobalClusterMembers": [{"DBClusterArn": arn, "IsWriter": True}],
    }
    assert parse_global_cluster(raw) == GlobalCluster(
        "aurora-mysql", None, (RegionalCluster("shop", "cn-north-1", writes=True),)
    )
