"""Decisions of IAM policies, on plain documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdskit.local.control.iam.policy import Decision, Policies, decide

ACTION = "rds-db:connect"
RESOURCE = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABC/app"
CONTEXT = {
    "aws:username": "app",
    "aws:principalarn": "arn:aws:iam::123456789012:user/app",
    "aws:currenttime": "2026-03-01T12:00:00Z",
}


def statement(effect: str = "Allow", action: Any = ACTION, resource: Any = RESOURCE, **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def decision(*statements: dict[str, Any], limits: tuple[tuple[dict[str, Any], ...], ...] = ()) -> Decision:
    texts = tuple(tuple(document(each) for each in limit) for limit in limits)
    return decide(Policies(tuple(map(document, statements)), texts), ACTION, RESOURCE, CONTEXT)


def document(statements: dict[str, Any] | list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@pytest.mark.parametrize(
    "allowing",
    [
        statement(),
        statement(action="*", resource="*"),
        statement(action="RDS-DB:Connect"),
        statement(action=["s3:*", "rds-db:*"], resource=["arn:aws:s3:::x", RESOURCE]),
        statement(resource="arn:aws:rds-db:*:123456789012:dbuser:*/app"),
        statement(resource="arn:aws:rds-db:eu-west-?:123456789012:dbuser:db-???/app"),
        statement(resource=RESOURCE.replace("/app", "/${aws:username}")),
        statement(resource=RESOURCE.replace("/app", "/${aws:PrincipalTag/db, 'app'}")),
        {"Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:rds-db:*:*:dbuser:*/root"},
        statement(Condition={"StringEquals": {"aws:username": ["root", "app"]}}),
        statement(Condition={"StringNotEquals": {"aws:username": "root"}}),
        statement(Condition={"ArnLike": {"AWS:PrincipalArn": "arn:aws:iam::*:user/a*"}}),
        statement(Condition={"DateLessThan": {"aws:CurrentTime": "2027-01-01T00:00:00Z"}}),
        statement(Condition={"StringEqualsIfExists": {"aws:RequestedRegion": "eu-west-1"}}),
        statement(Condition={"Null": {"aws:MultiFactorAuthAge": "true"}}),
    ],
)
def test_statements_that_allow(allowing: dict[str, Any]) -> None:
    assert decision(allowing) is Decision.ALLOWED
    assert decision(allowing, statement("Deny")) is Decision.DENIED


@pytest.mark.parametrize(
    "other",
    [
        statement(action="rds:connect"),
        statement(action="rds-db:connec"),
        statement(resource=RESOURCE.replace("app", "root")),
        statement(resource=RESOURCE.replace("db-ABC", "db-abc")),
        statement(resource="arn.aws.rds-db*"),
        statement(resource=RESOURCE.replace("/app", "/${aws:PrincipalTag/db}")),
        {"Effect": "Allow", "NotAction": "rds-db:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "*", "NotResource": RESOURCE},
        {"Effect": "Allow", "Action": "*"},
        statement(Condition={"StringEquals": {"aws:username": "root"}}),
        statement(Condition={"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}),
        statement(Condition={"DateLessThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}),
        statement(Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}),
    ],
)
def test_statements_that_do_not_match(other: dict[str, Any]) -> None:
    assert decision(other) is Decision.NOT_ALLOWED
    assert decision(other, statement()) is Decision.ALLOWED


def test_no_policy_at_all() -> None:
    assert decision() is Decision.NOT_ALLOWED


def test_a_condition_that_is_not_known_here_denies_and_never_allows() -> None:
    unknown = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    assert decision(statement(Condition=unknown)) is Decision.NOT_ALLOWED
    assert decision(statement(), statement("Deny", Condition=unknown)) is Decision.DENIED


def test_a_deny_whose_condition_does_not_hold_denies_nothing() -> None:
    unless = {"StringNotEquals": {"aws:username": "app"}}
    assert decision(statement(), statement("Deny", Condition=unless)) is Decision.ALLOWED


def test_a_boundary_and_a_session_policy_must_allow_too() -> None:
    everything, nothing = statement(action="*", resource="*"), statement(action="s3:*")
    assert decision(everything, limits=((everything,), (statement(),))) is Decision.ALLOWED
    assert decision(everything, limits=((everything,), (nothing,))) is Decision.NOT_ALLOWED
    assert decision(everything, limits=((everything, statement("Deny")),)) is Decision.DENIED
    assert decision(nothing, limits=((everything,),)) is Decision.NOT_ALLOWED


def test_statements_in_one_document_count_in_any_order() -> None:
    both = [statement("Deny", resource="*"), statement()]
    for statements in (both, both[::-1]):
        assert decide(Policies((document(statements),)), ACTION, RESOURCE, CONTEXT) is Decision.DENIED


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="*?$")))
def test_without_wildcards_a_pattern_is_the_text_itself(text: str) -> None:
    policies = Policies((document(statement(resource=text)),))
    assert decide(policies, ACTION, text, {}) is Decision.ALLOWED
    assert decide(policies, ACTION, f"{text}x", {}) is Decision.NOT_ALLOWED
