"""DB clusters by the API: create, describe, fail over on request and after a fault, delete."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import psycopg
import pymysql
import pytest
from botocore.exceptions import ClientError

from rdskit.local import faults, lifecycle
from tests.local.control.conftest import PASSWORD, LocalRdsDaemon, until

NAME = "orders"


@pytest.fixture(scope="module")
def cluster(local: LocalRdsDaemon) -> str:
    rds = local.rds
    rds.create_db_cluster(
        DBClusterIdentifier=NAME,
        Engine="aurora-postgresql",
        MasterUsername="app",
        MasterUserPassword=PASSWORD,
        DatabaseName="shop",
        EnableIAMDatabaseAuthentication=True,
    )
    for name, tier in (("orders-a", 1), ("orders-b", 0)):
        rds.create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.r6g.large",
            Engine="aurora-postgresql",
            DBClusterIdentifier=NAME,
            PromotionTier=tier,
        )
    for name in ("orders-a", "orders-b"):
        rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=name)
    return NAME


def described(local: LocalRdsDaemon) -> Any:
    return local.rds.describe_db_clusters(DBClusterIdentifier=NAME)["DBClusters"][0]


def writer(local: LocalRdsDaemon) -> str:
    (name,) = [each["DBInstanceIdentifier"] for each in described(local)["DBClusterMembers"] if each["IsClusterWriter"]]
    return str(name)


def connect(local: LocalRdsDaemon, host: str, user: str = "app", password: str = PASSWORD) -> psycopg.Connection:
    return psycopg.connect(
        host=host,
        port=described(local)["Port"],
        user=user,
        password=password,
        dbname="shop",
        sslmode="verify-full",
        sslrootcert=lifecycle.env(local.data)["RDSKIT_CA"],
        autocommit=True,
        connect_timeout=10,
    )


def asked(local: LocalRdsDaemon, host: str, sql: str, *login: str) -> object:
    with connect(local, host, *login) as connection:
        row = connection.execute(sql).fetchone()
        return row[0] if row else None


def settled(local: LocalRdsDaemon, host: str, sql: str, expected: object) -> None:
    """Wait until a query at an endpoint has the expected result."""
    end, answer = time.monotonic() + 60, None
    while answer != expected:
        assert time.monotonic() < end, f"{host} leads to {answer}"
        try:
            answer = asked(local, host, sql)
        except psycopg.OperationalError as refused:
            answer = refused
            time.sleep(0.05)


def test_a_cluster_has_a_writer_a_reader_and_their_endpoints(local: LocalRdsDaemon, cluster: str) -> None:
    found = described(local)
    assert (found["DBClusterIdentifier"], found["Engine"], found["Status"]) == (
        cluster,
        "aurora-postgresql",
        "available",
    )
    roles = {each["DBInstanceIdentifier"]: each["PromotionTier"] for each in found["DBClusterMembers"]}
    assert roles == {"orders-a": 1, "orders-b": 0}
    current = writer(local)
    (other,) = set(roles) - {current}
    identifier = "select aurora_db_instance_identifier()"
    assert asked(local, found["Endpoint"], identifier) == current
    assert asked(local, found["ReaderEndpoint"], identifier) == other
    assert asked(local, local.describe(other)["Endpoint"]["Address"], identifier) == other
    assert local.describe(other)["DBClusterIdentifier"] == cluster


def test_failover_db_cluster_and_a_killed_writer_change_the_writer(local: LocalRdsDaemon, cluster: str) -> None:
    before = writer(local)
    assert local.rds.failover_db_cluster(DBClusterIdentifier=cluster)["DBCluster"]["Status"] == "failing-over"
    local.rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier=cluster)
    after = writer(local)
    assert after != before
    with connect(local, described(local)["Endpoint"]) as connection:
        connection.execute("create table kept (id int)")
    until(lambda: lifecycle.clusters(local.data)[0]["in_sync"] == [before], timeout=60)
    faults.inject(after, faults.kill(), data=local.data)
    until(lambda: writer(local) == before, timeout=60)
    until(lambda: reachable(local), timeout=60)
    assert [each["cause"] for each in lifecycle.failovers(local.data, cluster)] == ["requested", "primary-ended"]


def reachable(local: LocalRdsDaemon) -> bool:
    try:
        return asked(local, described(local)["Endpoint"], "select count(*) from kept") == 0
    except psycopg.OperationalError:
        return False


def test_another_class_restarts_a_member_in_its_place(local: LocalRdsDaemon, cluster: str) -> None:
    rds, before = local.rds, writer(local)
    assert cluster == NAME
    started = {}
    for name in ("orders-a", "orders-b"):
        host = local.describe(name)["Endpoint"]["Address"]
        settled(local, host, "select 1", 1)
        started[name] = asked(local, host, "select pg_postmaster_start_time()::text")
        rds.modify_db_instance(DBInstanceIdentifier=name, DBInstanceClass="db.r6g.xlarge", ApplyImmediately=True)
        assert local.settle(name)["DBInstanceClass"] == "db.r6g.xlarge"
        assert asked(local, host, "select pg_postmaster_start_time()::text") != started[name]
    assert writer(local) == before


def test_a_custom_endpoint_leads_to_the_members_it_names(local: LocalRdsDaemon, cluster: str) -> None:
    rds, who = local.rds, "select aurora_db_instance_identifier()"
    made = rds.create_db_cluster_endpoint(
        DBClusterIdentifier=cluster,
        DBClusterEndpointIdentifier="reports",
        EndpointType="ANY",
        StaticMembers=["orders-b"],
    )
    assert (made["EndpointType"], made["CustomEndpointType"], made["Status"]) == ("CUSTOM", "ANY", "available")
    settled(local, made["Endpoint"], who, "orders-b")  # a reader that lags joins the endpoint later
    assert asked(local, made["Endpoint"], who) == "orders-b"
    changed = rds.modify_db_cluster_endpoint(DBClusterEndpointIdentifier="reports", ExcludedMembers=["orders-b"])
    assert (changed["Endpoint"], changed["StaticMembers"]) == (made["Endpoint"], [])
    settled(local, made["Endpoint"], who, "orders-a")
    custom: Any = [{"Name": "db-cluster-endpoint-type", "Values": ["custom"]}]
    found = rds.describe_db_cluster_endpoints(DBClusterIdentifier=cluster)["DBClusterEndpoints"]
    assert [each["EndpointType"] for each in found] == ["WRITER", "READER", "CUSTOM"]
    (found[0],) = rds.describe_db_cluster_endpoints(Filters=custom)["DBClusterEndpoints"]
    assert found[0]["DBClusterEndpointIdentifier"] == "reports"
    assert described(local)["CustomEndpoints"] == [made["Endpoint"]]
    rds.delete_db_cluster_endpoint(DBClusterEndpointIdentifier="reports")
    with pytest.raises(psycopg.OperationalError):
        asked(local, made["Endpoint"], who)
    with pytest.raises(ClientError, match="not found"):
        rds.describe_db_cluster_endpoints(DBClusterEndpointIdentifier="reports")


def test_tokens_open_every_endpoint_of_a_cluster(local: LocalRdsDaemon, cluster: str) -> None:
    rds, found = local.rds, described(local)
    made = rds.create_db_cluster_endpoint(
        DBClusterIdentifier=cluster, DBClusterEndpointIdentifier="tokens", EndpointType="ANY"
    )
    with connect(local, found["Endpoint"]) as connection:
        connection.execute("create user ada")
        connection.execute("grant rds_iam to ada")
    for host in (found["Endpoint"], found["ReaderEndpoint"], made["Endpoint"]):
        token = rds.generate_db_auth_token(DBHostname=host, Port=5432, DBUsername="ada")
        assert asked(local, host, "select current_user", "ada", token) == "ada"
    elsewhere = rds.generate_db_auth_token(DBHostname=found["Endpoint"], Port=5432, DBUsername="ada")
    with pytest.raises(psycopg.OperationalError, match="token"):
        asked(local, found["ReaderEndpoint"], "select 1", "ada", elsewhere)
    rds.delete_db_cluster_endpoint(DBClusterEndpointIdentifier="tokens")


def test_events_of_a_cluster(local: LocalRdsDaemon, cluster: str) -> None:
    topic = local.client("sns").create_topic(Name="happenings")["TopicArn"]
    sqs = local.client("sqs")
    queue = sqs.create_queue(QueueName="happenings")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    local.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    local.rds.create_event_subscription(
        SubscriptionName="happenings", SnsTopicArn=topic, SourceType="db-cluster", EventCategories=["failover"]
    )
    local.rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier=cluster)
    local.rds.failover_db_cluster(DBClusterIdentifier=cluster)
    received: list[str] = []

    def told() -> bool:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        received.extend(json.loads(each["Body"])["Message"] for each in answer.get("Messages", ()))
        return any("Completed failover to DB instance" in each for each in received)

    until(told, timeout=60)
    events = local.rds.describe_events(SourceIdentifier=cluster, SourceType="db-cluster")["Events"]
    assert events[0]["Message"] == "DB cluster created."
    assert events[-1]["Message"] == f"Completed failover to DB instance: {writer(local)}"
    assert events[-1]["SourceArn"] == described(local)["DBClusterArn"]


def test_a_managed_password_of_a_cluster_opens_it_and_is_rotated(local: LocalRdsDaemon) -> None:
    rds, name = local.rds, "managed"
    rds.create_db_cluster(
        DBClusterIdentifier=name, Engine="aurora-postgresql", MasterUsername="app", ManageMasterUserPassword=True
    )
    rds.create_db_instance(
        DBInstanceIdentifier="managed-a",
        DBInstanceClass="db.r6g.large",
        Engine="aurora-postgresql",
        DBClusterIdentifier=name,
    )
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier="managed-a")

    def password() -> str:
        found: Any = rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]
        local.connect(local.describe("managed-a"), password=local.secret(found)["password"]).close()
        return local.secret(found)["password"]

    before = password()
    rds.modify_db_cluster(DBClusterIdentifier=name, RotateMasterUserPassword=True, ApplyImmediately=True)
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier="managed-a")
    assert password() != before


@pytest.mark.parametrize(
    ("operation", "settings", "code"),
    [
        ("delete_db_cluster", {"DBClusterIdentifier": NAME, "SkipFinalSnapshot": True}, "InvalidDBClusterStateFault"),
        ("describe_db_clusters", {"DBClusterIdentifier": "missing"}, "DBClusterNotFoundFault"),
        ("stop_db_instance", {"DBInstanceIdentifier": "orders-a"}, "InvalidParameterCombination"),
        ("modify_db_cluster", {"DBClusterIdentifier": NAME, "EngineVersion": "9"}, "InvalidParameterCombination"),
    ],
)
def test_invalid_requests_are_refused(
    local: LocalRdsDaemon, cluster: str, operation: str, settings: dict[str, Any], code: str
) -> None:
    assert cluster
    with pytest.raises(ClientError) as refused:
        getattr(local.rds, operation)(**settings)
    assert refused.value.response["Error"]["Code"] == code


def test_an_aurora_mysql_cluster_answers_statements_of_aurora(local: LocalRdsDaemon) -> None:
    rds, name = local.rds, "ledger"
    rds.create_db_cluster(
        DBClusterIdentifier=name, Engine="aurora-mysql", MasterUsername="app", MasterUserPassword=PASSWORD
    )
    rds.create_db_instance(
        DBInstanceIdentifier="ledger-a", DBInstanceClass="db.r6g.large", Engine="aurora-mysql", DBClusterIdentifier=name
    )
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier="ledger-a")
    found = rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]
    assert (found["Engine"], found["Port"], found["Status"]) == ("aurora-mysql", 3306, "available")
    ca: dict[str, Any] = {
        "ssl_ca": lifecycle.env(local.data)["RDSKIT_CA"],
        "ssl_verify_cert": True,
        "ssl_verify_identity": True,
    }
    with (
        contextlib.closing(
            pymysql.connect(host=found["Endpoint"], port=3306, user="app", password=PASSWORD, **ca)
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("select server_id, session_id from information_schema.replica_host_status")
        assert cursor.fetchall() == (("ledger-a", "MASTER_SESSION_ID"),)
    shown = lifecycle.clusters(local.data)
    assert {each["identifier"]: each["writer"] for each in shown}[name] == "ledger-a"
