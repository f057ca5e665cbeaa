"""The AWS Advanced Python Wrapper, unmodified, on a local DB cluster: does its failover plugin survive?

    python bench/wrapper_cluster.py [--engine aurora-postgresql | aurora-mysql | postgres | mysql] [--json]

A writer and two readers of an Aurora or of a Multi-AZ DB cluster; one failover that is asked for, one by kill -9.
Printed: what the wrapper's client was without its writer. The local RDS gives addresses and the wrapper derives names,
so the script maps those, as a hosts file does.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mysql.connector
import psycopg
from aws_advanced_python_wrapper import AwsWrapperConnection, release_resources
from aws_advanced_python_wrapper.errors import FailoverSuccessError

from rdskit.local.engines.waiting import poll
from rdskit.local.fault_model import Fault
from rdskit.local.fleet import ClusterFacts, Fleet, InstanceSpec

if TYPE_CHECKING:
    from collections.abc import Callable

CLUSTER, USER, PASSWORD, DOMAIN = "cluster-BENCH", "app", "correct-horse", "local"
PATIENCE = 60.0
READERS = 2


@dataclass(frozen=True, slots=True)
class Case:
    """How the wrapper is used with one kind of cluster.

    Attributes:
        port: of its endpoints.
        dialect: the wrapper's name for it.
        driver: the wrapper's name for the driver.
        who: asks an instance for its own name.
        connect: opens the driver's connection; hosts are looked up in the given addresses.
    """

    port: int
    dialect: str
    driver: str
    who: str
    connect: Callable[[dict[str, str], dict[str, Any]], Any]


def connect_postgres(addresses: dict[str, str], options: dict[str, Any]) -> Any:
    host = options["host"]
    options = {**options, "hostaddr": addresses.get(host, host), "sslmode": "require"}
    return psycopg.Connection.connect(**options)


def connect_mysql(addresses: dict[str, str], options: dict[str, Any]) -> Any:
    host = options.pop("host")
    options["database"] = options.pop("dbname")
    options["connection_timeout"] = int(options.pop("connect_timeout"))
    return mysql.connector.connect(host=addresses.get(host, host), **options)


CASES = {
    "aurora-postgresql": Case(5432, "aurora-pg", "psycopg", "select aurora_db_instance_identifier()", connect_postgres),
    "postgres": Case(5432, "multi-az-pg", "psycopg", "select rds_tools.dbi_resource_id()", connect_postgres),
    "mysql": Case(3306, "multi-az-mysql", "mysql-connector-python", "select @@report_host", connect_mysql),
    "aurora-mysql": Case(3306, "aurora-mysql", "mysql-connector-python", "select @@aurora_server_id", connect_mysql),
}


def make_cluster(fleet: Fleet, engine: str) -> dict[str, str]:
    """Create a writer and two readers; return the addresses of their names."""
    fleet.create_cluster(CLUSTER, engine, CASES[engine].port)
    addresses = {}
    for name in ("one", "two", "three"):
        spec = InstanceSpec(
            resource_id=f"db-{name.upper()}",
            engine=engine,
            master_user=USER,
            master_password=PASSWORD,
            database="shop",
            port=CASES[engine].port,
            multi_az=False,
            zones=("eu-west-1a", "eu-west-1b"),
            parameters={},
            cluster_id=CLUSTER,
            identifier=name,
        )
        addresses[f"{name}.{DOMAIN}"] = fleet.create(spec).host
    return addresses


def open_wrapper(case: Case, facts: ClusterFacts, addresses: dict[str, str]) -> AwsWrapperConnection:
    """Open a connection of the wrapper with its failover plugin."""

    def connect(conninfo: str = "", **options: Any) -> Any:  # noqa: ARG001 - psycopg's first parameter
        return case.connect(addresses, options)

    return AwsWrapperConnection.connect(
        connect,
        host=facts.endpoint.host,
        port=facts.endpoint.port,
        dbname="shop",
        user=USER,
        password=PASSWORD,
        connect_timeout=5,
        plugins="failover",
        wrapper_dialect=case.dialect,
        wrapper_driver_dialect=case.driver,
        cluster_instance_host_pattern=f"?.{DOMAIN}",
        autocommit=True,
    )


def ask(connection: AwsWrapperConnection, who: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(who)
        return str(cursor.fetchone()[0])


def measure(fleet: Fleet, case: Case, addresses: dict[str, str], how: str) -> dict[str, object]:
    """One failover under a client that asks all the time; seconds until it has the new writer."""
    if not poll(lambda: len(fleet.describe_cluster(CLUSTER).in_sync) == READERS, timeout=PATIENCE):
        raise SystemExit("the readers do not come in sync")
    facts = fleet.describe_cluster(CLUSTER)
    connection = open_wrapper(case, facts, addresses)
    before = ask(connection, case.who)
    if how == "requested":
        fleet.fail_over_cluster(CLUSTER)
    else:
        fleet.inject(facts.writer_id or "", Fault("kill"))
    begun = time.monotonic()
    while time.monotonic() < begun + PATIENCE:
        try:
            ask(connection, case.who)
        except FailoverSuccessError:
            after = ask(connection, case.who)
            connection.close()
            return {"how": how, "before": before, "after": after, "seconds": round(time.monotonic() - begun, 3)}
    raise SystemExit(f"{how}: the wrapper saw no failover within {PATIENCE:g} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=CASES, default="aurora-postgresql")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        fleet = Fleet(Path(directory), notify=lambda _: None)
        fleet.start()
        try:
            addresses = make_cluster(fleet, options.engine)
            found = [measure(fleet, CASES[options.engine], addresses, how) for how in ("requested", "kill -9")]
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
