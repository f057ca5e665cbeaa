"""Waiters are recognized by the User-Agent of botocore."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import WaiterError

from rdskit.local.control.rds.waiters import is_waiter

NOTHING_THERE = (
    b"<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances/></DescribeDBInstancesResult>"
    b"</DescribeDBInstancesResponse>"
)


class Body:
    """A raw response body in the form that botocore reads."""

    def stream(self, *_: Any, **__: Any) -> list[bytes]:
        return [NOTHING_THERE]


@pytest.fixture
def agents() -> list[str]:
    return []


@pytest.fixture
def rds(agents: list[str]) -> Any:
    client = boto3.client("rds", region_name="eu-west-1", aws_access_key_id="AKIA", aws_secret_access_key="secret")

    def answer(request: Any, **_: Any) -> Any:
        agents.append(request.headers["User-Agent"].decode())
        return AWSResponse(request.url, 200, HTTPHeaders(), Body())

    client.meta.events.register("before-send.rds.*", answer)
    return client


def test_a_waiter_is_distinguished_from_a_plain_call(rds: Any, agents: list[str]) -> None:
    rds.describe_db_instances()
    with pytest.raises(WaiterError):
        rds.get_waiter("db_instance_available").wait(WaiterConfig={"Delay": 0, "MaxAttempts": 1})
    assert [is_waiter(agent) for agent in agents] == [False, True]


@pytest.mark.parametrize(
    ("agent", "waiter"),
    [
        ("Boto3/1.44 md/Botocore#1.44 ua/2.1 os/linux m/Z,B,b cfg/retry-mode#legacy", True),
        ("Boto3/1.44 md/Botocore#1.44 ua/2.1 os/linux m/Z,b,BA cfg/retry-mode#legacy", False),
        ("aws-cli/2.1 cfg/m/B", False),
        ("custom", False),
        ("", False),
    ],
)
def test_feature_lists(agent: str, waiter: bool) -> None:  # noqa: FBT001
    assert is_waiter(agent) is waiter
