"""IAM users of PostgreSQL: membership of rds_iam, and their logins."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest

from rdskit.local.engines.postgres.throwaway import throwaway_postgres
from tests.local.endpoints.conftest import TOKEN, LoginRefused, is_cancelled, postgres_endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from rdskit.local.endpoints.process import EndpointProcess
    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres
    from tests.local.endpoints.conftest import IamEndpoint, StubVerifier

pytestmark = pytest.mark.parametrize("endpoint", ["postgres"], indirect=True)


def execute(endpoint: IamEndpoint, sql: str) -> None:
    """Execute a statement on the server itself, as its superuser."""
    with endpoint.bench.server.connect() as session:
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
def test_members_of_rds_iam_are_iam_users(endpoint: IamEndpoint, role: str, *, iam: bool) -> None:
    execute(endpoint, "create role staff nologin in role rds_iam")
    execute(endpoint, f"create role someone {role}")
    try:
        if iam:
            assert endpoint.whoami("someone", TOKEN) == "someone"
            with pytest.raises(LoginRefused, match="that is a password, not a token"):
                endpoint.enter("someone", "never asked for")
        else:
            assert endpoint.whoami("someone", "guess") == "someone"
            assert endpoint.verifier.asked == []
    finally:
        execute(endpoint, "drop role someone, staff")


def test_the_master_who_may_hand_the_role_out_has_a_password(endpoint: IamEndpoint) -> None:
    execute(endpoint, "create role master login password 'masters own'")
    execute(endpoint, "grant rds_iam to master with admin true, inherit false, set false")
    try:
        assert endpoint.whoami("master", "masters own") == "master"
        assert endpoint.verifier.asked == []
    finally:
        execute(endpoint, "drop role master")


def test_a_user_becomes_and_ceases_to_be_one_at_once(endpoint: IamEndpoint) -> None:
    assert endpoint.whoami("bob", endpoint.password) == "bob"
    execute(endpoint, "grant rds_iam to bob")
    assert endpoint.whoami("bob", TOKEN) == "bob"
    with pytest.raises(LoginRefused, match="that is a password"):
        endpoint.enter("bob", endpoint.password)
    execute(endpoint, "revoke rds_iam from bob")
    assert endpoint.whoami("bob", endpoint.password) == "bob"


async def test_asyncpg_by_token(endpoint: IamEndpoint) -> None:
    address = endpoint.bench.address
    context = ssl.create_default_context(cafile=str(endpoint.bench.ca))
    arguments = {"host": address.host, "port": address.port, "database": "postgres", "ssl": context}
    connection = await asyncpg.connect(user="jane", password=TOKEN, **arguments)
    assert await connection.fetchval("select session_user") == "jane"
    await connection.close()
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="PAM authentication failed") as refused:
        await asyncpg.connect(user="jane", password="guess", **arguments)
    assert refused.value.detail == "that is a password, not a token"


def test_channel_binding_cannot_be_had(endpoint: IamEndpoint) -> None:
    bench = endpoint.bench
    with pytest.raises(psycopg.OperationalError, match="channel binding"):
        bench.connect(channel_binding="require")
    with pytest.raises(psycopg.OperationalError, match="channel binding"):
        bench.connect(channel_binding="require", user="jane", password=TOKEN)
    with bench.connect(channel_binding="prefer") as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_missing_password_and_a_missing_database_are_reported(endpoint: IamEndpoint) -> None:
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        endpoint.bench.connect(user="jane", password="")
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        endpoint.bench.connect(user="jane", password=TOKEN, dbname="nowhere")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        endpoint.bench.connect(user="unknown user", password=TOKEN)


def test_an_iam_session_is_cancelled(endpoint: IamEndpoint) -> None:
    with endpoint.enter("jane", TOKEN) as connection, endpoint.bench.connect() as other:
        assert is_cancelled(connection, other)


def test_the_private_socket_is_for_iam_users_only(endpoint: IamEndpoint, server: ThrowawayPostgres) -> None:
    assert server.sockets.stat().st_mode & 0o777 == 0o700
    where = f"host={server.sockets} port={server.port} dbname=postgres user="
    with psycopg.connect(f"{where}jane") as connection:
        assert connection.execute("select session_user").fetchone() == ("jane",)
    for user in ("bob", server.superuser):
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg.connect(f"{where}{user}", password=endpoint.password)


def test_the_lookup_survives_the_end_of_its_session(endpoint: IamEndpoint) -> None:
    assert endpoint.whoami("jane", TOKEN) == "jane"
    execute(endpoint, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rdsadmin'"
                  " and pid <> pg_backend_pid()")  # fmt: skip
    assert endpoint.whoami("jane", TOKEN) == "jane"


def test_a_data_directory_may_be_deep(
    endpoint: IamEndpoint, tmp_path: Path, verifier: StubVerifier, process: EndpointProcess
) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    process.remove(endpoint.bench.state.name)
    with throwaway_postgres(deep) as server, postgres_endpoint(tmp_path, server, process, verifier) as opened:
        assert len(str(server.sockets)) > 200
        assert opened.whoami("jane", TOKEN) == "jane"
