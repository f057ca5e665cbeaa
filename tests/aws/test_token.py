"""IAM tokens signed here are those that the AWS SDK signs."""

from __future__ import annotations

import datetime as dt
import string
from urllib.parse import parse_qsl

import boto3
from hypothesis import given, settings
from hypothesis import strategies as st

from rdskit.aws.keys import AwsKeys
from rdskit.aws.token import sign_token
from rdskit.kernel.endpoints import Endpoint

SECRETS = st.text(string.ascii_letters + string.digits + "/+", min_size=40, max_size=40)
USERS = st.text(string.ascii_letters + string.digits + "_-. @ä", min_size=1, max_size=20)
CLIENTS = boto3.Session()
SESSIONS = st.none() | st.text(string.ascii_letters + "/+=", min_size=20, max_size=60)


def parts(token: str) -> tuple[str, list[tuple[str, str]]]:
    host, _, query = token.partition("/?")
    return host, sorted(parse_qsl(query, strict_parsing=True))


@settings(deadline=None, max_examples=25)
@given(SECRETS, USERS, SESSIONS, st.sampled_from(["eu-west-1", "us-gov-east-1", "cn-north-1"]))
def test_a_token_is_the_sdks_own(secret: str, user: str, session: str | None, region: str) -> None:
    host = "orders.abc123.eu-west-1.rds.amazonaws.com"
    client = CLIENTS.client(
        "rds", region, aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key=secret, aws_session_token=session
    )
    theirs = client.generate_db_auth_token(host, 5432, user, region)
    stamp = dict(parse_qsl(theirs.partition("/?")[2]))["X-Amz-Date"]
    signed_at = dt.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    ours = sign_token(AwsKeys("AKIAEXAMPLE", secret, session), Endpoint(host, 5432), user, region, signed_at)
    assert parts(ours) == parts(theirs)


def test_the_date_is_utc_whatever_zone_the_clock_has() -> None:
    keys, endpoint = AwsKeys("AKIAEXAMPLE", "secret"), Endpoint("db.example", 5432)
    moment = dt.datetime(2026, 3, 1, 0, 30, tzinfo=dt.UTC)
    elsewhere = moment.astimezone(dt.timezone(dt.timedelta(hours=-5)))
    assert sign_token(keys, endpoint, "app", "eu-west-1", moment) == sign_token(
        keys, endpoint, "app", "eu-west-1", elsewhere
    )


def test_a_host_is_signed_in_lower_case() -> None:
    moment = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    token = sign_token(AwsKeys("AKIA", "secret"), Endpoint("Orders.Example", 5432), "app", "eu-west-1", moment)
    assert token.startswith("orders.example:5432/?Action=connect&DBUser=app&")
