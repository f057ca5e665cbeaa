"""A tour of the local RDS with nothing but boto3 and psycopg: what works here works on Amazon RDS.

    rdskit local up
    eval "$(rdskit local env)"
    python examples/boto3_tour.py

boto3 finds the local RDS by ``AWS_ENDPOINT_URL``, psycopg its certificate authority by ``RDSKIT_CA``. Without the
endpoint it creates nothing, unless ``--on-amazon`` says so; set RDSKIT_CA to Amazon's bundle there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

import boto3
import psycopg

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient

ORDERS, REPLICA = "tour-orders", "tour-orders-reader"
DEADLINE = 60.0


def main() -> None:
    """Create, connect, fail over, write, replicate, delete."""
    if "AWS_ENDPOINT_URL" not in os.environ and "--on-amazon" not in sys.argv:
        sys.exit('AWS_ENDPOINT_URL is not set, so instances would be created on Amazon: eval "$(rdskit local env)"')
    rds = boto3.client("rds")
    try:
        dsn = create(rds)
        fail_over(rds, dsn)
        replicate(rds, dsn)
    finally:
        delete(rds)


def create(rds: RDSClient) -> str:
    """Create a Multi-AZ instance with a managed master password, and return how to connect to it."""
    rds.create_db_instance(
        DBInstanceIdentifier=ORDERS,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        DBName="shop",
        MasterUsername="app",
        ManageMasterUserPassword=True,
        MultiAZ=True,
    )
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=ORDERS)
    dsn = dsn_of(rds, ORDERS)
    with psycopg.connect(dsn) as connection:
        connection.execute("create table orders (id int primary key, item text not null)")
        connection.execute("insert into orders values (1, 'tea')")
    print(f"created {ORDERS} in {zone(rds)}")
    return dsn


def fail_over(rds: RDSClient, dsn: str) -> None:
    """Force a failover, and write through the same address as before."""
    begun = time.monotonic()
    rds.reboot_db_instance(DBInstanceIdentifier=ORDERS, ForceFailover=True)
    insert(dsn, 2, "cake")
    print(f"wrote again {time.monotonic() - begun:.2f} s after the failover began")
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=ORDERS)
    print(f"the primary is in {zone(rds)} now, with {count(dsn)} orders")


def replicate(rds: RDSClient, dsn: str) -> None:
    """Add a read replica, and read from it what is written to its source."""
    rds.create_db_instance_read_replica(DBInstanceIdentifier=REPLICA, SourceDBInstanceIdentifier=ORDERS)
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=REPLICA)
    insert(dsn, 3, "milk")
    reader = dsn_of(rds, REPLICA)
    deadline = time.monotonic() + DEADLINE
    while count(reader) < 3:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{REPLICA} has not seen the third order")
    print(f"read {count(reader)} orders from {REPLICA}")
    try:
        insert(reader, 4, "sugar")
    except psycopg.errors.ReadOnlySqlTransaction as error:
        print(f"a write to the replica is refused: {error}")


def delete(rds: RDSClient) -> None:
    """Remove whatever there is."""
    for identifier in (REPLICA, ORDERS):
        try:
            rds.delete_db_instance(DBInstanceIdentifier=identifier, SkipFinalSnapshot=True)
        except rds.exceptions.DBInstanceNotFoundFault:
            continue
        rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier=identifier)
        print(f"deleted {identifier}")


def insert(dsn: str, number: int, item: str) -> None:
    """Insert an order; connect again until the database is back."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            with psycopg.connect(dsn) as connection:
                connection.execute("insert into orders values (%s, %s) on conflict do nothing", (number, item))
        except psycopg.errors.ReadOnlySqlTransaction:
            raise
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
        else:
            return


def count(dsn: str) -> int:
    """How many orders a database knows."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select count(*) from orders").fetchone()
    return int(row[0]) if row else 0


def dsn_of(rds: RDSClient, identifier: str) -> str:
    """How to connect to an instance, with the credentials of the managed secret, the server fully verified."""
    instance = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    secret = rds.describe_db_instances(DBInstanceIdentifier=ORDERS)["DBInstances"][0]["MasterUserSecret"]
    text = boto3.client("secretsmanager").get_secret_value(SecretId=secret["SecretArn"])["SecretString"]
    return psycopg.conninfo.make_conninfo(
        host=instance["Endpoint"]["Address"],
        port=instance["Endpoint"]["Port"],
        dbname="shop",
        user="app",
        password=json.loads(text)["password"],
        sslmode="verify-full",
        sslrootcert=os.environ["RDSKIT_CA"],
        connect_timeout=5,
    )


def zone(rds: RDSClient) -> str:
    """Where the primary is."""
    return rds.describe_db_instances(DBInstanceIdentifier=ORDERS)["DBInstances"][0]["AvailabilityZone"]


if __name__ == "__main__":
    main()
