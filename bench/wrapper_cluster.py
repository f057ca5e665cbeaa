"""The AWS Advanced Python Wrapper, unmodified, on a local Aurora PostgreSQL cluster: does its failover plugin survive?

    python bench/wrapper_cluster.py [--json]

A writer and a reader; one failover that is asked for, one by kill -9. Printed: what the wrapper's client was without
its writer. The local RDS gives addresses and the wrapper derives names, so the script maps those, as a hosts file does.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from aws_advanced_python_wrapper import AwsWrapperConnection, release_resources
from aws_advanced_python_wrapper.errors import FailoverSuccessError

from rdskit.local.engines.waiting import poll
from rdskit.local.fault_model import Fault
from rdskit.local.fleet import ClusterFacts, Fleet, InstanceSpec

CLUSTER, USER, PASSWORD, DOMAIN = "cluster-BENCH", "app", "correct-horse", "local"
WHO = "select aurora_db_instance_identifier()"
PATIENCE = 60.0


def make_cluster(fleet: Fleet) -> dict[str, str]:
    """A writer and a reader; the addresses of their names."""
    fleet.create_cluster(CLUSTER, "aurora-postgresql", 5432)
    addresses = {}
    for name in ("one", "two"):
        spec = InstanceSpec(
            resource_id=f"db-{name.upper()}",
            engine="aurora-postgresql",
            master_user=USER,
            master_password=PASSWORD,
            database="shop",
            port=5432,
            multi_az=False,
            zones=("eu-west-1a", "eu-west-1b"),
            parameters={},
            cluster_id=CLUSTER,
            identifier=name,
        )
        addresses[f"{name}.{DOMAIN}"] = fleet.create(spec).host
    return addresses


def open_wrapper(facts: ClusterFacts, addresses: dict[str, str]) -> AwsWrapperConnection:
    """A connection of the wrapper with its failover plugin."""

    def connect(conninfo: str = "", **options: Any) -> psycopg.Connection:
        host = options["host"]
        return psycopg.Connection.connect(conninfo, **{**options, "hostaddr": addresses.get(host, host)})

    return AwsWrapperConnection.connect(
        connect,
        f"host={facts.endpoint.host} port={facts.endpoint.port} dbname=shop user={USER} sslmode=require",
        password=PASSWORD,
        connect_timeout=5,
        plugins="failover",
        wrapper_dialect="aurora-pg",
        wrapper_driver_dialect="psycopg",
        cluster_instance_host_pattern=f"?.{DOMAIN}",
        autocommit=True,
    )


def ask(connection: AwsWrapperConnection) -> str:
    with connection.cursor() as cursor:
        cursor.execute(WHO)
        return str(cursor.fetchone()[0])


def measure(fleet: Fleet, addresses: dict[str, str], how: str) -> dict[str, object]:
    """One failover under a client that asks all the time; seconds until it has the new writer."""
    if not poll(lambda: bool(fleet.describe_cluster(CLUSTER).in_sync), timeout=PATIENCE):
        raise SystemExit("the reader does not come in sync")
    facts = fleet.describe_cluster(CLUSTER)
    connection = open_wrapper(facts, addresses)
    before = ask(connection)
    if how == "requested":
        fleet.fail_over_cluster(CLUSTER)
    else:
        fleet.inject(facts.writer_id or "", Fault("kill"))
    begun = time.monotonic()
    while time.monotonic() < begun + PATIENCE:
        try:
            ask(connection)
        except FailoverSuccessError:
            after = ask(connection)
            connection.close()
            return {"how": how, "before": before, "after": after, "seconds": round(time.monotonic() - begun, 3)}
    raise SystemExit(f"{how}: the wrapper saw no failover within {PATIENCE:g} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        fleet = Fleet(Path(directory), notify=lambda _: None)
        fleet.start()
        try:
            addresses = make_cluster(fleet)
            found = [measure(fleet, addresses, how) for how in ("requested", "kill -9")]
        finally:
            release_resources()
            fleet.close()
    if options.json:
        print(json.dumps(found))
        return
    for each in found:
        print(f"{each['how']:10}  {each['before']} -> {each['after']}  {each['seconds']} s")


if __name__ == "__main__":
    main()
