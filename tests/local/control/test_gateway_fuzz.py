"""Malformed requests: each gets an answer of AWS's form in time, and the local RDS goes on."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from tests.local.control.http_client import FORM, exchange, send, status_of
from tests.plugins.rounds import for_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.local.control.conftest import LocalRdsDaemon

SECONDS = 240.0  # of soak, for each kind
MEBIBYTE = 1024**2
JSON = {"Content-Type": "application/x-amz-json-1.1"}
TARGETS = {
    "secretsmanager": "secretsmanager.CreateSecret",
    "ssm": "AmazonSSM.PutParameter",
    "sqs": "AmazonSQS.CreateQueue",
    "kms": "TrentService.CreateKey",
    "logs": "Logs_20140328.CreateLogGroup",
}
FORMS = {
    "rds": "Action=CreateDBParameterGroup&Version=2014-10-31&DBParameterGroupName=a&MaxRecords=1&Tags.Tag.1.Key=k",
    "sns": "Action=Subscribe&Version=2010-03-31&TopicArn=arn:aws:sns:eu-west-1:123456789012:none&Protocol=sqs",
    "iam": "Action=GetUser&Version=2010-05-08&UserName=none",
    "sts": "Action=AssumeRole&Version=2011-06-15&RoleArn=x&RoleSessionName=ab&DurationSeconds=900",
    "ec2": "Action=DescribeVpcs&Version=2016-11-15&MaxResults=5&Filter.1.Name=x&Filter.1.Value.1=y",
    "cloudwatch": "Action=PutMetricData&Version=2010-08-01&Namespace=n&MetricData.member.1.MetricName=m",
}
PIECES = ("%00", "%ff", "&", "=", ".1", ".member.99999", "Action", "\r\n", "'", '"', "{}", "[", "../", "é", "-1", "1e9")


def mutated(chance: random.Random, text: str) -> bytes:
    """Return a text with some pieces removed, doubled or inserted."""
    for _ in range(chance.randint(1, 5)):
        at, length = chance.randrange(len(text) + 1), chance.randint(0, 8)
        piece = chance.choice((*PIECES, text[at : at + length] * 2, ""))
        text = text[:at] + piece + text[at + length :]
    data = text.encode()
    return bytes(chance.randrange(256) if chance.random() < 0.01 else each for each in data)


def check(local: LocalRdsDaemon, chance: random.Random, rounds: Iterable[int]) -> int:
    for number in rounds:
        service = chance.choice((*TARGETS, *FORMS))
        if service in TARGETS:
            body = mutated(chance, json.dumps({"Name": "x", "SecretString": "s", "Tags": [{"Key": "k"}], "n": [1]}))
            headers = {**JSON, "X-Amz-Target": TARGETS[service]}
        else:
            body, headers = mutated(chance, FORMS[service]), {"Content-Type": FORM}
        status, text = send(local, body, service=service, headers=headers)
        where = f"round {number}: {service} {body!r}"
        assert 200 <= status < 600, where
        if status >= 400:
            assert "Code>" in text or '__type"' in text, where
        assert "Traceback" not in text, where
    return number + 1


def raw(chance: random.Random) -> Iterator[bytes]:
    """Yield requests that are barely HTTP."""
    head = b"POST /?a=b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n"
    whole = head + b"\r\n3\r\nabc\r\n0\r\n\r\n"
    while True:
        data = bytearray(whole)
        for _ in range(chance.randint(1, 12)):
            at = chance.randrange(len(data))
            kind = chance.randrange(3)
            if kind == 0:
                data[at] = chance.randrange(256)
            elif kind == 1:
                del data[at : at + chance.randint(1, 20)]
            else:
                data[at:at] = chance.choice((b"\r\n", b"\0", b"A" * 500, b": ", b" ", b"\xff"))
            data = data or bytearray(b"\0")
        yield bytes(data)


def check_raw(local: LocalRdsDaemon, chance: random.Random, rounds: Iterable[int]) -> int:
    requests = raw(chance)
    for number in rounds:
        request = next(requests)
        answer = exchange(local.port, request, timeout=5)
        assert not answer or status_of(answer) in (200, 400, 403, 408, 413, 415, 431, 501), (
            f"round {number}: {request!r}"
        )
    return number + 1


def test_malformed_requests(local: LocalRdsDaemon) -> None:
    check(local, random.Random(7), range(150))
    check_raw(local, random.Random(7), range(150))
    assert local.client("iam").list_users()["Users"]


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", [check, check_raw])
def test_malformed_requests_for_long(
    local: LocalRdsDaemon, kind: Callable[..., int], record_property: Callable[[str, object], None]
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    record_property("seed", seed)
    before = local.memory()
    count = kind(local, random.Random(seed), for_seconds(SECONDS))
    record_property("requests", count)
    print(f"{kind.__name__}: {count} requests, seed {seed}, {(local.memory() - before) / MEBIBYTE:+.0f} MiB")  # noqa: T201 - the report of a soak run
    assert local.client("iam").list_users()["Users"]
    assert local.memory() - before < 100 * MEBIBYTE


@pytest.mark.parametrize(
    ("service", "headers", "body", "code"),
    [
        ("secretsmanager", {**JSON, "X-Amz-Target": "secretsmanager.ListSecrets"}, "{", "SerializationException"),
        ("secretsmanager", {**JSON, "X-Amz-Target": "secretsmanager.ListSecrets"}, "[]", "SerializationException"),
        (
            "secretsmanager",
            {**JSON, "X-Amz-Target": "secretsmanager.ListSecrets"},
            "[" * 99999,
            "SerializationException",
        ),
        ("secretsmanager", {**JSON, "X-Amz-Target": "secretsmanager.Nonsense"}, "{}", "InvalidAction"),
        ("secretsmanager", JSON, "{}", "InvalidAction"),
        ("rds", {"Content-Type": FORM}, "Action=Nonsense", "InvalidAction"),
        ("rds", {"Content-Type": FORM}, "", "InvalidAction"),
        ("rds", {"Content-Type": FORM}, b"Action=DescribeDBInstances&x=\xff\xfe", "MalformedQueryString"),
        ("rds", {"Content-Type": FORM}, "Action=DescribeDBInstances" + "&a=b" * 10_001, "MalformedQueryString"),
        ("rds", {"Content-Type": FORM}, "Action=DescribeDBInstances&MaxRecords=many", "MalformedInput"),
        ("rds", {"Content-Type": FORM}, "Action=DescribeEvents&StartTime=yesterday", "MalformedInput"),
        ("rds", {"Content-Type": "multipart/form-data; boundary=x"}, "--x--", "MalformedHttpRequestException"),
    ],
)
def test_malformed_bodies_are_answered_with_an_aws_error(
    local: LocalRdsDaemon, service: str, headers: dict[str, str], body: str | bytes, code: str
) -> None:
    status, text = send(local, body, service=service, headers=headers)
    assert 400 <= status < 500
    assert code in text
