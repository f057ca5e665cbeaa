"""IAM authentication: logins with tokens, and the reasons of refused ones."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest

import rdskit
from rdskit.aws.keys import assume_role, resolve_keys
from rdskit.aws.token import sign_token
from rdskit.credentials import AwsKeys, Iam
from rdskit.kernel.endpoints import Endpoint
from rdskit.local.certificates import LocalAuthority
from rdskit.local.endpoints.model import EndpointState
from rdskit.local.endpoints.process import EndpointProcess
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tests.plugins.local_rds import LocalRds

ENGINES = ("postgres", "mysql", "mariadb")
PASSWORD = "correct-horse-battery"
REGION = "eu-west-1"
MAKE_IAM_USER = {
    "postgres": ("create user {0}", "grant rds_iam to {0}"),
    "mysql": ("create user {0} identified with AWSAuthenticationPlugin as 'RDS'", "grant select on app.* to {0}"),
    "mariadb": ("create user {0} identified via AWSAuthenticationPlugin using 'RDS'", "grant select on app.* to {0}"),
}
SCHEMES = {"postgres": "postgresql", "mysql": "mysql", "mariadb": "mariadb"}
PROTOCOLS = {"postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


@dataclass(frozen=True)
class IamInstance:
    """An instance with IAM users, and logins of its clients."""

    engine: str
    identifier: str
    resource_id: str
    endpoint: Endpoint

    def url(self, user: str, endpoint: Endpoint | None = None) -> str:
        return f"{SCHEMES[self.engine]}://{user}@{endpoint or self.endpoint}/app"

    async def whoami(self, user: str, credentials: Any, **options: Any) -> str:
        """Log in and return the user's name on the server."""
        url = self.url(user, options.pop("endpoint", None))
        async with rdskit.connect(url, credentials=credentials, min_size=0, timeout=10, **options) as db:
            return str(await db.fetch_value("select current_user")).partition("@")[0]

    async def refusal(self, user: str, credentials: Any, **options: Any) -> str:
        """Try to log in and return the reason of the refusal."""
        with pytest.raises((rdskit.AuthenticationError, rdskit.TLSError)) as caught:
            await self.whoami(user, credentials, **options)
        await refused_connections_ended()
        return str(caught.value)

    def resource(self, user: str) -> str:
        return f"arn:aws:rds-db:{REGION}:123456789012:dbuser:{self.resource_id}/{user}"


@pytest.fixture(scope="module", params=ENGINES)
def iam_instance(request: pytest.FixtureRequest, local_rds: LocalRds) -> Iterator[IamInstance]:
    engine = request.param
    identifier = f"iam-{engine}"
    rds = local_rds.rds
    rds.create_db_instance(
        DBInstanceIdentifier=identifier,
        DBInstanceClass="db.t3.micro",
        Engine=engine,
        AllocatedStorage=20,
        DBName="app",
        MasterUsername="keeper",
        MasterUserPassword=PASSWORD,
        EnableIAMDatabaseAuthentication=True,
    )
    local_rds.await_available(identifier)
    found = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    assert found["IAMDatabaseAuthenticationEnabled"]
    endpoint = Endpoint(found["Endpoint"]["Address"], found["Endpoint"]["Port"])
    asyncio.run(make_users(engine, endpoint))
    yield IamInstance(engine, identifier, found["DbiResourceId"], endpoint)
    local_rds.delete(identifier)


async def make_users(engine: str, endpoint: Endpoint) -> None:
    async with rdskit.connect(f"{SCHEMES[engine]}://keeper:{PASSWORD}@{endpoint}/app", min_size=0) as db:
        for user in ("ada", "bob"):
            for statement in MAKE_IAM_USER[engine]:
                await db.execute(statement.format(user))


def principal(name: str, *statements: dict[str, Any]) -> AwsKeys:
    """Create an IAM user with a policy, and return its access key."""
    iam = boto3.client("iam")
    iam.create_user(UserName=name)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document(*statements))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return AwsKeys(key["AccessKeyId"], key["SecretAccessKey"])


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(resource: str, effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Action": "rds-db:connect", "Resource": resource}


def signed_by(keys: AwsKeys, **options: Any) -> Iam:
    async def give() -> AwsKeys:
        return keys

    return Iam(keys=give, **options)


@dataclass(frozen=True)
class Forged:
    """Credentials that sign for the user and the time that the test sets."""

    keys: AwsKeys
    user: str | None = None
    ahead: float = 0.0
    change: Callable[[str], str] = str

    async def login(self, endpoint: Endpoint, *, refused: rdskit.Login | None = None) -> rdskit.Login:
        assert refused is None or refused.user == "ada"
        signed_at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.ahead)
        token = sign_token(self.keys, endpoint, self.user or "ada", REGION, signed_at)
        return rdskit.Login("ada", self.change(token))


@pytest.fixture
async def own_keys() -> AwsKeys:
    """Return the key pair of the local RDS, which may do everything."""
    return await resolve_keys()


async def refused_connections_ended() -> None:
    """Wait until refused connections have ended: TLS needs a round trip, and the driver does not wait for it."""
    loop = asyncio.get_running_loop()

    async def ended() -> bool:
        open_ones = loop._transports.values()  # type: ignore[attr-defined]  # asyncio's own table of connections
        return all(each._sock is None for each in open_ones)

    await eventually(ended)


async def test_a_token_of_the_administrator(iam_instance: IamInstance) -> None:
    assert await iam_instance.whoami("ada", "iam") == "ada"
    assert await iam_instance.whoami("ada", Iam(region=REGION), endpoint=iam_instance.endpoint, tls="require") == "ada"


async def test_a_policy_for_one_user_of_one_instance(iam_instance: IamInstance) -> None:
    keys = principal(f"{iam_instance.engine}-one", allow(iam_instance.resource("ada")))
    assert await iam_instance.whoami("ada", signed_by(keys)) == "ada"
    assert f"rds-db:connect on {iam_instance.resource('bob')} is allowed by no policy of arn:aws:iam::" in (
        await iam_instance.refusal("bob", signed_by(keys))
    )


async def test_policies_of_a_group_and_a_managed_one(iam_instance: IamInstance) -> None:
    iam, keys = boto3.client("iam"), principal(f"{iam_instance.engine}-member")
    group, wide = f"{iam_instance.engine}-group", iam_instance.resource("*").replace(iam_instance.resource_id, "*")
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=f"{iam_instance.engine}-member")
    policy = iam.create_policy(PolicyName=group, PolicyDocument=document(allow(wide)))["Policy"]["Arn"]
    iam.attach_group_policy(GroupName=group, PolicyArn=policy)
    assert await iam_instance.whoami("bob", signed_by(keys)) == "bob"
    iam.put_group_policy(
        GroupName=group, PolicyName="not-bob", PolicyDocument=document(allow(iam_instance.resource("bob"), "Deny"))
    )
    assert "is denied by a policy of arn:aws:iam::" in await iam_instance.refusal("bob", signed_by(keys))
    assert await iam_instance.whoami("ada", signed_by(keys)) == "ada"


async def test_an_assumed_role(iam_instance: IamInstance) -> None:
    iam, name = boto3.client("iam"), f"{iam_instance.engine}-role"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document())["Role"]["Arn"]
    assert "is allowed by no policy of arn:aws:sts::123456789012:assumed-role/" in (
        await iam_instance.refusal("ada", Iam(role_arn=role))
    )
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(allow(iam_instance.resource("ada"))))
    assert await iam_instance.whoami("ada", Iam(role_arn=role, session_name="orders")) == "ada"
    keys = await assume_role(role, session_name="orders")
    without = AwsKeys(keys.access_key_id, keys.secret_access_key)
    assert "comes with another session token, or with none" in await iam_instance.refusal("ada", signed_by(without))


async def test_keys_that_are_refused(iam_instance: IamInstance, own_keys: AwsKeys) -> None:
    wrong = AwsKeys(own_keys.access_key_id, "another secret access key")
    assert f"key {wrong.access_key_id} has another secret access key" in await iam_instance.refusal(
        "ada", signed_by(wrong)
    )
    unknown = AwsKeys("AKIAUNKNOWN", own_keys.secret_access_key)
    assert "access key AKIAUNKNOWN is not known" in await iam_instance.refusal("ada", signed_by(unknown))
    nothing = principal(f"{iam_instance.engine}-nothing")
    assert "is allowed by no policy of" in await iam_instance.refusal("ada", signed_by(nothing))
    boto3.client("iam").update_access_key(
        UserName=f"{iam_instance.engine}-nothing", AccessKeyId=nothing.access_key_id, Status="Inactive"
    )
    assert f"access key {nothing.access_key_id} is inactive" in await iam_instance.refusal("ada", signed_by(nothing))


async def test_tokens_for_something_else(iam_instance: IamInstance, own_keys: AwsKeys) -> None:
    assert "is for user 'bob', the login is by 'ada'" in await iam_instance.refusal("ada", Forged(own_keys, user="bob"))
    assert f"is for region us-east-1, the instance is in {REGION}" in (
        await iam_instance.refusal("ada", Iam(region="us-east-1"))
    )
    assert f"is for host db.example.com:{iam_instance.endpoint.port}, this is {iam_instance.endpoint}" in (
        await iam_instance.refusal("ada", Iam(host="db.example.com"))
    )


async def test_expired_and_early_tokens(iam_instance: IamInstance, own_keys: AwsKeys) -> None:
    assert "the token expired " in await iam_instance.refusal("ada", Forged(own_keys, ahead=-1000))
    assert "this machine's clock" in await iam_instance.refusal("ada", Iam(user="ada", region="us-east-1"))
    assert "the token is not yet valid" in await iam_instance.refusal("ada", Forged(own_keys, ahead=1000))


async def test_texts_that_are_not_tokens(iam_instance: IamInstance, own_keys: AwsKeys) -> None:
    password = Forged(own_keys, change=lambda _: PASSWORD)
    assert "that is a password, not a token" in await iam_instance.refusal("ada", password)
    cut = Forged(own_keys, change=lambda token: token[:-80])
    assert "the token is malformed: X-Amz-Signature is missing" in await iam_instance.refusal("ada", cut)


async def test_no_token_without_tls(iam_instance: IamInstance, own_keys: AwsKeys) -> None:
    message = await iam_instance.refusal("ada", Forged(own_keys), tls="off")
    assert "TLS" in message
    assert "X-Amz-Signature" not in message


async def test_the_master_user_has_a_password(iam_instance: IamInstance) -> None:
    url = iam_instance.url("keeper").replace("keeper@", f"keeper:{PASSWORD}@")
    async with rdskit.connect(url, min_size=0) as db:
        assert str(await db.fetch_value("select current_user")).startswith("keeper")
    assert "X-Amz-Signature" not in await iam_instance.refusal("keeper", "iam")


async def test_an_instance_without_iam_authentication(iam_instance: IamInstance, local_rds: LocalRds) -> None:
    def switch(*, on: bool) -> dict[str, Any]:
        local_rds.rds.modify_db_instance(
            DBInstanceIdentifier=iam_instance.identifier, EnableIAMDatabaseAuthentication=on, ApplyImmediately=True
        )
        local_rds.await_available(iam_instance.identifier)
        found: dict[str, Any] = local_rds.rds.describe_db_instances(DBInstanceIdentifier=iam_instance.identifier)
        instance: dict[str, Any] = found["DBInstances"][0]
        return instance

    try:
        assert not switch(on=False)["IAMDatabaseAuthenticationEnabled"]
        assert "IAM authentication is not enabled" in await iam_instance.refusal("ada", "iam")
    finally:
        assert switch(on=True)["IAMDatabaseAuthenticationEnabled"]
    assert await iam_instance.whoami("ada", "iam") == "ada"


@pytest.mark.parametrize("iam_instance", ["postgres"], indirect=True)  # the monitor is the same for all engines
async def test_logins_while_the_control_plane_is_busy(iam_instance: IamInstance, local_rds: LocalRds) -> None:
    name = f"busy-{iam_instance.engine}"
    rds = local_rds.rds

    def status() -> str:
        found: str = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["DBInstanceStatus"]
        return found

    rds.create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t3.micro",
        Engine=iam_instance.engine,
        AllocatedStorage=20,
        MasterUsername="keeper",
        MasterUserPassword=PASSWORD,
        MultiAZ=True,
    )
    logins = 0
    while await asyncio.to_thread(status) == "creating":
        assert await iam_instance.whoami("ada", "iam") == "ada"
        logins += 1
    assert logins > 1, "the first login waited for the creation"
    await asyncio.to_thread(local_rds.await_available, name)
    await asyncio.to_thread(local_rds.delete, name)


async def test_another_authority(iam_instance: IamInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RDSKIT_CA")
    with pytest.raises(rdskit.TLSError, match=r"certificate of .* was refused: .*; pass ca=PATH or set RDSKIT_CA"):
        await iam_instance.whoami("ada", "iam")


@pytest.fixture
async def alias(iam_instance: IamInstance) -> AsyncIterator[Endpoint]:
    """Open another address of the instance, which its certificate does not name."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*iam_instance.endpoint)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield Endpoint(host, port)
    server.close()
    await server.wait_closed()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def test_another_host_name(iam_instance: IamInstance, alias: Endpoint) -> None:
    with pytest.raises(rdskit.TLSError, match=r"IP address mismatch.*; connect by the name that RDS gives"):
        await iam_instance.whoami("ada", "iam", endpoint=alias)
    real = Iam(host=iam_instance.endpoint.host, port=iam_instance.endpoint.port)
    assert await iam_instance.whoami("ada", real, endpoint=alias, tls="require") == "ada"


async def test_an_expired_certificate(
    iam_instance: IamInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = LocalAuthority(tmp_path)
    authority.ensure()
    monkeypatch.setattr("rdskit.local.certificates._TEN_YEARS", dt.timedelta(minutes=-1))
    files = authority.issue(tmp_path, "expired", ["127.0.0.1"])
    address = Endpoint("127.0.0.1", free_port())
    process = EndpointProcess()
    process.start()
    try:
        process.set(
            EndpointState(
                "expired",
                address,
                str(files.certificate),
                str(files.key),
                backend=iam_instance.endpoint,
                protocol=PROTOCOLS[iam_instance.engine],  # type: ignore[arg-type]  # one of the two
            )
        )
        with pytest.raises(rdskit.TLSError, match=r"certificate has expired; check this machine's clock"):
            await iam_instance.whoami("ada", "iam", endpoint=address, ca=authority.certificate_file)
    finally:
        process.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port
