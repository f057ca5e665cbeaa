"""What RDS's host names say, and which part of a cluster an endpoint leads to."""

from __future__ import annotations

import pytest

from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.rds_names import EndpointKind, RdsName, read_name
from rdskit.kernel.topology import Host, Role, Selection, Topology


@pytest.mark.parametrize(
    ("host", "kind", "identifier", "region", "domain"),
    [
        ("db.abc1.eu-west-1.rds.amazonaws.com", "INSTANCE", "db", "eu-west-1", "abc1.eu-west-1.rds.amazonaws.com"),
        ("DB.ABC1.EU-WEST-1.RDS.AMAZONAWS.COM.", "INSTANCE", "db", "eu-west-1", "abc1.eu-west-1.rds.amazonaws.com"),
        (
            "shop.cluster-abc1.us-gov-west-1.rds.amazonaws.com",
            "CLUSTER",
            "shop",
            "us-gov-west-1",
            "abc1.us-gov-west-1.rds.amazonaws.com",
        ),
        (
            "shop.cluster-ro-abc1.eu-west-1.rds.amazonaws.com",
            "READER",
            "shop",
            "eu-west-1",
            "abc1.eu-west-1.rds.amazonaws.com",
        ),
        (
            "batch.cluster-custom-abc1.eu-west-1.rds.amazonaws.com",
            "CUSTOM",
            "batch",
            "eu-west-1",
            "abc1.eu-west-1.rds.amazonaws.com",
        ),
        ("p.proxy-abc1.eu-west-1.rds.amazonaws.com", "PROXY", "p", "eu-west-1", "abc1.eu-west-1.rds.amazonaws.com"),
        (
            "p.endpoint.proxy-abc1.eu-west-1.rds.amazonaws.com",
            "PROXY",
            "p.endpoint",
            "eu-west-1",
            "abc1.eu-west-1.rds.amazonaws.com",
        ),
        (
            "shop.shardgrp-abc1.eu-west-1.rds.amazonaws.com",
            "ROUTER",
            "shop",
            "eu-west-1",
            "abc1.eu-west-1.rds.amazonaws.com",
        ),
        ("g.global-abc1.global.rds.amazonaws.com", "GLOBAL", "g", "global", "abc1.global.rds.amazonaws.com"),
        (
            "shop.cluster-abc1.cn-north-1.rds.amazonaws.com.cn",
            "CLUSTER",
            "shop",
            "cn-north-1",
            "abc1.cn-north-1.rds.amazonaws.com.cn",
        ),
        (
            "shop.cluster-ro-abc1.rds.cn-northwest-1.amazonaws.com.cn",
            "READER",
            "shop",
            "cn-northwest-1",
            "abc1.rds.cn-northwest-1.amazonaws.com.cn",
        ),
    ],
)
def test_a_name_of_rds_says_what_it_is(host: str, kind: str, identifier: str, region: str, domain: str) -> None:
    name = read_name(host)
    assert name == RdsName(EndpointKind[kind], identifier, region, domain)
    assert name.instance("other") == f"other.{domain}"
    assert name.has_topology is (kind not in {"PROXY", "ROUTER", "GLOBAL"})


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.5",
        "db.example.com",
        "rds.amazonaws.com",
        "eu-west-1.rds.amazonaws.com",
        "db.abc1.eu-west-1.rds.amazonaws.com.evil.example",
        "db.abc1.eu-west-1.evilrds.amazonaws.com",
    ],
)
def test_any_other_name_says_nothing(host: str) -> None:
    assert read_name(host) is None


def test_an_endpoint_leads_to_a_part_of_its_cluster() -> None:
    entry = Endpoint("entry", 5432)
    hosts = {name: Host(name, Endpoint(name, 5432), Role.READER) for name in "bcd"}
    writer = Host("a", Endpoint("a", 5432), Role.WRITER)
    whole = Topology((writer, *hosts.values()))
    assert Selection().of(whole, entry) == whole
    readers = Selection(readers_only=True).of(whole, entry)
    assert (readers.writer, readers.readers) == (None, tuple(hosts.values()))
    assert readers.entry == Host("entry:5432", entry, Role.READER)
    listed = Selection(members=frozenset("b")).of(whole, entry)
    assert (listed.writer, listed.readers, listed.entry) == (writer, (hosts["b"],), None)
    assert Selection(excluded=frozenset("bc")).of(whole, entry).readers == (hosts["d"],)
    analysts = Selection(readers_only=True, members=frozenset("ac")).of(whole, entry)
    assert (analysts.writer, analysts.readers) == (None, (hosts["c"],))
