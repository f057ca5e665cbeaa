"""``rds://`` with the name of a custom endpoint: its members, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import rdskit
from rdskit.errors import RdskitError
from tests.chaos.clusters import Cluster, aurora
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.local_rds import LocalRds


ROLES = ("writer", "reader")
READS: Any = {"consistency": "eventual", "readable": ["aurora_db_instance_identifier"]}


@pytest.fixture(scope="module")
def cluster(local_rds: LocalRds) -> Iterator[Cluster]:
    with aurora(local_rds, "parted", readers=2) as cluster:
        reader = min(set(cluster.instances) - {cluster.writer})
        for kind in ("READER", "ANY"):
            local_rds.rds.create_db_cluster_endpoint(
                DBClusterIdentifier="parted",
                DBClusterEndpointIdentifier=f"parted-{kind.lower()}",
                EndpointType=kind,
                StaticMembers=[reader],
            )
        yield cluster
        for kind in ("READER", "ANY"):
            local_rds.rds.delete_db_cluster_endpoint(DBClusterEndpointIdentifier=f"parted-{kind.lower()}")


async def identifiers(db: rdskit.Database) -> dict[str, list[str]]:
    found = await db.topology()
    return {role: sorted(host.identifier for host in found.hosts if host.role.value == role) for role in ROLES}


async def who_reads(db: rdskit.Database) -> Any:
    return await db.fetch_value("select aurora_db_instance_identifier()")


async def test_one_for_reading_reads_from_its_members_and_refuses_writes(cluster: Cluster) -> None:
    reader = min(set(cluster.instances) - {cluster.writer})
    async with rdskit.connect(cluster.target_of("parted-reader"), **READS) as db:
        assert await identifiers(db) == {"writer": [], "reader": [reader]}
        assert {await who_reads(db) for _ in range(5)} == {reader}
        with pytest.raises(RdskitError, match="read"):
            await db.execute("create table refused (id int)")


async def test_one_for_anything_writes_to_the_writer_and_reads_from_its_members(cluster: Cluster) -> None:
    reader = min(set(cluster.instances) - {cluster.writer})
    async with rdskit.connect(cluster.target_of("parted-any"), **READS) as db:
        assert await identifiers(db) == {"writer": [cluster.writer], "reader": [reader]}
        await db.execute("create table if not exists accepted (id int)")

        async def is_read() -> bool:
            return bool(await who_reads(db) == reader)

        await eventually(is_read)
