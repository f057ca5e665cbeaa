"""A local RDS that is killed: the next one ends what was left running, and nothing acknowledged is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import psutil
import pytest

from rdskit.kernel.endpoints import Endpoint
from rdskit.local.engines.waiting import poll
from rdskit.local.fleet import Fleet
from tests.local.fleet.clients import connect_postgres
from tests.local.fleet.conftest import Harness, spec

if TYPE_CHECKING:
    from pathlib import Path

OWNER = textwrap.dedent(
    """
    import pathlib, sys, threading
    from rdskit.local.fleet import Fleet, InstanceSpec

    fleet = Fleet(pathlib.Path(sys.argv[1]), notify=lambda event: None)
    fleet.start()
    spec = InstanceSpec("db-ORDERS", "postgres", "shop_admin", sys.argv[2], "shop", 5432, True, ("a", "b"), {})
    endpoint = fleet.create(spec)
    print(endpoint.host, endpoint.port, flush=True)
    threading.Event().wait()
    """
)


def servers_below(root: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if str(root) in process.cwd():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.mark.chaos
def test_a_killed_owner_leaves_nothing_that_stops_the_next(root: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(root), spec().master_password], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        host, port = owner.stdout.readline().split()
        endpoint = Endpoint(host, int(port))
        with connect_postgres(endpoint, root / "ca.pem") as connection:
            connection.execute("create table written as select 1 as id")
        orphans = servers_below(root)
        owner.send_signal(signal.SIGKILL)
    assert orphans
    harness = Harness(Fleet(root, notify=lambda _: None))
    harness.fleet.start()
    try:
        assert not [each for each in orphans if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
        assert harness.fleet.describe("db-ORDERS").endpoint == endpoint
        assert harness.count(endpoint) == 1
        harness.await_sync()
        harness.fleet.reboot("db-ORDERS", force_failover=True)
        assert harness.count(endpoint) == 1
    finally:
        harness.fleet.close()
    assert poll(lambda: servers_below(root) == [], timeout=60)


def test_half_an_instance_is_removed_at_the_next_start(root: Path, harness: Harness) -> None:
    harness.fleet.create(spec())
    harness.fleet.close()
    half = root / "instances" / "db-HALF" / "a" / "data"
    half.mkdir(parents=True)
    again = Fleet(root, notify=lambda _: None)
    again.start()
    try:
        assert not half.exists()
        assert again.describe("db-ORDERS").running
    finally:
        again.close()
