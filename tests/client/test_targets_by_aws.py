"""What a secret says of a target: little, and enough; and the master user's secret that may not be read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3
import pytest

import rdskit
from rdskit.client.credentials import EnvironmentCredentials, MasterUserCredentials, SecretContent
from rdskit.client.credentials.content import parse_content
from rdskit.kernel.endpoints import Endpoint
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.mysql_family import FamilyDatabase
    from tests.plugins.postgres import TestDatabase

pytestmark = pytest.mark.timeout(180)


@pytest.mark.usefixtures("local_rds")
async def test_a_secret_that_cannot_be_read_is_named_beside_what_to_give(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PGUSER", raising=False)
    monkeypatch.chdir(tmp_path)
    owner = TaskOwner("test")
    credentials = MasterUserCredentials("orders", "rds!db-of-another-account", EnvironmentCredentials(), owner)
    with pytest.raises(rdskit.ConfigError) as caught:
        await credentials.login(Endpoint("db", 5432))
    told = str(caught.value)
    assert "no user is given: name one in the target" in told
    assert "the secret of the master user of orders cannot be read: secret 'rds!db-of-another-account'" in told
    monkeypatch.setenv("PGUSER", "app")
    assert await credentials.login(Endpoint("db", 5432)) == rdskit.Login("app", None)
    await owner.close()


@pytest.mark.usefixtures("local_rds")
@pytest.mark.parametrize("fixture", ["database", "mysql_database", "mariadb_database"])
async def test_a_secret_without_an_engine_is_known_by_how_its_server_greets(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    database: TestDatabase | FamilyDatabase = request.getfixturevalue(fixture)
    content = {"username": database.user, "password": database.password, "host": database.host, "port": database.port}
    name = f"greeting/{fixture}"
    boto3.client("secretsmanager").create_secret(
        Name=name, SecretString=json.dumps(content | {"database": database.name})
    )
    async with rdskit.connect(f"secretsmanager:{name}", tls="off", min_size=0) as db:
        shown = await db.fetch_value("select version()")
        assert ("PostgreSQL" in shown) == (fixture == "database")
        current = "select current_database()" if fixture == "database" else "select database()"
        assert await db.fetch_value(current) == database.name, "the key 'database' counts as well"


@pytest.mark.usefixtures("local_rds")
async def test_a_secret_without_an_engine_and_without_a_server_says_what_is_missing() -> None:
    content = {"username": "app", "password": "not used", "host": "127.0.0.1", "port": 1}
    boto3.client("secretsmanager").create_secret(Name="greeting/none", SecretString=json.dumps(content))
    with pytest.raises(rdskit.ConfigError, match="add the key 'engine' with 'postgres', 'mysql' or 'mariadb'"):
        await rdskit.connect("secretsmanager:greeting/none")


def test_a_secret_may_call_its_database_by_either_name() -> None:
    both = '{"username": "u", "password": "p", "database": "two", "dbname": "one"}'
    assert parse_content(both, "secret").database == "one"
    assert parse_content('{"database": "two"}', "secret") == SecretContent("secret", database="two", keys=("database",))
