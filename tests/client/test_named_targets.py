"""Targets by name: where rdskit.toml is found, what it may say, and errors that name the file and the key."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING

import pytest

import rdskit
import rdskit.sync
from rdskit.client.database import named
from rdskit.client.database.arguments import ConnectArguments
from rdskit.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.postgres import TestDatabase

ORDERS = '[targets.orders]\nurl = "rds://orders/shop"\ncredentials = "iam"\nca = "certs/ca.pem"\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a file, and the working directory two folders below it."""
    below = tmp_path / "a/b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    monkeypatch.delenv("RDSKIT_CONFIG", raising=False)
    (tmp_path / "rdskit.toml").write_text(ORDERS)
    return tmp_path


def test_the_file_is_found_upwards_and_its_paths_are_its_own(project: Path) -> None:
    assert named.named_target("orders") == named.NamedTarget(
        "rds://orders/shop", {"credentials": "iam", "ca": str(project / "certs/ca.pem")}
    )
    assert named.target_names() == ("orders",)


def test_an_argument_counts_over_the_file(project: Path) -> None:
    url, given = named.expanded("orders", ConnectArguments(credentials="env"))
    assert (url, given.credentials, given.ca) == ("rds://orders/shop", "env", str(project / "certs/ca.pem"))


def test_a_url_never_reads_the_file(project: Path) -> None:
    (project / "rdskit.toml").write_text("not TOML")
    given = ConnectArguments()
    assert named.expanded("rds://orders", given) == ("rds://orders", given)


def test_the_defaults_are_those_of_connect() -> None:
    parameters = inspect.signature(rdskit.connect).parameters
    defaults = {name: each.default for name, each in parameters.items() if name != "target"}
    assert ConnectArguments()._asdict() == defaults


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ('[targets.orders]\nurl = "rds://orders"\ncredential = "iam"', "targets.orders.credential", "credentials"),
        ('[targets.orders]\nurl = "rds://orders"\ncredentials = "nonsense"', "targets.orders.credentials", "ssm:/path"),
        ('[targets.orders]\nurl = "rds://orders"\ntls = "maybe"', "targets.orders.tls", "verify-full"),
        ('[targets.orders]\nurl = "rds://orders"\ntimeout = "5"', "targets.orders.timeout", "number"),
        ('[targets.orders]\nurl = "rds://orders"\nmax_size = true', "targets.orders.max_size", "whole number"),
        ('[targets.orders]\nurl = "rds://orders"\nmin_size = 9\nmax_size = 2', "targets.orders", "larger"),
        ('[targets.orders]\nurl = "oracle://x"', "targets.orders.url", "scheme 'oracle'"),
        ('[targets.orders]\nurl = "postgresql://u:hunter2@h/x"', "targets.orders.url", "contains a password"),
        ('[targets.orders]\ncredentials = "iam"', "targets.orders.url", "missing"),
        ('[targets]\norders = "rds://orders"', "targets.orders", "[targets.orders]"),
        ('[target.orders]\nurl = "rds://orders"', "target ", "[targets.NAME]"),
        ('[targets.order]\nurl = "rds://orders"', "'orders'", "did you mean 'order'"),
        ("[targets.orders\n", "not TOML", "line 1"),
    ],
)
def test_an_error_names_the_file_the_key_and_the_next_step(project: Path, text: str, key: str, words: str) -> None:
    path = project / "rdskit.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        named.named_target("orders")
    message = str(refused.value)
    assert message.startswith(str(path)), message
    assert key in message
    assert words in message
    assert "hunter2" not in message


def test_a_file_of_another_user_is_refused_unless_it_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project / "rdskit.toml"
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr("os.geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        named.named_target("orders")
    monkeypatch.setenv("RDSKIT_CONFIG", str(path))
    assert named.named_target("orders") is not None


def test_the_variable_names_a_file_that_exists(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDSKIT_CONFIG", str(project / "other.toml"))
    with pytest.raises(ConfigError, match="RDSKIT_CONFIG"):
        named.target_names()


async def test_without_a_file_the_error_speaks_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"a name in rdskit\.toml"):
        await rdskit.connect("orders")


async def test_connect_by_name(database: TestDatabase, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", database.password)
    (project / "rdskit.toml").write_text(
        f'[targets.shop]\nurl = "postgresql://{database.user}@{database.host}:{database.port}/{database.name}"\n'
        'tls = "off"\napplication_name = "by name"\n'
    )
    async with rdskit.connect("shop") as db:
        assert await db.fetch_value("show application_name") == "by name"
    with rdskit.sync.connect("shop") as db_sync:
        assert db_sync.fetch_value("show application_name") == "by name"
