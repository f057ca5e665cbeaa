"""The control plane under kill -9 and with many threads: no answered change is lost, and no two are mixed."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from rdskit.local import lifecycle
from tests.local.control.conftest import PASSWORD, until

if TYPE_CHECKING:
    from tests.local.control.conftest import LocalRdsDaemon

THREADS = 20


def kill_daemon(local: LocalRdsDaemon) -> None:
    pid = lifecycle.status(local.data).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: not lifecycle.status(local.data).running)


def everything(local: LocalRdsDaemon) -> dict[str, Any]:
    """Return what a client sees of every service."""
    secrets, ssm, sns, sqs = (local.client(name) for name in ("secretsmanager", "ssm", "sns", "sqs"))
    kms, iam, ec2, logs = (local.client(name) for name in ("kms", "iam", "ec2", "logs"))
    metrics = local.client("cloudwatch").list_metrics(Namespace="Shop")["Metrics"]
    return {
        "instances": local.rds.describe_db_instances()["DBInstances"],
        "groups": local.rds.describe_db_parameter_groups()["DBParameterGroups"],
        "subscriptions": local.rds.describe_event_subscriptions()["EventSubscriptionsList"],
        "events": local.rds.describe_events()["Events"],
        "secret": secrets.get_secret_value(SecretId="api-key")["SecretString"],
        "parameter": ssm.get_parameter(Name="/shop/limit")["Parameter"],
        "topics": sns.list_topics()["Topics"],
        "topic subscriptions": sns.list_subscriptions()["Subscriptions"],
        "queues": sqs.list_queues()["QueueUrls"],
        "keys": kms.list_keys()["Keys"],
        "public key": kms.get_public_key(KeyId="alias/signing")["PublicKey"],
        "users": iam.list_users()["Users"],
        "networks": ec2.describe_vpcs()["Vpcs"],
        "log groups": logs.describe_log_groups()["logGroups"],
        "metrics": metrics,
    }


def create_in_every_service(local: LocalRdsDaemon) -> None:
    """Create a resource in every service."""
    local.client("secretsmanager").create_secret(Name="api-key", SecretString="s3cr3t")
    local.client("ssm").put_parameter(
        Name="/shop/limit", Value="10", Type="SecureString", Tags=[{"Key": "a", "Value": "b"}]
    )
    sns, sqs, kms = local.client("sns"), local.client("sqs"), local.client("kms")
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    queue = sqs.create_queue(QueueName="alerts")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sqs.send_message(QueueUrl=queue, MessageBody="still here")
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/signing", TargetKeyId=key)
    local.client("iam").create_user(UserName="ada")
    local.client("logs").create_log_group(logGroupName="/shop")
    local.client("cloudwatch").put_metric_data(Namespace="Shop", MetricData=[{"MetricName": "Orders", "Value": 1.0}])
    local.rds.create_event_subscription(SubscriptionName="all", SnsTopicArn=topic, SourceType="db-instance")


def test_kill_and_restart_lose_nothing_that_was_answered(fresh: LocalRdsDaemon) -> None:
    create_in_every_service(fresh)
    instance = fresh.create("survivor", ManageMasterUserPassword=True)
    with fresh.connect(instance, fresh.secret(instance)["password"]) as connection:
        connection.execute("create table kept as select 1 as id")
    before = everything(fresh)
    kill_daemon(fresh)

    lifecycle.up(fresh.data)
    after = everything(fresh)
    for name, found in before.items():
        assert after[name] == found, name
    sqs = fresh.client("sqs")
    bodies = [
        each["Body"] for each in sqs.receive_message(QueueUrl=before["queues"][0], MaxNumberOfMessages=10)["Messages"]
    ]
    assert "still here" in bodies
    with fresh.connect(instance, fresh.secret(instance)["password"]) as connection:
        assert connection.execute("select id from kept").fetchone() == (1,)


def test_creation_that_was_interrupted_is_finished_after_the_restart(fresh: LocalRdsDaemon) -> None:
    rds = fresh.rds
    rds.create_db_instance(
        DBInstanceIdentifier="halfway",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        MasterUsername="app",
        MasterUserPassword=PASSWORD,
        MultiAZ=True,
    )
    kill_daemon(fresh)
    lifecycle.up(fresh.data)
    fresh.connect(fresh.settle("halfway")).close()


def test_modifications_of_one_instance_are_serialized(local: LocalRdsDaemon) -> None:
    local.create("busy")
    begin = threading.Barrier(THREADS)
    clients = [local.rds for _ in range(THREADS)]

    def tag(number: int) -> None:
        begin.wait()
        arn = local.describe("busy")["DBInstanceArn"]
        clients[number].add_tags_to_resource(ResourceName=arn, Tags=[{"Key": f"k{number}", "Value": str(number)}])
        clients[number].modify_db_instance(DBInstanceIdentifier="busy", BackupRetentionPeriod=number + 1)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(tag, number) for number in range(THREADS)]:
            done.result()
    found = local.describe("busy")
    assert {each["Key"] for each in found["TagList"]} == {f"k{number}" for number in range(THREADS)}
    assert found["DBInstanceStatus"] == "available"
    local.delete("busy")


def test_a_waiting_consumer_delays_no_other_call(local: LocalRdsDaemon) -> None:
    sqs = local.client("sqs")
    queue = sqs.create_queue(QueueName="slow")["QueueUrl"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(local.client("sqs").receive_message, QueueUrl=queue, WaitTimeSeconds=20)
        until(lambda: not waiting.done())
        local.client("iam").list_users()
        assert not waiting.done()
        sqs.send_message(QueueUrl=queue, MessageBody="at last")
        assert waiting.result(timeout=10)["Messages"][0]["Body"] == "at last"
