"""A client on a Multi-AZ DB cluster: its servers tell it who writes, and the API is asked for addresses once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import rdskit
from rdskit.client.failover import cluster_source
from rdskit.local import faults
from tests.chaos.clusters import Cluster, multi_az_cluster
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rdskit.kernel.topology import Host
    from tests.plugins.local_rds import LocalRds

pytestmark = pytest.mark.chaos

PATIENCE = 60.0


@pytest.fixture(params=["postgres", "mysql"])
def cluster(local_rds: LocalRds, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with multi_az_cluster(local_rds, f"three-zones-{request.param}", request.param) as cluster:
        yield cluster


async def test_a_failover_is_told_by_the_servers(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    await eventually(cluster.has_heir, PATIENCE)
    async with rdskit.connect(cluster.target, timeout=PATIENCE) as db:
        await db.execute("create table kept (k int primary key)")
        before = await db.topology()
        lost = before.writer
        assert lost is not None
        assert {host.identifier for host in before.hosts} == set(cluster.instances)
        assert lost.identifier == await asyncio.to_thread(lambda: cluster.writer)
        monkeypatch.setattr(cluster_source, "describe_cluster", late)
        await cluster.inject(lost.identifier, faults.kill())
        await db.run(lambda tx: tx.execute("insert into kept values (1)"))
        await eventually(lambda: all_back(db, cluster, lost), PATIENCE)
        assert await db.fetch_value("select k from kept") == 1


async def late(identifier: str, _region: str | None) -> object:
    """Return what the API says for a while after a failover."""
    raise rdskit.NoWriterError(f"DB cluster {identifier!r} has no writer")


async def all_back(db: rdskit.Database, cluster: Cluster, old: Host) -> bool:
    """Return whether the old writer is a reader of the new one, which the client can only know from the servers."""
    found = await db.topology()
    names = {host.identifier for host in found.hosts}
    return found.writer is not None and old.identifier != found.writer.identifier and names == set(cluster.instances)
