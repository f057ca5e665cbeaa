"""Endpoints as text."""

from __future__ import annotations

import pytest

from rdskit.errors import ConfigError
from rdskit.kernel.endpoints import Endpoint, parse_endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("db.example", Endpoint("db.example", 5432)),
        ("db.example:6000", Endpoint("db.example", 6000)),
        ("[::1]:6000", Endpoint("::1", 6000)),
    ],
)
def test_a_host_is_read_with_its_port_or_the_engines(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text, 5432) == endpoint


@pytest.mark.parametrize("text", ["", "db.example:x", "db.example/shop", "app:s3cret@db.example", "app:s3@cret@db:1"])
def test_what_is_no_host_is_named_without_what_may_be_a_password(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a host: write host, host:port") as told:
        parse_endpoint(text, 5432)
    assert "s3" not in str(told.value)
    assert "cret" not in str(told.value)
    assert "app" not in str(told.value)


def test_a_resource_has_an_endpoint_without_a_port() -> None:
    arn = "arn:aws:rds:eu-west-1:123456789012:cluster:orders"
    endpoint = Endpoint.of_resource(arn)
    assert (endpoint.is_resource, str(endpoint), endpoint.is_rds_proxy) == (True, arn, False)
    assert not Endpoint("db.example", 5432).is_resource
    with pytest.raises(ConfigError, match="is not an ARN"):
        Endpoint.of_resource("db.example")
