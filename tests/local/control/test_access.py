"""Callers of the local RDS: keys, web pages, and headers that claim an identity."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import urlencode

import boto3
import botocore.auth
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from rdskit.cli.local import app
from rdskit.errors import LocalError
from rdskit.local import lifecycle
from rdskit.local.lifecycle import Guard
from tests.local.control.conftest import RETRY, LocalRdsDaemon, free_port
from tests.local.control.http_client import FORM, plain, send

if TYPE_CHECKING:
    from collections.abc import Iterator

DESCRIBE = "Action=DescribeDBInstances&Version=2014-10-31"
LIST_KEYS = "Action=ListAccessKeys&Version=2010-05-08"
SERVICES = ("rds", "secretsmanager", "ssm", "sns", "sqs", "iam", "sts", "kms", "ec2", "cloudwatch", "logs")
CALLS: dict[str, Any] = {
    "rds": lambda client: client.describe_db_instances(),
    "secretsmanager": lambda client: client.list_secrets(),
    "ssm": lambda client: client.describe_parameters(),
    "sns": lambda client: client.list_topics(),
    "sqs": lambda client: client.list_queues(),
    "iam": lambda client: client.list_users(),
    "sts": lambda client: client.get_caller_identity(),
    "kms": lambda client: client.list_keys(),
    "ec2": lambda client: client.describe_vpcs(),
    "cloudwatch": lambda client: client.list_metrics(),
    "logs": lambda client: client.describe_log_groups(),
}


def other_client(local: LocalRdsDaemon, service: str, **keys: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]  # a service's name at run time
        endpoint_url=lifecycle.env(local.data)["AWS_ENDPOINT_URL"],
        region_name="eu-west-1",
        config=RETRY,
        **{"aws_access_key_id": "AKIASOMEBODYELSE", "aws_secret_access_key": "secret", **keys},
    )


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_answers_its_own_keys_and_no_others(local: LocalRdsDaemon, service: str) -> None:
    CALLS[service](local.client(service))
    with pytest.raises(ClientError, match=r'eval "\$\(rdskit local env\)"') as unknown:
        CALLS[service](other_client(local, service))
    assert unknown.value.response["Error"]["Code"] in (
        *("InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure"),
    )
    own = lifecycle.env(local.data)["AWS_ACCESS_KEY_ID"]
    with pytest.raises(ClientError) as mismatch:
        CALLS[service](other_client(local, service, aws_access_key_id=own))
    assert mismatch.value.response["Error"]["Code"] in ("SignatureDoesNotMatch", "InvalidSignatureException")


def test_a_request_that_was_changed_on_its_way_is_refused(local: LocalRdsDaemon) -> None:
    assert send(local, DESCRIBE)[0] == 200
    for changes in (
        {"sent": "Action=DeleteDBInstance&DBInstanceIdentifier=a"},
        {"forged": {"X-Amz-Date": "20200101T000000Z"}},
        {"forged": {"X-Amz-Security-Token": "another"}},
        {"headers": {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}},
    ):
        status, text = send(local, DESCRIBE, **changes)
        assert status in (400, 403), changes
        assert "<Code>" in text
        assert "DBInstances" not in text


def test_a_presigned_request_is_verified_too(local: LocalRdsDaemon) -> None:
    asked: dict[str, Any] = {
        "method": "GET",
        "path": f"/?{DESCRIBE}",
        "presigned": True,
        "headers": {"Content-Type": ""},
    }
    status, text = send(local, **asked)
    assert (status, "DescribeDBInstancesResponse" in text) == (200, True), text
    assert send(local, **asked, secret="another")[0] == 403
    url = local.client("sts").generate_presigned_url("get_caller_identity", HttpMethod="GET")
    target = url.partition(f":{local.port}")[2]
    assert plain(local.port, target, method="GET")[0] == 200
    assert plain(local.port, target.replace("GetCallerIdentity", "GetSessionToken"), method="GET")[0] == 403


@pytest.mark.parametrize(("minutes", "reason"), [(-16, "Signature expired"), (16, "not yet current")])
def test_a_clock_that_is_wrong_by_more_than_a_quarter_of_an_hour_is_named(
    local: LocalRdsDaemon, minutes: int, reason: str
) -> None:
    def at(shift: int) -> tuple[int, str]:
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(minutes=shift)
        with mock.patch.object(botocore.auth, "get_current_datetime", return_value=now):
            return send(local, DESCRIBE)

    assert at(minutes // 2)[0] == 200
    status, text = at(minutes)
    assert status == 403
    assert reason in text
    assert "clock" in text


def test_keys_of_a_role_come_with_their_session_token(local: LocalRdsDaemon) -> None:
    role = local.client("iam").create_role(RoleName="assumed", AssumeRolePolicyDocument="{}")["Role"]
    keys = local.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="one")["Credentials"]
    given = {"aws_access_key_id": keys["AccessKeyId"], "aws_secret_access_key": keys["SecretAccessKey"]}
    assert other_client(local, "rds", **given, aws_session_token=keys["SessionToken"]).describe_db_instances()
    for token in ({}, {"aws_session_token": "another"}):
        with pytest.raises(ClientError, match="InvalidClientTokenId"):
            other_client(local, "rds", **given, **token).describe_db_instances()


def test_an_inactive_key_is_refused(local: LocalRdsDaemon) -> None:
    iam = local.client("iam")
    iam.create_user(UserName="former")
    key = iam.create_access_key(UserName="former")["AccessKey"]
    client = other_client(
        local, "rds", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )
    assert client.describe_db_instances()
    iam.update_access_key(UserName="former", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        client.describe_db_instances()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:4566"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "169.254.169.254"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_no_web_page_is_answered(local: LocalRdsDaemon, headers: dict[str, str]) -> None:
    for target in ("/", "/_rdskit/health", "/moto-api/reset"):
        status, text = plain(local.port, target, DESCRIBE, {"Content-Type": FORM, **headers})
        assert status == 403, target
        assert "local RDS" in text
    assert send(local, DESCRIBE, forged=headers)[0] == 403


def test_local_names_are_answered(local: LocalRdsDaemon) -> None:
    for host in (f"127.0.0.1:{local.port}", f"localhost:{local.port}", "LOCALHOST"):
        assert send(local, DESCRIBE, headers={"Host": host})[0] == 200


def test_own_pages_need_the_key(local: LocalRdsDaemon) -> None:
    for page in ("health", "instances", "clusters", "failovers", "nonsense"):
        for headers in ({}, {"Authorization": "Bearer 0"}):
            status, text = plain(local.port, f"/_rdskit/{page}", headers=headers, method="GET")
            assert status == 401
            assert str(local.data) not in text
    fault = json.dumps({"identifier": "x", "kind": "kill"})
    assert plain(local.port, "/_rdskit/faults", fault, {"Content-Type": "application/json"})[0] == 401


def test_services_that_are_not_offered_are_refused(local: LocalRdsDaemon) -> None:
    for service in ("s3", "dynamodb", "lambda", "moto_api", "moto-api", "execute-api", "instance_metadata"):
        status, text = send(local, DESCRIBE, service=service)
        assert status == 400, service
        assert "UnknownOperationException" in text or "IncompleteSignature" in text
    for target in ("/moto-api/reset", "/latest/meta-data/", "/moto-api/data.json", "/s3_us-east-1/x", "/favicon.ico"):
        status, text = send(local, DESCRIBE.replace("Describe", "Delete"), path=target)
        assert status >= 400, target
        assert "<Code>" in text, target


def test_the_action_that_is_checked_is_the_one_that_runs(local: LocalRdsDaemon) -> None:
    """Run the checked action, although moto would search query, body and headers in another order."""
    create = "Action=CreateUser&UserName=smuggled"
    assert send(local, "Action=ListUsers", path=f"/?{create}", service="iam")[0] == 200
    assert send(local, "Action=ListUsers", headers={"Content-Type": ""}, path=f"/?{create}", service="iam")[0] == 200
    json_type = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "secretsmanager.ListSecrets"}
    for path, body in (
        ("/?Action=CreateSecret&Name=smuggled&SecretString=x", "{}"),
        ("/", '{"x": "&Action=CreateSecret&Name=smuggled&"}'),
    ):
        send(local, body, headers=json_type, path=path, service="secretsmanager")
    assert all(each["UserName"] != "smuggled" for each in local.client("iam").list_users()["Users"])
    assert local.client("secretsmanager").list_secrets()["SecretList"] == []


def test_saml_needs_a_role_that_trusts_the_provider(local: LocalRdsDaemon) -> None:
    """Require a role that trusts the provider, as AssumeRoleWithSAML is unsigned and returns a key."""
    from tests.aws.saml import saml_request

    client = boto3.client(
        "sts",
        endpoint_url=lifecycle.env(local.data)["AWS_ENDPOINT_URL"],
        region_name="eu-west-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=RETRY,
    )
    with pytest.raises(ClientError, match="make the SAML provider"):
        client.assume_role_with_saml(**saml_request("open"))
    body = "Action=AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::123456789012:role/open&RoleSessionName=aa"
    for action in (f"{body}&WebIdentityToken=aaaa", "Action=ListUsers", "Action=AssumeRoleWithSAML"):
        status, text = plain(local.port, "/", action, {"Content-Type": FORM})
        assert status == 403, action
        assert "AccessKeyId" not in text


def test_no_header_chooses_the_account(local: LocalRdsDaemon) -> None:
    before = sorted(local.data.rglob("*.state"))
    for account in ("../../../../etc/x", "999999999999", "a.b.c.d", "\u00e9"):
        forged = {"X-Moto-Account-Id": account.encode("latin-1")}
        status, _ = send(local, "Action=CreateUser&UserName=u1", service="iam", forged=forged)
        assert status in (200, 409)
    assert sorted(local.data.rglob("*.state")) == before
    for account in ("../../../../tmp/x", "..", "1", "a.b.c", "1" * 13):
        arn = f"arn:aws:sns:eu-west-1:{account}:none"
        body = {"Action": "ListSubscriptionsByTopic", "Version": "2010-03-31", "TopicArn": arn}
        send(local, urlencode(body), service="sns")
        send(local, urlencode({**body, "Action": "Publish", "Message": "m"}), service="sns")
    assert all(len(path.name.split(".")) == 4 for path in local.data.rglob("*.state"))
    assert sorted(local.data.parent.glob("x*")) == []
    lifecycle.down(local.data)
    lifecycle.up(local.data)
    names = [each["UserName"] for each in local.client("iam").list_users()["Users"]]
    assert "u1" in names, "the account is that of the key"


@pytest.fixture(scope="module")
def unverified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRdsDaemon]:
    data = tmp_path_factory.mktemp("open") / "data"
    started = lifecycle.up(data, free_port(), Guard(verify_signatures=False))
    try:
        yield LocalRdsDaemon(data, started.port)
    finally:
        lifecycle.reset(data)


def test_signatures_can_be_left_unverified_loudly(unverified: LocalRdsDaemon) -> None:
    assert other_client(unverified, "rds").describe_db_instances()["DBInstances"] == []
    assert "signatures are not verified" in (unverified.data / "daemon.log").read_text()
    health = lifecycle.status(unverified.data).health
    assert health is not None
    assert health["guard"] == {"verify_signatures": False, "enforce_iam": False}
    shown = CliRunner().invoke(app, ["status", "--data", str(unverified.data)])
    assert "signatures are not verified" in shown.output
    with pytest.raises(LocalError, match="already up with other options"):
        lifecycle.up(unverified.data, guard=Guard())
    assert lifecycle.up(unverified.data).already
    assert plain(unverified.port, "/", DESCRIBE, {"Host": "evil.example"})[0] == 403


def test_policies_decide_when_they_are_enforced(tmp_path_factory: pytest.TempPathFactory) -> None:
    data = tmp_path_factory.mktemp("strict") / "data"
    local = LocalRdsDaemon(data, lifecycle.up(data, free_port(), Guard(enforce_iam=True)).port)
    try:
        _check_policies(local)
    finally:
        lifecycle.reset(data)


def _check_policies(local: LocalRdsDaemon) -> None:
    iam = local.client("iam")
    iam.create_user(UserName="reader")
    statements = [
        {"Effect": "Allow", "Action": "rds:Describe*", "Resource": "*"},
        {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "arn:aws:secretsmanager:*:*:secret:shop/*"},
        {"Effect": "Deny", "Action": "rds:DescribeEvents", "Resource": "*"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName="reader", PolicyName="reads", PolicyDocument=document)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    rds, secrets = other_client(local, "rds", **keys), other_client(local, "secretsmanager", **keys)
    rds.describe_db_instances()
    secrets.create_secret(Name="shop/db", SecretString="x")
    secrets.get_secret_value(SecretId="shop/db")
    for refused in (
        rds.describe_events,
        lambda: rds.delete_db_instance(DBInstanceIdentifier="x", SkipFinalSnapshot=True),
        lambda: secrets.create_secret(Name="bank/db", SecretString="x"),
        secrets.list_secrets,
        lambda: other_client(local, "iam", **keys).create_access_key(UserName="rdskit"),
        lambda: other_client(local, "ec2", **keys).describe_vpcs(),
    ):
        with pytest.raises(ClientError, match="is not authorized to perform"):
            refused()
