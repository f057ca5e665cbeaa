"""Who is an IAM user of PostgreSQL, and how one gets in."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest

from rdskit.local.engines.postgres.throwaway import throwaway_postgres
from tests.local.endpoints.conftest import TOKEN, LoginRefused, is_cancelled, postgres_door

if TYPE_CHECKING:
    from pathlib import Path

    from rdskit.local.endpoints.process import EndpointProcess
    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres
    from tests.local.endpoints.conftest import IamEndpoint, Judge

pytestmark = pytest.mark.parametrize("door", ["postgres"], indirect=True)


def execute(door: IamEndpoint, sql: str) -> None:
    """On the server itself, as its superuser."""
    with door.bench.server.connect() as session:
        session.execute(sql)


@pytest.mark.parametrize(
    ("role", "iam"),
    [
        ("login in role rds_iam", True),
        ("login in role rds_iam password 'never asked for'", True),
        ("login in role staff", True),
        ("login superuser in role rds_iam password 'guess'", False),
        ("login noinherit password 'guess'", False),
    ],
)
def test_members_of_rds_iam_are_iam_users(door: IamEndpoint, role: str, *, iam: bool) -> None:
    execute(door, "create role staff nologin in role rds_iam")
    execute(door, f"create role someone {role}")
    try:
        if iam:
            assert door.whoami("someone", TOKEN) == "someone"
            with pytest.raises(LoginRefused, match="that is a password, not a token"):
                door.enter("someone", "never asked for")
        else:
            assert door.whoami("someone", "guess") == "someone"
            assert door.judge.asked == []
    finally:
        execute(door, "drop role someone, staff")


def test_the_master_who_may_hand_the_role_out_has_a_password(door: IamEndpoint) -> None:
    execute(door, "create role master login password 'masters own'")
    execute(door, "grant rds_iam to master with admin true, inherit false, set false")
    try:
        assert door.whoami("master", "masters own") == "master"
        assert door.judge.asked == []
    finally:
        execute(door, "drop role master")


def test_a_user_becomes_and_ceases_to_be_one_at_once(door: IamEndpoint) -> None:
    assert door.whoami("bob", door.password) == "bob"
    execute(door, "grant rds_iam to bob")
    assert door.whoami("bob", TOKEN) == "bob"
    with pytest.raises(LoginRefused, match="that is a password"):
        door.enter("bob", door.password)
    execute(door, "revoke rds_iam from bob")
    assert door.whoami("bob", door.password) == "bob"


async def test_asyncpg_by_token(door: IamEndpoint) -> None:
    address = door.bench.address
    context = ssl.create_default_context(cafile=str(door.bench.ca))
    arguments = {"host": address.host, "port": address.port, "database": "postgres", "ssl": context}
    connection = await asyncpg.connect(user="jane", password=TOKEN, **arguments)
    assert await connection.fetchval("select session_user") == "jane"
    await connection.close()
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="PAM authentication failed") as refused:
        await asyncpg.connect(user="jane", password="guess", **arguments)
    assert refused.value.detail == "that is a password, not a token"


def test_channel_binding_cannot_be_had(door: IamEndpoint) -> None:
    bench = door.bench
    with pytest.raises(psycopg.OperationalError, match="channel binding"):
        bench.connect(channel_binding="require")
    with pytest.raises(psycopg.OperationalError, match="channel binding"):
        bench.connect(channel_binding="require", user="jane", password=TOKEN)
    with bench.connect(channel_binding="prefer") as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_missing_password_and_a_missing_database_are_told(door: IamEndpoint) -> None:
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        door.bench.connect(user="jane", password="")
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        door.bench.connect(user="jane", password=TOKEN, dbname="nowhere")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        door.bench.connect(user="nobody at all", password=TOKEN)


def test_an_iam_session_is_cancelled(door: IamEndpoint) -> None:
    with door.enter("jane", TOKEN) as connection, door.bench.connect() as other:
        assert is_cancelled(connection, other)


def test_the_private_socket_is_for_iam_users_only(door: IamEndpoint, server: ThrowawayPostgres) -> None:
    assert server.sockets.stat().st_mode & 0o777 == 0o700
    where = f"host={server.sockets} port={server.port} dbname=postgres user="
    with psycopg.connect(f"{where}jane") as connection:
        assert connection.execute("select session_user").fetchone() == ("jane",)
    for user in ("bob", server.superuser):
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg.connect(f"{where}{user}", password=door.password)


def test_the_lookup_survives_the_end_of_its_session(door: IamEndpoint) -> None:
    assert door.whoami("jane", TOKEN) == "jane"
    execute(door, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rdsadmin'"
                  " and pid <> pg_backend_pid()")  # fmt: skip
    assert door.whoami("jane", TOKEN) == "jane"


def test_a_data_directory_may_be_deep(
    door: IamEndpoint, tmp_path: Path, judge: Judge, process: EndpointProcess
) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    process.remove(door.bench.state.name)
    with throwaway_postgres(deep) as server, postgres_door(tmp_path, server, process, judge) as opened:
        assert len(str(server.sockets)) > 200
        assert opened.whoami("jane", TOKEN) == "jane"
