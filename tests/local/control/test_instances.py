"""The life of instances through the AWS API, with plain boto3 and real servers."""

from __future__ import annotations

import json
import queue
import re
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from tests.local.control.conftest import PASSWORD, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mypy_boto3_rds.type_defs import DBInstanceTypeDef

    from tests.local.control.conftest import LocalRdsDaemon


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as refused:
        call()
    return refused.value.response["Error"]["Code"]


def started(local: LocalRdsDaemon, instance: DBInstanceTypeDef) -> datetime:
    """Return the start time of the server that answers."""
    with local.connect(instance) as connection:
        row = connection.execute("select pg_postmaster_start_time()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def test_created_means_that_logins_work(local: LocalRdsDaemon) -> None:
    rds = local.rds
    answer = rds.create_db_instance(
        DBInstanceIdentifier="born",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        MasterUsername="app",
        MasterUserPassword=PASSWORD,
        DBName="shop",
        Tags=[{"Key": "team", "Value": "checkout"}],
    )["DBInstance"]
    assert answer["DBInstanceStatus"] == "creating"
    assert "Endpoint" not in answer
    assert re.fullmatch(r"db-[A-Z2-7]{26}", answer["DbiResourceId"])
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier="born")
    instance = local.describe("born")
    with local.connect(instance, dbname="shop") as connection:
        row = connection.execute("select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()").fetchone()
    assert row is not None
    assert row[0] == "app"
    assert instance["Endpoint"]["Port"] == 5432
    assert instance["TagList"] == [{"Key": "team", "Value": "checkout"}]
    assert instance["AvailabilityZone"] == "eu-west-1a"
    assert "SecondaryAvailabilityZone" not in instance
    assert "DB instance created" in local.messages("born")
    local.delete("born")
    assert code_of(lambda: local.describe("born")) == "DBInstanceNotFound"


def test_managed_password_is_random_and_opens_the_database(local: LocalRdsDaemon) -> None:
    instance = local.create("managed", ManageMasterUserPassword=True)
    secret = instance["MasterUserSecret"]
    assert secret["SecretStatus"] == "active"
    assert re.search(r":secret:rds!db-[0-9a-f-]{36}-\w{6}$", secret["SecretArn"])
    credentials = local.secret(instance)
    assert set(credentials) == {"username", "password"}
    local.connect(instance, credentials["password"]).close()

    local.rds.modify_db_instance(DBInstanceIdentifier="managed", RotateMasterUserPassword=True, ApplyImmediately=True)
    local.settle("managed")
    rotated = local.secret(instance)
    assert rotated["password"] != credentials["password"]
    local.connect(instance, rotated["password"]).close()
    with pytest.raises(psycopg.OperationalError):
        local.connect(instance, credentials["password"])

    secrets = local.client("secretsmanager")
    previous = secrets.get_secret_value(SecretId=secret["SecretArn"], VersionStage="AWSPREVIOUS")
    assert json.loads(previous["SecretString"]) == credentials

    version = secrets.rotate_secret(SecretId=secret["SecretArn"])["VersionId"]
    local.settle("managed")
    current = secrets.get_secret_value(SecretId=secret["SecretArn"])
    assert current["VersionId"] == version
    local.connect(instance, json.loads(current["SecretString"])["password"]).close()
    write = {"SecretId": secret["SecretArn"], "SecretString": "{}"}
    assert code_of(lambda: secrets.put_secret_value(**write)) == "InvalidRequestException"

    local.delete("managed")
    assert code_of(lambda: secrets.describe_secret(SecretId=secret["SecretArn"])) == "ResourceNotFoundException"


def test_password_is_reset(local: LocalRdsDaemon) -> None:
    instance = local.create("reset")
    changed = local.rds.modify_db_instance(DBInstanceIdentifier="reset", MasterUserPassword="another-secret")
    assert changed["DBInstance"]["DBInstanceStatus"] == "resetting-master-credentials"
    local.settle("reset")
    local.connect(instance, "another-secret").close()
    with pytest.raises(psycopg.OperationalError):
        local.connect(instance, PASSWORD)
    assert "Reset master credentials" in local.messages("reset")
    local.delete("reset")


def test_failover_swaps_the_zones_and_keeps_the_data(local: LocalRdsDaemon) -> None:
    instance = local.create("twins", MultiAZ=True)
    assert (instance["AvailabilityZone"], instance["SecondaryAvailabilityZone"]) == ("eu-west-1a", "eu-west-1b")
    with local.connect(instance) as connection:
        connection.execute("create table kept (id int)")
        connection.execute("insert into kept values (1)")
    local.rds.reboot_db_instance(DBInstanceIdentifier="twins", ForceFailover=True)
    after = local.settle("twins")
    assert (after["AvailabilityZone"], after["SecondaryAvailabilityZone"]) == ("eu-west-1b", "eu-west-1a")
    assert after["Endpoint"] == instance["Endpoint"]
    with local.connect(after) as connection:
        connection.execute("insert into kept values (2)")
        assert connection.execute("select count(*) from kept").fetchone() == (2,)
    told = local.messages("twins")
    assert told.index("Multi-AZ instance failover started.") < told.index("Multi-AZ instance failover completed")
    local.delete("twins")


def test_conversion_to_multi_az_waits_for_apply_immediately(local: LocalRdsDaemon) -> None:
    local.create("single")
    assert (
        code_of(lambda: local.rds.reboot_db_instance(DBInstanceIdentifier="single", ForceFailover=True))
        == "InvalidParameterCombination"
    )
    waiting = local.rds.modify_db_instance(DBInstanceIdentifier="single", MultiAZ=True)["DBInstance"]
    assert waiting["PendingModifiedValues"] == {"MultiAZ": True}
    assert not waiting["MultiAZ"]
    local.rds.modify_db_instance(DBInstanceIdentifier="single", ApplyImmediately=True)
    converted = local.settle("single")
    assert converted["MultiAZ"]
    assert converted["PendingModifiedValues"] == {}
    local.rds.reboot_db_instance(DBInstanceIdentifier="single", ForceFailover=True)
    assert local.settle("single")["AvailabilityZone"] == "eu-west-1b"
    local.delete("single")


def test_another_class_restarts_the_server_and_the_same_one_does_not(local: LocalRdsDaemon) -> None:
    instance = local.create("grown")
    before = started(local, instance)
    change = partial(
        local.rds.modify_db_instance,
        DBInstanceIdentifier="grown",
        DBInstanceClass="db.r6g.large",
        ApplyImmediately=True,
    )
    answer = change()["DBInstance"]
    assert answer["DBInstanceStatus"] == "modifying"
    assert answer["DBInstanceClass"] == "db.t4g.micro"
    assert answer["PendingModifiedValues"] == {"DBInstanceClass": "db.r6g.large"}
    after = local.settle("grown")
    assert after["DBInstanceClass"] == "db.r6g.large"
    assert after["PendingModifiedValues"] == {}
    again = started(local, after)
    assert again > before
    assert local.messages("grown")[-2:] == [
        "Applying modification to database instance class.",
        "Finished applying modification to DB instance class.",
    ]
    assert change()["DBInstance"]["DBInstanceStatus"] == "available"
    assert started(local, after) == again
    local.delete("grown")


def test_another_class_fails_a_multi_az_instance_over(local: LocalRdsDaemon) -> None:
    local.create("pair", MultiAZ=True)
    local.rds.modify_db_instance(
        DBInstanceIdentifier="pair", DBInstanceClass="db.r6g.large", MultiAZ=True, ApplyImmediately=True
    )
    after = local.settle("pair")
    assert after["DBInstanceClass"] == "db.r6g.large"
    assert (after["AvailabilityZone"], after["SecondaryAvailabilityZone"]) == ("eu-west-1b", "eu-west-1a")
    told = local.messages("pair")
    assert told.index("Multi-AZ instance failover started.") < told.index("Multi-AZ instance failover completed")
    local.delete("pair")


def test_stop_and_start(local: LocalRdsDaemon) -> None:
    instance = local.create("sleeper")
    with local.connect(instance) as connection:
        connection.execute("create table kept (id int)")
    local.rds.stop_db_instance(DBInstanceIdentifier="sleeper")
    until(lambda: local.describe("sleeper")["DBInstanceStatus"] == "stopped")
    with pytest.raises(psycopg.OperationalError):
        local.connect(instance)
    assert code_of(lambda: local.rds.stop_db_instance(DBInstanceIdentifier="sleeper")) == "InvalidDBInstanceState"
    assert code_of(lambda: local.rds.reboot_db_instance(DBInstanceIdentifier="sleeper")) == "InvalidDBInstanceState"
    local.rds.start_db_instance(DBInstanceIdentifier="sleeper")
    with local.connect(local.settle("sleeper")) as connection:
        assert connection.execute("select count(*) from kept").fetchone() == (0,)
    local.delete("sleeper")


def test_read_replica_streams_refuses_writes_and_is_promoted(local: LocalRdsDaemon) -> None:
    source = local.create("origin")
    with local.connect(source) as connection:
        connection.execute("create table kept (id int)")
    rds = local.rds
    rds.create_db_instance_read_replica(DBInstanceIdentifier="copy", SourceDBInstanceIdentifier="origin")
    replica = local.settle("copy")
    assert replica["ReadReplicaSourceDBInstanceIdentifier"] == "origin"
    assert local.describe("origin")["ReadReplicaDBInstanceIdentifiers"] == ["copy"]
    assert replica["StatusInfos"] == [{"StatusType": "read replication", "Normal": True, "Status": "replicating"}]
    with local.connect(source) as connection:
        connection.execute("insert into kept values (1)")
    with local.connect(replica) as reading:
        until(lambda: reading.execute("select count(*) from kept").fetchone() == (1,))
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reading.execute("insert into kept values (2)")
    assert code_of(lambda: rds.stop_db_instance(DBInstanceIdentifier="origin")) == "InvalidDBInstanceState"

    rds.promote_read_replica(DBInstanceIdentifier="copy")
    promoted = local.settle("copy")
    assert "ReadReplicaSourceDBInstanceIdentifier" not in promoted
    assert local.describe("origin")["ReadReplicaDBInstanceIdentifiers"] == []
    with local.connect(promoted) as connection:
        connection.execute("insert into kept values (3)")
    local.delete("copy")
    local.delete("origin")


def test_deleting_a_source_promotes_its_replica(local: LocalRdsDaemon) -> None:
    local.create("parent")
    local.rds.create_db_instance_read_replica(DBInstanceIdentifier="child", SourceDBInstanceIdentifier="parent")
    local.settle("child")
    local.delete("parent")
    child = local.describe("child")
    assert "ReadReplicaSourceDBInstanceIdentifier" not in child
    with local.connect(child) as connection:
        connection.execute("create table written (id int)")
    local.delete("child")


def test_deletion_rules(local: LocalRdsDaemon) -> None:
    local.create("guarded", DeletionProtection=True)
    rds = local.rds
    delete: Any = {"DBInstanceIdentifier": "guarded"}
    assert code_of(lambda: rds.delete_db_instance(**delete, SkipFinalSnapshot=True)) == "InvalidParameterCombination"
    rds.modify_db_instance(DBInstanceIdentifier="guarded", DeletionProtection=False)
    assert code_of(lambda: rds.delete_db_instance(**delete)) == "InvalidParameterCombination"
    assert (
        code_of(lambda: rds.delete_db_instance(**delete, FinalDBSnapshotIdentifier="last"))
        == "InvalidParameterCombination"
    )
    local.delete("guarded")


def test_rename_keeps_endpoint_and_replicas(local: LocalRdsDaemon) -> None:
    before = local.create("old-name")
    local.rds.modify_db_instance(
        DBInstanceIdentifier="old-name", NewDBInstanceIdentifier="new-name", ApplyImmediately=True
    )
    after = local.describe("new-name")
    assert after["DbiResourceId"] == before["DbiResourceId"]
    local.connect(after).close()
    assert code_of(lambda: local.describe("old-name")) == "DBInstanceNotFound"
    local.delete("new-name")


def test_creation_that_is_refused(local: LocalRdsDaemon) -> None:
    create: Any = local.rds.create_db_instance
    good = {
        "DBInstanceIdentifier": "fine",
        "DBInstanceClass": "db.t4g.micro",
        "Engine": "postgres",
        "MasterUsername": "app",
        "MasterUserPassword": PASSWORD,
    }
    refused = {
        "InvalidParameterValue": [
            {"Engine": "oracle-ee"},
            {"MasterUserPassword": "short"},
            {"MasterUsername": "rdsadmin"},
        ],
        "InvalidParameterCombination": [{"EngineVersion": "9.6"}],
        "DBParameterGroupNotFound": [{"DBParameterGroupName": "nowhere"}],
    }
    for code, requests in refused.items():
        for request in requests:
            assert code_of(partial(create, **{**good, **request})) == code
    with pytest.raises(ClientError, match=r"oracle-ee\. The local RDS has postgres 1\d"):
        create(**{**good, "Engine": "oracle-ee"})
    assert code_of(lambda: local.describe("fine")) == "DBInstanceNotFound"


def test_an_action_without_real_servers_is_refused_as_an_aws_error(local: LocalRdsDaemon) -> None:
    with pytest.raises(ClientError, match="does not implement rds:CreateDBClusterSnapshot"):
        local.rds.create_db_cluster_snapshot(DBClusterIdentifier="c", DBClusterSnapshotIdentifier="s")
    with pytest.raises(ClientError, match="does not serve 'dynamodb'"):
        local.client("dynamodb").list_tables()
    with pytest.raises(ClientError, match="valid region, not 'mars-1'"):
        local.client("rds", "mars-1").describe_db_instances()
    arn = "arn:aws:rds:eu-west-1:123456789012:db:missing"
    assert code_of(lambda: local.rds.list_tags_for_resource(ResourceName=arn)) == "DBInstanceNotFound"


def test_events_reach_the_topics_of_subscriptions(local: LocalRdsDaemon) -> None:
    sns, sqs, rds = local.client("sns"), local.client("sqs"), local.rds
    topic = sns.create_topic(Name="rds-events")["TopicArn"]
    queue = sqs.create_queue(QueueName="rds-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    rds.create_event_subscription(
        SubscriptionName="creations",
        SnsTopicArn=topic,
        SourceType="db-instance",
        EventCategories=["creation"],
        Enabled=True,
    )
    local.create("announced")
    received = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
    told = json.loads(json.loads(received[0]["Body"])["Message"])
    assert (told["Source ID"], told["Event Message"]) == ("announced", "DB instance created")
    assert told["Event ID"].endswith("#RDS-EVENT-0005")
    local.delete("announced")
    assert "Messages" not in sqs.receive_message(QueueUrl=queue), "deletion is another category"


def test_slow_receiver_of_a_notification_delays_no_other_call(local: LocalRdsDaemon) -> None:
    received: queue.Queue[str] = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            # The receiver calls the API before it answers: this works only if the API does not wait for its answer.
            local.client("sts").get_caller_identity()
            self.send_response(200)
            self.end_headers()
            received.put(told["Type"])

        def log_message(self, *_: object) -> None:
            """Log nothing, unlike the default."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            sns = local.client("sns")
            topic = sns.create_topic(Name="hooks")["TopicArn"]
            sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://127.0.0.1:{server.server_port}/")
            sns.publish(TopicArn=topic, Message="hello")
            assert received.get(timeout=20) == "Notification"
        finally:
            server.shutdown()
            serving.join()


def test_regions_are_separate(local: LocalRdsDaemon) -> None:
    elsewhere = local.client("rds", "us-east-2")
    elsewhere.create_db_instance(
        DBInstanceIdentifier="abroad",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        MasterUsername="app",
        MasterUserPassword=PASSWORD,
    )
    elsewhere.get_waiter("db_instance_available").wait(DBInstanceIdentifier="abroad")
    (instance,) = elsewhere.describe_db_instances()["DBInstances"]
    assert instance["AvailabilityZone"] == "us-east-2a"
    assert instance["DBInstanceArn"] == "arn:aws:rds:us-east-2:123456789012:db:abroad"
    local.connect(instance).close()
    assert code_of(lambda: local.describe("abroad")) == "DBInstanceNotFound"
    elsewhere.delete_db_instance(DBInstanceIdentifier="abroad", SkipFinalSnapshot=True)
    elsewhere.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier="abroad")
