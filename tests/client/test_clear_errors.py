"""Wrong input and missing pieces: one error that names the thing and the next step."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

import rdskit
import rdskit.sync
from rdskit.client.tls import tls_context

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.postgres import TestDatabase


async def test_an_unknown_host() -> None:
    with pytest.raises(rdskit.ConnectError, match=r"host 'db\.invalid' is unknown .*check its spelling"):
        await rdskit.connect("postgresql://app:x@db.invalid/shop", tls="off")


async def test_an_unknown_database(database: TestDatabase) -> None:
    url = database.url.replace(database.name, "nowhere")
    with pytest.raises(rdskit.ConnectError, match="database 'nowhere' does not exist"):
        await rdskit.connect(url, tls="off")


async def test_a_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("rdskit.drivers.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(rdskit.ConfigError, match=r"pip install 'rdskit\[postgres\]'"):
        await rdskit.connect("postgresql://app:x@127.0.0.1/shop", tls="off")


async def test_a_missing_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "a configuration that no other test has cached")
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(rdskit.ConfigError, match=r"pip install 'rdskit\[aws\]'"):
        await rdskit.connect("rds://orders")


async def test_no_user_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGUSER", raising=False)
    with pytest.raises(rdskit.ConfigError, match="no user is given"):
        await rdskit.connect("postgresql://127.0.0.1/shop", tls="off")


@pytest.mark.parametrize("name", ["fetch_one", "execute", "transaction", "run", "close", "stats"])
def test_a_connection_that_was_not_awaited_says_so(name: str) -> None:
    connecting = rdskit.connect("postgresql://app:x@127.0.0.1:1/shop")
    with pytest.raises(
        rdskit.ConfigError, match=rf"connect\(…\)\.{name}: .*`db = await rdskit\.connect\(…\)` or `async"
    ):
        getattr(connecting, name)
    assert not hasattr(connecting, "nothing_like_it"), "a wrong name stays what it is"
    with pytest.raises(rdskit.ConfigError, match=r"`with rdskit\.sync\.connect"), connecting:  # type: ignore[attr-defined]  # on purpose
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tls": "maybe"}, "tls='maybe' is not a mode"),
        ({"tls": "off", "consistency": "sometimes"}, "consistency='sometimes'"),
        ({"tls": "off", "readers": "all"}, "readers='all'"),
        ({"tls": "off", "timeout": 0}, "timeout=0 leaves no time"),
        ({"tls": "off", "max_size": 0}, "max_size at least 1"),
        ({"tls": "off", "min_size": 5, "max_size": 3}, "min_size=5 is larger than max_size=3: lower it"),
        ({"tls": "off", "min_size": -1}, "min_size=-1 is too small"),
        ({"tls": "off", "max_size": "10"}, "max_size='10' is of type str: give a whole number"),
        ({"tls": "off", "max_size": True}, "max_size=True is of type bool: give a whole number"),
        ({"tls": "off", "timeout": "3"}, "timeout='3' is of type str: give seconds as a number"),
        ({"tls": "off", "timeout": True}, "timeout=True is of type bool"),
        ({"tls": "off", "connect_timeout": 0}, "connect_timeout=0 leaves no time"),
        ({"tls": "off", "spill": "half"}, "spill='half' is of type str: give a number from 0 to 1"),
        ({"tls": "off", "observers": [1]}, "observers[…]=1 is of type int: give a function"),
        ({"tls": "off", "token_key": 1234567890123456}, "token_key= is of type int: give a str"),
        ({"tls": "off", "credentials": 7}, "credentials= is of type int: give 'env'"),
        ({"tls": "off", "readers": [7]}, "readers[…]=7 is of type int: give a str"),
        ({"tls": "off", "credentials": "vault:x"}, "credentials='vault' is not known"),
        ({"ca": "/nowhere/ca.pem"}, "authority file '/nowhere/ca.pem' cannot be read"),
    ],
)
async def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(rdskit.ConfigError) as caught:
        await rdskit.connect("postgresql://app:x@127.0.0.1:1/shop", **options)  # type: ignore[arg-type]  # on purpose
    assert message in str(caught.value)


def test_one_connection_is_enough_for_the_smallest_pool(database: TestDatabase) -> None:
    with rdskit.sync.connect(database.url, tls="off", max_size=1) as db:
        assert db.stats().writer.size <= 1


def test_an_authority_that_is_none(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("not a certificate")
    with pytest.raises(rdskit.ConfigError, match="is not a PEM certificate"):
        tls_context("verify-full", wrong)


def test_one_context_for_the_process_and_the_shipped_authorities() -> None:
    context = tls_context("verify-full")
    assert context is not None
    assert context is tls_context("verify-full")
    assert context.check_hostname
    names = [str(ca["subject"]) for ca in context.get_ca_certs()]
    assert sum("Amazon RDS" in name for name in names) > 50
