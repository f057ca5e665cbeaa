"""What the RDS API adds; the API is moto's, in this process, or nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.topology import Host, Role
from rdskit.operate.top import rds_api
from rdskit.operate.top.journal import Journal
from rdskit.operate.top.rds_api import RdsApi, places

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "eu-north-1"


def host(identifier: str, name: str) -> Host:
    return Host(identifier, Endpoint(name, 5432), Role.READER)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return monkeypatch


@pytest.fixture
def rds(configured: pytest.MonkeyPatch) -> Iterator[Any]:
    del configured  # its variables are set
    with mock_aws():
        yield boto3.client("rds")


def test_hosts_are_asked_for_where_they_are() -> None:
    hosts = [
        host("127.0.0.1:5432", "127.0.0.1"),
        host("orders-1", "127.0.0.2"),
        host("orders-2", "orders-2.abc.eu-west-1.rds.amazonaws.com"),
        host("us-west-2/orders-1", "orders-1.def.us-west-2.rds.amazonaws.com"),
    ]
    assert places(hosts) == {
        None: {"orders-1": "orders-1"},
        "eu-west-1": {"orders-2": "orders-2"},
        "us-west-2": {"orders-1": "us-west-2/orders-1"},
    }


async def test_states_and_zones_are_told(rds: Any) -> None:
    rds.create_db_instance(DBInstanceIdentifier="orders-1", DBInstanceClass="db.r6g.large", Engine="postgres")
    found = RdsApi(Journal())
    await found._unless_refused("states", lambda: found._query_states({"orders-1": "shown", "gone": "gone"}, None))
    assert {name: state.status for name, state in found.states.items()} == {"shown": "available"}
    assert (found.states["shown"].zone or "").startswith(REGION)
    assert found.notes == ()


async def test_an_api_that_cannot_be_asked_is_noted_and_left_alone_for_a_while(
    configured: pytest.MonkeyPatch,
) -> None:
    configured.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    journal = Journal()
    found = RdsApi(journal)
    await found.poll([host("orders-1", "127.0.0.2")], "orders")
    assert found.looked.is_set()
    assert [note.rpartition(" ")[2] for note in found.notes] == ["(rds:DescribeDBInstances)", "(rds:DescribeEvents)"]
    assert all("cannot reach its endpoint" in note for note in found.notes)
    assert journal.entries == ()
    configured.setattr(rds_api, "describe_states", None)  # it would raise, if it were called
    configured.setattr(rds_api, "describe_events", None)
    await found.poll([host("orders-1", "127.0.0.2")], "orders")
    assert len(found.notes) == 2


async def test_nothing_is_asked_for_a_host_without_a_name(configured: pytest.MonkeyPatch) -> None:
    configured.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    found = RdsApi(Journal())
    await found.poll([host("127.0.0.1:5432", "127.0.0.1")], "127.0.0.1:5432")
    assert found.looked.is_set()
    assert found.notes == ()
