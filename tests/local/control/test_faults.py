"""Faults by Python and by the command line, in a running local RDS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from rdskit.cli.local import app
from rdskit.errors import ConfigError, LocalError
from rdskit.local import faults, lifecycle
from rdskit.local.control.layout import Layout
from tests.local.control.conftest import until
from tests.local.control.http_client import plain

if TYPE_CHECKING:
    from tests.local.control.conftest import LocalRdsDaemon


@pytest.fixture(scope="module")
def orders(local: LocalRdsDaemon) -> str:
    local.create("orders")
    return "orders"


def test_a_fault_lasts_for_a_block(local: LocalRdsDaemon, orders: str) -> None:
    with local.connect(local.describe(orders)) as connection:
        with (
            faults.injected(orders, faults.blackhole(path="client"), data=local.data),
            pytest.raises(psycopg.OperationalError, match="timeout"),
        ):
            local.connect(local.describe(orders))
        assert connection.execute("select 1").fetchone() == (1,)
    assert faults.clear(orders, data=local.data) == {"identifier": orders, "cleared": []}


async def test_a_fault_lasts_for_an_async_block(local: LocalRdsDaemon, orders: str) -> None:
    async with faults.injected(orders, faults.latency(0.1), data=local.data):
        assert faults.clear(orders, data=local.data)["cleared"] == ["latency"]


def test_an_instance_is_storage_full_until_it_is_given_more(local: LocalRdsDaemon, orders: str) -> None:
    faults.inject(orders, faults.full_disk(), data=local.data)
    until(lambda: local.describe(orders)["DBInstanceStatus"] == "storage-full")
    for asked in ({"DeletionProtection": True}, {"AllocatedStorage": 20, "ApplyImmediately": True}):
        with pytest.raises(ClientError, match="it is storage-full"):
            local.client("rds").modify_db_instance(DBInstanceIdentifier=orders, **asked)
    with pytest.raises(ClientError, match="it is storage-full"):
        local.rds.reboot_db_instance(DBInstanceIdentifier=orders)
    with pytest.raises(ClientError, match="less than that of orders, 20 GiB"):
        local.rds.modify_db_instance(DBInstanceIdentifier=orders, AllocatedStorage=10)
    local.rds.modify_db_instance(DBInstanceIdentifier=orders, AllocatedStorage=30, ApplyImmediately=True)
    local.settle(orders)
    assert local.describe(orders)["AllocatedStorage"] == 30
    with local.connect(local.describe(orders)) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    messages = local.messages(orders)
    assert "Allocated storage has been exhausted. Allocate additional storage to resolve." in messages
    assert "Finished applying modification to allocated storage." in messages


def test_wrong_use_is_one_clear_error(local: LocalRdsDaemon, orders: str) -> None:
    with pytest.raises(LocalError, match="no DB instance missing: this local RDS has orders"):
        faults.inject("missing", faults.hang(), data=local.data)
    with pytest.raises(LocalError, match="no read replica"):
        faults.inject(orders, faults.lag(2), data=local.data)
    with pytest.raises(ConfigError, match="--for"):
        faults.inject(orders, faults.reset(), lasting=1, data=local.data)


def test_the_command_line(local: LocalRdsDaemon, orders: str) -> None:
    def invoke(words: tuple[str, ...], status: int) -> str:
        done = CliRunner().invoke(app, ["fault", *words, "--data", str(local.data), "--json"], catch_exceptions=False)
        assert done.exit_code == status
        return done.output

    def run(*words: str) -> dict[str, object]:
        answer: dict[str, object] = json.loads(invoke(words, 0))
        return answer

    assert run(orders, "latency", "150ms", "--for", "1m") == {
        "identifier": orders,
        "kind": "latency",
        "seconds": 0.15,
        "path": "all",
        "lasting": 60.0,
    }
    assert run(orders, "clear") == {"identifier": orders, "cleared": ["latency"]}
    assert "'sunspots' is not one of 'kill'" in invoke((orders, "sunspots"), 2)
    for words, message in {
        ("latency",): "needs a duration",
        ("latency", "soon"): "not a duration",
        ("hang", "--path", "client"): "has no path",
    }.items():
        with pytest.raises(ConfigError, match=message):
            run(orders, *words)


def test_no_web_page_can_break_anything(local: LocalRdsDaemon, orders: str) -> None:
    body = json.dumps({"identifier": orders, "kind": "kill"})
    key = lifecycle.page_key_of(Layout(local.data))
    for method, content_type in (("GET", "application/json"), ("POST", "text/plain")):
        headers = {"Content-Type": content_type, "Authorization": key}
        assert plain(local.port, "/_rdskit/faults", body, headers, method)[0] in (400, 405)
    assert local.describe(orders)["DBInstanceStatus"] == "available"
