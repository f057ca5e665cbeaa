"""IAM tokens as the client keeps them: for how long, for which user, with which keys."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import pytest

import rdskit
from rdskit.client.credentials import IamCredentials
from rdskit.credentials import AwsKeys, Iam
from rdskit.kernel.endpoints import Endpoint
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ORDERS = Endpoint("orders.abc.eu-west-1.rds.amazonaws.com", 5432)
READER = Endpoint("orders-r1.abc.eu-west-1.rds.amazonaws.com", 5432)


class Clock:
    """The client's clock, in the test's hands."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)


@pytest.fixture
async def owner() -> AsyncIterator[TaskOwner]:
    found = TaskOwner("test")
    yield found
    await found.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFIRST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "first secret")
    return Clock()


def claims(login: rdskit.Login) -> dict[str, str]:
    host, _, query = str(login.password).partition("/?")
    return {"host": host, **dict(parse_qsl(query))}


async def test_a_token_is_kept_for_each_endpoint_for_fourteen_and_a_half_minutes(
    clock: Clock, owner: TaskOwner
) -> None:
    credentials = IamCredentials(Iam(), "app", owner, now=clock)
    first = await credentials.login(ORDERS)
    assert claims(first)["X-Amz-Credential"] == "AKIAFIRST/20260301/eu-west-1/rds-db/aws4_request"
    assert claims(first)["host"] == f"{ORDERS}"
    assert claims(await credentials.login(READER))["host"] == f"{READER}"
    clock.move(869)
    assert await credentials.login(ORDERS) is first
    clock.move(1)
    second = await credentials.login(ORDERS)
    assert claims(second)["X-Amz-Date"] == "20260301T121430Z"


async def test_a_refused_token_is_minted_anew_once_with_keys_that_are_looked_up_again(
    clock: Clock, owner: TaskOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = IamCredentials(Iam(), "app", owner, now=clock)
    first = await credentials.login(ORDERS)
    assert await credentials.login(ORDERS, refused=first) == first, "it was only just made"
    clock.move(60)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASECOND")
    second = await credentials.login(ORDERS, refused=first)
    assert claims(second)["X-Amz-Credential"].startswith("AKIASECOND/")
    assert await credentials.login(ORDERS, refused=first) is second, "others that were refused get the same"
    assert await credentials.login(ORDERS, refused=second) is second, "there is nothing else"


async def test_the_real_host_behind_an_alias_is_signed_for(clock: Clock, owner: TaskOwner) -> None:
    credentials = IamCredentials(Iam(user="reporting", host=ORDERS.host), "app", owner, now=clock)
    login = await credentials.login(Endpoint("db.example.com", 5432))
    assert (login.user, claims(login)["DBUser"]) == ("reporting", "reporting")
    assert claims(login)["host"] == f"{ORDERS}"


async def test_what_is_not_known_is_named(clock: Clock, owner: TaskOwner, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(rdskit.ConfigError, match="credentials='iam' needs a user"):
        await IamCredentials(Iam(), None, owner, now=clock).login(ORDERS)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    alias = Endpoint("db.example.com", 5432)
    with pytest.raises(rdskit.ConfigError, match=r"region of 'db\.example\.com' is unknown.*AWS_REGION"):
        await IamCredentials(Iam(), "app", owner, now=clock).login(alias)
    monkeypatch.setenv("AWS_REGION", "ap-southeast-2")
    login = await IamCredentials(Iam(), "app", owner, now=clock).login(alias)
    assert "/ap-southeast-2/" in claims(login)["X-Amz-Credential"]
    with pytest.raises(rdskit.ConfigError, match="give one of them"):
        Iam(role_arn="arn:aws:iam::123456789012:role/x", keys=asyncio.Future)


async def test_keys_from_elsewhere_are_asked_for_once_and_again_before_they_end(clock: Clock, owner: TaskOwner) -> None:
    asked = 0
    gate = asyncio.Event()

    async def keys() -> AwsKeys:
        nonlocal asked
        asked += 1
        await gate.wait()
        return AwsKeys(f"ASIA{asked}", "secret", "session", clock() + dt.timedelta(minutes=20))

    credentials = IamCredentials(Iam(keys=keys), "app", owner, now=clock)
    callers = [asyncio.ensure_future(credentials.login(each)) for each in (ORDERS, READER) for _ in range(50)]
    await asyncio.sleep(0)
    callers[0].cancel()
    gate.set()
    logins = await asyncio.gather(*callers, return_exceptions=True)
    assert asked == 1
    assert len({each for each in logins if isinstance(each, rdskit.Login)}) == 2
    clock.move(14 * 60)
    assert claims(await credentials.login(Endpoint(READER.host, 1)))["X-Amz-Credential"].startswith("ASIA1/")
    clock.move(2 * 60)
    assert claims(await credentials.login(ORDERS))["X-Amz-Credential"].startswith("ASIA2/")


async def test_a_token_ends_with_the_keys_that_signed_it(clock: Clock, owner: TaskOwner) -> None:
    async def keys() -> AwsKeys:
        return AwsKeys("ASIA", "secret", "session", clock() + dt.timedelta(minutes=6))

    credentials = IamCredentials(Iam(keys=keys), "app", owner, now=clock)
    first = await credentials.login(ORDERS)
    clock.move(330)
    assert await credentials.login(ORDERS) is first
    clock.move(1)
    assert await credentials.login(ORDERS) is not first


async def test_a_profile_with_a_credentials_process(
    owner: TaskOwner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What Okta, SAML and SSO tools offer: the standard chain runs them, and so does a token."""
    write_profile(monkeypatch, tmp_path, {"Version": 1, "AccessKeyId": "ASIAPROC", "SecretAccessKey": "s"})
    login = await IamCredentials(Iam(), "app", owner).login(ORDERS)
    assert claims(login)["X-Amz-Credential"].startswith("ASIAPROC/")
    write_profile(monkeypatch, tmp_path, {"Version": 1, "AccessKeyId": "ASIANEXT", "SecretAccessKey": "s"})
    credentials = IamCredentials(Iam(), "app", owner, now=(clock := Clock()))
    first = await credentials.login(ORDERS)
    assert claims(first)["X-Amz-Credential"].startswith("ASIAPROC/"), "keys without an end are kept"
    clock.move(10)
    renewed = await credentials.login(ORDERS, refused=first)
    assert claims(renewed)["X-Amz-Credential"].startswith("ASIANEXT/")


@pytest.mark.parametrize(
    ("printed", "status", "reason"),
    [("not JSON: hunter2", 0, "its output is not JSON"), ("", 1, "run it by hand to see why")],
)
async def test_a_credentials_process_that_fails_is_named_and_not_quoted(
    owner: TaskOwner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, printed: str, status: int, reason: str
) -> None:
    write_profile(monkeypatch, tmp_path, printed, status)
    with pytest.raises(rdskit.ConfigError, match=f"custom-process: .*{reason}") as caught:
        await IamCredentials(Iam(), "app", owner).login(ORDERS)
    assert "hunter2" not in everything_about(caught.value)


async def test_a_credentials_process_that_is_not_there(
    owner: TaskOwner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_profile(monkeypatch, tmp_path, "")
    (tmp_path / "process").unlink()
    with pytest.raises(rdskit.ConfigError, match=r"are not available from FileNotFoundError: .*process"):
        await IamCredentials(Iam(), "app", owner).login(ORDERS)


async def test_no_keys_anywhere(owner: TaskOwner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_keys(monkeypatch, tmp_path)
    with pytest.raises(rdskit.ConfigError, match=r"no AWS credentials were found; set AWS_DEFAULT_REGION and"):
        await IamCredentials(Iam(), "app", owner).login(ORDERS)


async def test_a_token_is_never_sent_in_the_clear() -> None:
    for credentials in ("iam", Iam()):
        with pytest.raises(rdskit.ConfigError, match="with tls='off' would send the token in the clear"):
            await rdskit.connect("postgresql://app@127.0.0.1:1/shop", credentials=credentials, tls="off")


def without_keys(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))


def write_profile(monkeypatch: pytest.MonkeyPatch, folder: Path, printed: object, status: int = 0) -> None:
    """Write a profile ``federated`` whose process prints something, a secret on its error output included."""
    without_keys(monkeypatch, folder)
    text = printed if isinstance(printed, str) else json.dumps(printed)
    program = folder / "process"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nprint({text!r})\nprint('hunter2', file=sys.stderr)\nsys.exit({status})\n"
    )
    program.chmod(stat.S_IRWXU)
    (folder / "config").write_text(f"[profile federated]\ncredential_process = {program}\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_PROFILE", "federated")


def everything_about(error: BaseException | None) -> str:
    """Return an exception and everything that its traceback would show."""
    if error is None:
        return ""
    return f"{error!r} {vars(error)!r} {everything_about(error.__cause__)} {everything_about(error.__context__)}"


@pytest.mark.no_server
@pytest.mark.usefixtures("clock")
def test_a_token_of_keys_in_the_environment_needs_no_sdk() -> None:
    code = (
        "import asyncio, sys\n"
        "from rdskit.client.credentials import Iam, IamCredentials\n"
        "from rdskit.kernel.endpoints import Endpoint\n"
        "from rdskit.runtime.tasks import TaskOwner\n"
        "async def main():\n"
        "    owner = TaskOwner('test')\n"
        f"    await IamCredentials(Iam(), 'app', owner).login(Endpoint({ORDERS.host!r}, 5432))\n"
        "    await owner.close()\n"
        "asyncio.run(main())\n"
        "print([name for name in ('boto3', 'botocore') if name in sys.modules])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
