"""``rdskit topology``: the hosts of a real primary with a replica, up and down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from rdskit.cli.main import app
from rdskit.cli.topology import described
from rdskit.client.database.status import Health, HostHealth
from rdskit.client.pool.model import PoolStats
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.topology import Host, Role, Topology

if TYPE_CHECKING:
    from tests.plugins.local_rds import LocalRds
    from tests.plugins.postgres import TestDatabase


def test_a_plain_url_is_one_writer(database: TestDatabase) -> None:
    result = CliRunner().invoke(app, ["topology", database.url, "--tls", "off", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["status"] == "ok"
    (host,) = told["hosts"]
    assert (host["role"], host["endpoint"], host["problem"]) == ("writer", f"{database.host}:{database.port}", None)
    assert host["latency_ms"] > 0
    shown = CliRunner().invoke(app, ["topology", database.url, "--tls", "off"])
    assert f"{database.host}:{database.port}" in shown.stdout
    assert database.password not in shown.stdout


def test_a_host_without_a_sign_of_life_says_why() -> None:
    endpoint = Endpoint("db", 5432)
    stats = PoolStats("db:5432", 0, 0, 0, 0, 0, 0, 0)
    health = Health(
        HostHealth("writer", "db:5432", 0.0012, stats), (HostHealth("r1", "db:5432", None, stats, "no answer"),)
    )
    topology = Topology((Host("r1", endpoint, Role.READER, "eu-west-1b"), Host("w", endpoint, Role.WRITER)))
    writer, reader = described(topology, health)
    assert (writer["identifier"], writer["latency_ms"]) == ("w", 1.2)
    assert (reader["identifier"], reader["problem"], reader["zone"]) == ("r1", "no answer", "eu-west-1b")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_instance_with_its_replica(local_rds: LocalRds, options: list[str]) -> None:
    local_rds.create("shown", replicas=1)
    try:
        secret = f"secretsmanager:{local_rds.secret('shown')}"
        result = CliRunner().invoke(app, ["topology", "rds://shown", "--credentials", secret, *options])
        assert result.exit_code == 0, result.output
        for words in ("writer", "reader", "shown-r1"):
            assert words in result.stdout
    finally:
        local_rds.delete("shown-r1", "shown")
