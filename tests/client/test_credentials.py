"""Credentials on plain values: what a secret says, what a .env file says, and when a login is tried again."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rdskit
from rdskit.aws.keys import AwsKeys
from rdskit.client.credentials import EnvironmentCredentials, SecretContent, StoredCredentials
from rdskit.client.credentials.content import parse_content
from rdskit.client.credentials.environment import MYSQL_NAMES, parse_env
from rdskit.client.credentials.iam import _Token
from rdskit.client.credentials.policy import (
    is_worth_minting,
    pause_after_refusal,
    region_of_host,
    role_keys_serve,
    token_serves,
)
from rdskit.client.targets.options import Options
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.targets import parse_target
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINT = Endpoint("127.0.0.1", 5432)
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)

# What RDS and Secrets Manager themselves write (RDS User Guide; Secrets Manager, "JSON structure of secrets").
SHAPES: dict[str, dict[str, Any]] = {
    "managed": {"username": "app", "password": "p"},
    "instance": {
        "username": "app",
        "password": "p",
        "engine": "postgres",
        "host": "orders.abc.eu-west-1.rds.amazonaws.com",
        "port": 5432,
        "dbname": "shop",
        "dbInstanceIdentifier": "orders",
    },
    "cluster": {
        "username": "app",
        "password": "p",
        "engine": "aurora-mysql",
        "host": "orders.cluster-abc.eu-west-1.rds.amazonaws.com",
        "port": "3306",
        "dbClusterIdentifier": "orders",
    },
    "rotated by another user": {
        "username": "app_clone",
        "password": "p",
        "engine": "mariadb",
        "host": "h",
        "port": 3307,
        "masterarn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:master",
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_that_rds_writes(shape: str) -> None:
    given = SHAPES[shape]
    content = parse_content(json.dumps(given), "secret 's'")
    assert content.login() == rdskit.Login(given["username"], "p")
    assert content.engine == given.get("engine")
    assert content.host == given.get("host")
    assert content.port == (int(given["port"]) if "port" in given else None)
    assert content.instance == given.get("dbInstanceIdentifier")
    assert content.cluster == given.get("dbClusterIdentifier")
    assert content.database == given.get("dbname")


@pytest.mark.parametrize("text", ["correct-horse", "12345", '"quoted"', "true", "[1]", "{half", " spaced "])
def test_a_bare_password_is_taken_as_it_is(text: str) -> None:
    content = parse_content(text, "secret 's'")
    assert content.login("app") == rdskit.Login("app", text)
    with pytest.raises(rdskit.ConfigError, match="is a password only; name its user in the target"):
        content.login()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"username": "app", "password": "hunter2",}', "looks like a JSON object but is not valid JSON"),
        ('{"user": "app", "pass": "hunter2"}', "has no 'username' and 'password'; its keys are: pass, user"),
        ('{"username": "app", "password": ["hunter2"]}', "has a 'password' of type list"),
        ('{"username": "app", "password": "hunter2", "port": "x"}', "has a 'port' that is not a number"),
        ("{}", "its keys are: none"),
    ],
)
def test_a_content_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises(rdskit.ConfigError, match=r"^secret 's' ") as caught:
        parse_content(text, "secret 's'").login()
    assert message in str(caught.value)
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("PGPASSWORD=secret", "secret"),
        ("  export PGPASSWORD = secret  ", "secret"),
        ("PGPASSWORD=se#cret # a comment", "se#cret"),
        ("PGPASSWORD='a b # $x \\n'", "a b # $x \\n"),
        ('PGPASSWORD="a\\tb \\"q\\" \\\\ $x" # c', 'a\tb "q" \\ $x'),
        ("PGPASSWORD=", ""),
        ("PGPASSWORD=a=b", "a=b"),
        ("PGPASSWORD=$HOME", "$HOME"),
    ],
)
def test_a_line_of_an_env_file(line: str, value: str) -> None:
    text = f"# first\n\nnot a line\n{line}\nOTHER=1\n"
    assert parse_env(text) == {"PGPASSWORD": value, "OTHER": "1"}


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["C", "Z"])), st.text())
def test_a_quoted_value_comes_back(word: str, text: str) -> None:
    literal = word.replace("'", "")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_env(f"A='{literal}'") == {"A": literal}
    if text.splitlines() == [text]:
        assert parse_env(f'A="{escaped}"') == {"A": text}


async def test_the_environment_wins_over_the_file_and_is_read_each_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("PGUSER=filed\nPGPASSWORD=one\nMYSQL_USER=mine\nMYSQL_PASSWORD=two\n")
    credentials = EnvironmentCredentials()
    assert await credentials.login(ENDPOINT) == rdskit.Login("filed", "one")
    assert await EnvironmentCredentials("given").login(ENDPOINT) == rdskit.Login("given", "one")
    assert await EnvironmentCredentials(names=MYSQL_NAMES).login(ENDPOINT) == rdskit.Login("mine", "two")
    monkeypatch.setenv("PGPASSWORD", "three")
    assert await credentials.login(ENDPOINT) == rdskit.Login("filed", "three")
    assert "PGUSER" not in os.environ


async def test_an_env_file_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"PGPASSWORD=\xff\xfe")
    with pytest.raises(rdskit.ConfigError, match=r"\.env cannot be read: it is not UTF-8 text"):
        await EnvironmentCredentials().login(ENDPOINT)


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("orders.abc123.eu-west-1.rds.amazonaws.com", "eu-west-1"),
        ("Orders.Cluster-ro-abc.US-GOV-EAST-1.rds.amazonaws.com", "us-gov-east-1"),
        ("p.proxy-abc.ap-southeast-2.rds.amazonaws.com", "ap-southeast-2"),
        ("orders.abc.rds.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("orders.abc.cn-northwest-1.rds.amazonaws.com.cn", "cn-northwest-1"),
        ("orders.global-abc.global.rds.amazonaws.com", None),
        ("db.example.com", None),
        ("orders.abc.eu-west-1.rds.amazonaws.com.example.com", None),
        ("127.0.0.1", None),
    ],
)
def test_the_region_in_a_host_name(host: str, region: str | None) -> None:
    assert region_of_host(host) == region


def test_a_token_serves_for_fourteen_and_a_half_minutes() -> None:
    assert token_serves(NOW, None, NOW)
    assert token_serves(NOW, None, NOW + dt.timedelta(seconds=869))
    assert not token_serves(NOW, None, NOW + dt.timedelta(seconds=870))
    assert not token_serves(NOW, None, NOW - dt.timedelta(seconds=1)), "the clock was set back"
    assert not token_serves(NOW, NOW + dt.timedelta(seconds=29), NOW), "a token ends with the keys that signed it"
    assert role_keys_serve(None, NOW)
    assert role_keys_serve(NOW + dt.timedelta(seconds=301), NOW)
    assert not role_keys_serve(NOW + dt.timedelta(seconds=300), NOW)
    assert not is_worth_minting(NOW, NOW + dt.timedelta(seconds=4))
    assert is_worth_minting(NOW, NOW + dt.timedelta(seconds=5))


@settings(deadline=None)
@given(st.floats(0, 60), st.floats(0.001, 1))
def test_refused_logins_are_tried_again_until_the_limit_and_never_beyond(limit: float, attempt_takes: float) -> None:
    elapsed, attempts, pauses = 0.0, 0, []
    while True:
        attempts += 1
        elapsed += attempt_takes
        pause = pause_after_refusal(attempts, elapsed, limit)
        if pause is None:
            break
        pauses.append(pause)
        elapsed += pause
        assert elapsed <= limit
    assert elapsed + 0.8 > limit
    assert pauses == sorted(pauses)
    assert pauses[:2] == [0.0, 0.0][: len(pauses)]


class Vault:
    """A store whose versions the test sets."""

    def __init__(self, current: str, pending: str | None = None) -> None:
        self.now: str = current
        self.next: str | None = pending
        self.readings = 0
        self.open = asyncio.Event()
        self.open.set()

    async def current(self) -> SecretContent:
        self.readings += 1
        await self.open.wait()
        return SecretContent("vault", "app", self.now)

    async def pending(self) -> SecretContent | None:
        return None if self.next is None else SecretContent("vault", "app", self.next)


async def test_a_refused_login_is_tried_with_the_current_then_the_pending_version_and_then_both_again() -> None:
    owner, vault = TaskOwner("test"), Vault("old")
    credentials = StoredCredentials(vault, None, owner)
    login = await credentials.login(ENDPOINT)
    vault.now, vault.next = "current", "pending"
    offered = []
    for _ in range(4):
        login = await credentials.login(ENDPOINT, refused=login)
        offered.append(login.password)
    assert offered == ["current", "pending", "current", "pending"]
    vault.next = None
    login = await credentials.login(ENDPOINT, refused=login)
    assert await credentials.login(ENDPOINT, refused=login) == login, "there is nothing else"
    await owner.close()


async def test_a_hundred_refused_callers_share_one_reading() -> None:
    owner, vault = TaskOwner("test"), Vault("old")
    credentials = StoredCredentials(vault, None, owner)
    stale = await credentials.login(ENDPOINT)
    vault.now = "new"
    vault.open.clear()
    callers = [asyncio.ensure_future(credentials.login(ENDPOINT, refused=stale)) for _ in range(100)]
    callers[0].cancel()
    await asyncio.sleep(0)
    callers[1].cancel()
    vault.open.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert {each.password for each in answers if isinstance(each, rdskit.Login)} == {"new"}
    assert vault.readings == 2, "once at first, once for all who were refused"
    await owner.close()


# No letter of a class name or an address, so that what is found is the secret.
@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=0x100, exclude_categories=["C", "Z"]), min_size=4))
def test_no_secret_is_in_a_repr(secret: str) -> None:
    owner = TaskOwner("test")
    values = [
        rdskit.Login("app", secret),
        AwsKeys("AKIAEXAMPLE", secret, secret),
        SecretContent("secret 's'", "app", secret),
        _Token(rdskit.Login("app", secret), NOW, None),
        Options(credentials=secret),
        StoredCredentials(Vault(secret), None, owner),
        parse_target(f"rds://app:{quote(secret)}@orders"),
    ]
    for value in values:
        shown = f"{value!r} {value}"
        assert secret not in shown
        assert quote(secret) not in shown
