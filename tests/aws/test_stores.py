"""Credentials that AWS keeps, read from the local RDS's Secrets Manager, Parameter Store and STS."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import boto3
import pytest

import rdskit
from rdskit.aws.keys import assume_role, resolve_keys
from rdskit.aws.secrets import read_pending_secret, read_secret
from rdskit.client.credentials import StoredCredentials, choose_credentials, read_content
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.targets import Engine, Target
from rdskit.runtime.tasks import TaskOwner
from tests.aws.saml import saml_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.plugins.local_rds import LocalRds

ENDPOINT = Endpoint("127.0.0.1", 5432)

pytestmark = pytest.mark.usefixtures("local_rds")


@pytest.fixture
async def owner() -> AsyncIterator[TaskOwner]:
    found = TaskOwner("test")
    yield found
    await found.close()


def store_secret(name: str, **content: Any) -> str:
    arn: str = boto3.client("secretsmanager").create_secret(Name=name, **content)["ARN"]
    return arn


def store_parameter(name: str, value: str) -> None:
    boto3.client("ssm").put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)


async def login(option: str, owner: TaskOwner, *, user: str | None = None) -> rdskit.Login:
    credentials = choose_credentials(option, Target(user=user), Engine.POSTGRES, owner)
    return await credentials.login(ENDPOINT)


async def test_a_secret_by_name_and_by_arn_in_its_own_region(owner: TaskOwner, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = store_secret("stores/json", SecretString=json.dumps({"username": "app", "password": "one"}))
    assert await login("secretsmanager:stores/json", owner) == rdskit.Login("app", "one")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert await login(f"secretsmanager:{arn}", owner) == rdskit.Login("app", "one")
    with pytest.raises(rdskit.ConfigError, match="'stores/json' does not exist in this account and region"):
        await login("secretsmanager:stores/json", owner)


async def test_a_secret_that_is_a_password(owner: TaskOwner) -> None:
    store_secret("stores/plain", SecretString="correct-horse")
    assert await login("secretsmanager:stores/plain", owner, user="app") == rdskit.Login("app", "correct-horse")


async def test_a_binary_secret_is_refused() -> None:
    store_secret("stores/binary", SecretBinary=b"hunter2")
    with pytest.raises(rdskit.ConfigError, match="'stores/binary' holds binary data; rdskit reads text"):
        await read_content("stores/binary")


async def test_the_pending_version_of_a_secret(owner: TaskOwner) -> None:
    store_secret("stores/pending", SecretString=json.dumps({"username": "app", "password": "current"}))
    assert await read_pending_secret("stores/pending") is None
    credentials = choose_credentials("secretsmanager:stores/pending", Target(), Engine.POSTGRES, owner)
    current = await credentials.login(ENDPOINT)
    boto3.client("secretsmanager").put_secret_value(
        SecretId="stores/pending",
        SecretString=json.dumps({"username": "app", "password": "next"}),
        VersionStages=["AWSPENDING"],
    )
    assert await credentials.login(ENDPOINT) == current, "no login was refused"
    assert (await credentials.login(ENDPOINT, refused=current)).password == "next"
    assert json.loads(await read_secret("stores/pending"))["password"] == "current"


@pytest.mark.parametrize(
    ("parameters", "path", "user", "expected"),
    [
        ({"/one/json": '{"username": "app", "password": "p"}'}, "/one/json", None, ("app", "p")),
        ({"/one/bare": "correct-horse"}, "/one/bare", "app", ("app", "correct-horse")),
        ({"/one/tree/user": "app", "/one/tree/password": "p"}, "/one/tree", None, ("app", "p")),
        ({"/one/names/username": "app", "/one/names/password": "p"}, "/one/names/", None, ("app", "p")),
        ({"/one/pass/password": "p"}, "/one/pass", "app", ("app", "p")),
    ],
    ids=["json", "bare", "tree", "username", "password only"],
)
async def test_a_parameter(
    owner: TaskOwner, parameters: dict[str, str], path: str, user: str | None, expected: tuple[str, str]
) -> None:
    for name, value in parameters.items():
        store_parameter(name, value)
    assert await login(f"ssm:{path}", owner, user=user) == rdskit.Login(*expected)


async def test_a_parameter_that_changes_is_read_again_once_it_is_refused(owner: TaskOwner) -> None:
    store_parameter("/two/json", '{"username": "app", "password": "one"}')
    credentials = choose_credentials("ssm:/two/json", Target(), Engine.POSTGRES, owner)
    assert isinstance(credentials, StoredCredentials)
    one = await credentials.login(ENDPOINT)
    store_parameter("/two/json", '{"username": "app", "password": "two"}')
    assert await credentials.login(ENDPOINT) is one
    assert (await credentials.login(ENDPOINT, refused=one)).password == "two"


async def test_a_parameter_that_is_not_there(owner: TaskOwner) -> None:
    with pytest.raises(rdskit.ConfigError, match=r"parameter '/nowhere' does not exist .* nor any below it"):
        await login("ssm:/nowhere", owner)


async def test_an_assumed_role_gives_temporary_keys() -> None:
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]}
    role = boto3.client("iam").create_role(RoleName="stores", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    keys = await assume_role(role["Arn"], session_name="test")
    assert keys.access_key_id.startswith("ASIA")
    assert keys.session_token
    assert keys.expires is not None
    assert keys.expires.tzinfo is not None


async def test_a_role_by_a_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    role = boto3.client("iam").create_role(RoleName="profiled", AssumeRolePolicyDocument="{}")["Role"]
    own = await resolve_keys()
    (tmp_path / "credentials").write_text(
        f"[base]\naws_access_key_id = {own.access_key_id}\naws_secret_access_key = {own.secret_access_key}\n"
    )
    profile = f"role_arn = {role['Arn']}\nsource_profile = base\nregion = eu-west-1\n"
    too_long = f"[profile refused]\nrole_session_name = {'x' * 65}\n{profile}"
    (tmp_path / "config").write_text(f"[profile shop]\n{profile}\n{too_long}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "shop")
    with caplog.at_level(logging.DEBUG):
        keys = await resolve_keys()
    assert keys.secret_access_key not in caplog.text
    assert str(keys.session_token) not in caplog.text
    assert keys.access_key_id.startswith("ASIA")
    assert keys.expires is not None
    assert await resolve_keys() == keys, "cached until they expire"
    assert await resolve_keys(refresh=True) != keys
    for profile_name, reason in (("refused", "from AssumeRole: .*ValidationError"), ("absent", "absent")):
        monkeypatch.setenv("AWS_PROFILE", profile_name)
        with pytest.raises(rdskit.ConfigError, match=reason) as caught:
            await resolve_keys()
        assert own.secret_access_key not in str(caught.value)


async def test_saml_is_asked_without_keys(local_rds: LocalRds, monkeypatch: pytest.MonkeyPatch) -> None:
    assert local_rds.data.exists()
    iam = boto3.client("iam")
    provider = iam.create_saml_provider(Name="idp", SAMLMetadataDocument="x" * 1000)["SAMLProviderArn"]
    trust = {"Effect": "Allow", "Action": "sts:AssumeRoleWithSAML", "Principal": {"Federated": provider}}
    iam.create_role(RoleName="federated", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    given = boto3.Session().client("sts").assume_role_with_saml(**saml_request("federated"))["Credentials"]
    assert given["AccessKeyId"].startswith("ASIA")


async def test_no_secret_is_logged_whatever_the_level(owner: TaskOwner, caplog: pytest.LogCaptureFixture) -> None:
    store_secret("stores/quiet", SecretString=json.dumps({"username": "app", "password": "correct-horse-77"}))
    store_parameter("/three/quiet", "correct-horse-88")
    role = boto3.client("iam").create_role(RoleName="quiet", AssumeRolePolicyDocument="{}")["Role"]
    with caplog.at_level(logging.DEBUG):
        await login("secretsmanager:stores/quiet", owner)
        await login("ssm:/three/quiet", owner, user="app")
        keys = await assume_role(role["Arn"], session_name="quiet")
        own = await resolve_keys()
    assert caplog.records, "boto3 logs much at this level"
    for secret in ("correct-horse", keys.secret_access_key, str(keys.session_token), own.secret_access_key):
        assert secret not in caplog.text
