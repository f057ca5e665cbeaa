"""The local RDS itself is killed while it fails over again and again: nothing acknowledged is lost.

A killed daemon takes its endpoints with it and leaves its servers behind, the old primary and the new one in any state;
the next daemon must bring back the one whose data count.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.plugins.rounds import gate_and_soak

if TYPE_CHECKING:
    from pathlib import Path

DAEMON = textwrap.dedent(
    """
    import pathlib, sys
    from rdskit.errors import LocalError
    from rdskit.local.fleet import Fleet, InstanceSpec

    fleet = Fleet(pathlib.Path(sys.argv[1]), notify=lambda event: None)
    fleet.start()
    try:
        endpoint = fleet.describe("db-VICTIM").endpoint
    except LocalError:
        spec = InstanceSpec("db-VICTIM", "postgres", "shop", "throwaway", "shop", 5432, True, ("a", "b"), {})
        endpoint = fleet.create(spec)
    print(endpoint.host, endpoint.port, flush=True)
    if sys.argv[2] == "stay":
        sys.stdin.read()
        fleet.close()
    while sys.argv[2] == "fail over":
        try:
            fleet.reboot("db-VICTIM", force_failover=True)
            print("failed over", flush=True)
        except LocalError as error:
            print(error, file=sys.stderr, flush=True)
    """
)


class Daemon:
    """A local RDS in a process of its own, that may be killed."""

    def __init__(self, root: Path, purpose: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, str(root), purpose],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        host, port = self.next_line().split()
        self.target = make_conninfo(
            host=host,
            port=port,
            user="shop",
            password="throwaway",
            dbname="shop",
            sslmode="verify-full",
            sslrootcert=str(root / "ca.pem"),
            gssencmode="disable",
            connect_timeout="5",
        )

    def next_line(self) -> str:
        """Return the child's next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the local RDS has ended by itself"
        return line

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def close(self) -> None:
        """End it in order."""
        self._process.communicate("")


def write(target: str, first: int, acknowledged: list[int], stop: threading.Event) -> None:
    """Insert numbers from ``first`` on until told to stop, connecting again whenever that is needed."""
    number = first
    while not stop.is_set():
        try:
            with psycopg.connect(target, autocommit=True) as connection:
                while not stop.is_set():
                    number += 1
                    connection.execute("insert into written values (%s)", (number,))
                    acknowledged.append(number)
        except psycopg.OperationalError:
            stop.wait(0.005)


@pytest.mark.chaos
@pytest.mark.parametrize("kills", gate_and_soak(2, 20))
def test_a_daemon_killed_in_mid_failover_loses_nothing(tmp_path: Path, kills: int) -> None:
    chance = random.Random(20)
    root = tmp_path / "data"
    acknowledged: list[int] = []
    daemon = Daemon(root, "stay")
    with psycopg.connect(daemon.target, autocommit=True) as connection:
        connection.execute("create table written (number bigint primary key)")
    daemon.close()
    for kill in range(kills):
        daemon = Daemon(root, "fail over")
        stop = threading.Event()
        writer = threading.Thread(target=write, args=(daemon.target, kill * 10**9, acknowledged, stop))
        writer.start()
        daemon.next_line()
        stop.wait(chance.uniform(0.0, 2.0))  # anywhere between one failover and the one after the next
        daemon.kill()
        stop.set()
        writer.join()
    daemon = Daemon(root, "stay")
    with psycopg.connect(daemon.target, autocommit=True) as connection:
        present = {number for (number,) in connection.execute("select number from written")}
    daemon.close()
    assert acknowledged
    assert set(acknowledged) - present == set()
