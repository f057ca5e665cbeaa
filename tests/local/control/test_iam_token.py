"""Verification of tokens of the AWS SDK: claims, dates and signatures."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from urllib.parse import quote

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdskit.local.control.iam.token import (
    Expectation,
    RefusedTokenError,
    check_claims,
    check_signature,
    parse_token,
)

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
EXPECTED = Expectation("orders.abc.eu-west-1.rds.amazonaws.com", 5432, "eu-west-1", "app user")
CLIENT = boto3.client("rds", "eu-west-1", aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key=SECRET)


def token(expected: Expectation = EXPECTED) -> str:
    made: str = CLIENT.generate_db_auth_token(expected.host, expected.port, expected.user, expected.region)
    return made


def refusal(text: str, expected: Expectation = EXPECTED, *, later: float = 0) -> str:
    with pytest.raises(RefusedTokenError) as caught:
        parsed = parse_token(text)
        check_claims(parsed, expected, parsed.signed_at + dt.timedelta(seconds=later))
    return str(caught.value)


def answer(text: str) -> str:
    try:
        return f"a token of {parse_token(text).key_id}"
    except RefusedTokenError as error:
        return str(error)


def test_the_sdks_token_opens() -> None:
    parsed = parse_token(token())
    assert (parsed.key_id, parsed.user, parsed.region) == ("AKIAEXAMPLE", "app user", "eu-west-1")
    check_claims(parsed, EXPECTED, dt.datetime.now(dt.UTC))
    check_signature(parsed, SECRET)


def test_temporary_keys_bring_their_session_token() -> None:
    session = "IQoJb3JpZ2luX2VjEXAMPLE//+=="
    client = boto3.client(
        "rds", "eu-west-1", aws_access_key_id="ASIA", aws_secret_access_key=SECRET, aws_session_token=session
    )
    parsed = parse_token(client.generate_db_auth_token(EXPECTED.host, EXPECTED.port, EXPECTED.user, EXPECTED.region))
    assert parsed.session_token == session
    check_signature(parsed, SECRET)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (replace(EXPECTED, user="root"), "the token is for user 'app user', the login is by 'root'"),
        (replace(EXPECTED, host="127.0.0.9"), "the token is for host orders.abc.eu-west-1.rds.amazonaws.com:5432"),
        (replace(EXPECTED, port=5433), "this is orders.abc.eu-west-1.rds.amazonaws.com:5433"),
        (replace(EXPECTED, region="us-east-1"), "the token is for region eu-west-1, the instance is in us-east-1"),
    ],
    ids=["user", "host", "port", "region"],
)
def test_a_token_for_something_else(other: Expectation, reason: str) -> None:
    assert reason in refusal(token(), other)


def test_another_service_or_action() -> None:
    assert "for rds-db:delete, not for rds-db:connect" in refusal(token().replace("=connect", "=delete"))
    assert "for dsql:connect, not for rds-db:connect" in refusal(token().replace("%2Frds-db%2F", "%2Fdsql%2F"))


@pytest.mark.parametrize("later", [-299, 0, 899, 900])
def test_a_token_within_its_lifetime(later: int) -> None:
    parsed = parse_token(token())
    check_claims(parsed, EXPECTED, parsed.signed_at + dt.timedelta(seconds=later))


def test_a_token_outside_its_lifetime() -> None:
    assert refusal(token(), later=901) == "the token expired 1 s ago: it serves for 900 s"
    assert "not yet valid: it was signed 301 s ahead; check the client's clock" in refusal(token(), later=-301)
    stretched = token().replace("X-Amz-Expires=900", "X-Amz-Expires=604800")
    assert "expired 1 s ago: it serves for 900 s" in refusal(stretched, later=901)


def test_another_secret_key() -> None:
    with pytest.raises(RefusedTokenError, match="key AKIAEXAMPLE has another secret access key"):
        check_signature(parse_token(token()), "another secret")


@pytest.mark.parametrize("text", ["", "correct-horse", "host/?", "db/?Action=connect", "postgres://x/?y=z"])
def test_a_password_is_recognized(text: str) -> None:
    assert "that is a password, not a token" in refusal(text)


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (lambda text: f"https://{text}", "begins with a scheme"),
        (lambda text: f"\n{text}", "it holds characters that no token has"),
        (lambda text: text.replace("DBUser=app", "DBUser=app%00"), "it holds characters that no token has"),
        (lambda text: text[: text.index("&X-Amz-Signature")], "X-Amz-Signature is missing"),
        (lambda text: text.replace("DBUser=app%20user&", ""), "DBUser is missing"),
        (lambda text: text + "&DBUser=root", "names a parameter twice"),
        (lambda text: text.replace("SHA256", "SHA1", 1), "must be signed with AWS4-HMAC-SHA256"),
        (lambda text: text.replace("=host", "=host%3Bx-amz-date"), "over the host alone"),
        (lambda text: text.replace("aws4_request", "aws3_request"), "X-Amz-Credential is not KEY/DAY"),
        (lambda text: text.replace("X-Amz-Date=2", "X-Amz-Date=x"), "X-Amz-Date is not a date"),
        (lambda text: text.replace("X-Amz-Date=2", "X-Amz-Date=1"), "its dates do not agree"),
    ],
)
def test_a_damaged_token(damaged: object, reason: str) -> None:
    assert reason in refusal(damaged(token()))  # type: ignore[operator]  # a function of the table above


@settings(deadline=None)
@given(st.text() | st.text().map(lambda text: f"db:5432/?Action=connect&X-Amz-{text}"))
def test_the_reason_never_repeats_the_text(text: str) -> None:
    assert len(text) < 12 or text not in answer(text)


@settings(deadline=None)
@given(st.sampled_from(["Action", "DBUser", "X-Amz-Date", "X-Amz-Expires"]), st.text(min_size=1, max_size=8))
def test_a_token_that_was_changed_after_signing_is_refused(name: str, addition: str) -> None:
    made = token()
    changed = made.replace(f"{name}=", f"{name}={quote(addition, safe='')}", 1)
    with pytest.raises(RefusedTokenError):
        check_signature(parse_token(changed), SECRET)
