"""A FastAPI application on a real server of either kind: HTTP in front, PostgreSQL behind."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import rdskit
from rdskit.client.database.session import Session  # noqa: TC001 - FastAPI reads the annotations of functions
from rdskit.integrations.fastapi import (
    DatabaseDep,
    SessionDep,
    TransactionDep,
    database,
    exception_handlers,
    health,
    health_of_hosts,
    lifespan,
    request_session,
    retry_after,
    session,
)
from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres, throwaway_postgres
from tests.integrations.fastapi.serving import serving
from tests.plugins.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.plugins.postgres import TestDatabase

TABLE = "create table orders (id int primary key deferrable initially deferred)"


def application(url: str, **options: Any) -> FastAPI:
    """Return an application as a user writes it."""
    app = FastAPI(lifespan=lifespan(url, tls="off", **options), exception_handlers=exception_handlers)
    app.add_api_route("/health", health)
    app.add_api_route("/health-of-hosts", health_of_hosts)

    @app.get("/orders")
    async def count(db: DatabaseDep) -> int:
        found: int = await db.fetch_value("select count(*) from orders")
        return found

    @app.post("/orders/{number}")
    async def order(number: int, tx: TransactionDep) -> int:
        await tx.execute("insert into orders values (:number)", number=number)
        if number < 0:
            raise HTTPException(status_code=422)
        return number

    @app.get("/sessions")
    async def sessions(
        own: SessionDep,
        same: Annotated[Session, Depends(request_session, use_cache=False)],
        connection: Request,
        db: DatabaseDep,
    ) -> list[bool]:
        async with session(connection) as inner:
            return [same is own, inner is own, own is db, own.closed]

    @app.post("/unknown")
    async def unknown() -> None:
        raise rdskit.OutcomeUnknown("the answer was lost")

    return app


@pytest.fixture
async def app(database: TestDatabase) -> FastAPI:
    async with rdskit.connect(database.url, tls="off") as db:
        await db.execute(TABLE)
    return application(database.url)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ThrowawayPostgres]:
    """Start a server that the test may stop."""
    with throwaway_postgres(tmp_path) as server:
        with server.connect() as session:
            session.execute(TABLE)
        yield server


async def test_a_request_reads_and_writes(app: FastAPI) -> None:
    async with serving(app) as client:
        assert (await client.post("/orders/1")).json() == 1
        assert (await client.get("/orders")).json() == 1


async def test_a_request_that_fails_writes_nothing(app: FastAPI) -> None:
    async with serving(app) as client:
        assert (await client.post("/orders/-1")).status_code == 422
        assert (await client.get("/orders")).json() == 0


async def test_an_order_is_confirmed_only_after_it_is_committed(app: FastAPI) -> None:
    async with serving(app) as client:
        await client.post("/orders/1")
        # The constraint is deferred: the insert succeeds, and COMMIT is refused.
        assert (await client.post("/orders/1")).status_code == 500
        assert (await client.get("/orders")).json() == 1


async def test_the_database_is_closed_with_the_application(app: FastAPI) -> None:
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        db = state["rdskit"]
        assert await db.fetch_value("select 1") == 1
    with pytest.raises(rdskit.ConfigError, match="is closed"):
        await db.fetch_value("select 1")


async def test_a_lifespan_of_ones_own_can_hold_it(database: TestDatabase) -> None:
    @contextlib.asynccontextmanager
    async def own(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with lifespan(database.url, tls="off")(app) as state:
            yield {**state, "mine": 7}

    async def show(request: Request) -> JSONResponse:
        db = request.state.rdskit
        return JSONResponse([request.state.mine, await db.fetch_value("select 1")])

    async with serving(Starlette(routes=[Route("/", show)], lifespan=own)) as client:
        assert (await client.get("/")).json() == [7, 1]


async def test_an_outage_is_told_as_503_and_ends(own_server: ThrowawayPostgres) -> None:
    url = own_server.dsn.removesuffix("?sslmode=disable")
    async with serving(application(url, timeout=1.0, connect_timeout=0.5)) as client:
        healthy = await client.get("/health")
        assert (healthy.status_code, healthy.json()["status"]) == (200, "ok")
        assert healthy.json() == {"status": "ok"}
        hosts = (await client.get("/health-of-hosts")).json()
        assert (hosts["status"], hosts["writer"]["name"]) == ("ok", "writer")
        assert healthy.headers["cache-control"] == "no-store"
        await asyncio.to_thread(own_server.stop, "immediate")
        for request in (client.get("/orders"), client.post("/orders/1"), client.get("/health")):
            answer = await request
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert own_server.host not in (await client.get("/orders")).text
        await asyncio.to_thread(own_server.start)

        async def well() -> bool:
            return (await client.get("/health")).status_code == 200

        await eventually(well, seconds=30)
        assert (await client.post("/orders/1")).status_code == 200


async def test_a_request_has_one_session_and_shares_it_with_no_other(app: FastAPI) -> None:
    async with serving(app) as client:
        for _ in range(2):
            assert (await client.get("/sessions")).json() == [True, True, False, False]
    async with app.router.lifespan_context(app) as state:
        first, second = (HTTPConnection({"type": "http", "state": state}) for _ in range(2))
        async with session(first) as one, session(second) as other:
            assert one is not other
        assert one.closed
        async with session(first) as next_one:
            assert next_one is not one
        token = await _written_in(first)
        async with session(second, after=token) as later:
            assert await later.fetch_value("select count(*) from orders") == 1
        with pytest.raises(rdskit.ConfigError, match="token"):
            async with session(second, after="forged"):
                pytest.fail("a forged token was taken")


async def _written_in(connection: HTTPConnection) -> str:
    """Write in a session, and say how far that is."""
    async with session(connection) as writing:
        await writing.execute("insert into orders values (7)")
        return await writing.token()


async def test_what_may_have_happened_invites_nobody_to_repeat_it(app: FastAPI) -> None:
    async with serving(app) as client:
        answer = await client.post("/unknown")
        assert answer.status_code == 500
        assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (rdskit.NoWriterError("x"), True),
        (rdskit.PoolTimeout("x"), True),
        (rdskit.CircuitOpen("x"), True),
        (rdskit.FailoverError("x"), True),
        (rdskit.StaleReadError("x"), True),
        (rdskit.QueryTimeout("x"), True),
        (rdskit.OutcomeUnknown("x"), False),
        (rdskit.AuthenticationError("x"), False),
        (rdskit.TLSError("x"), False),
        (rdskit.IntegrityError("x"), False),
        (rdskit.ConfigError("x"), False),
        (ValueError("x"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_passes_by_itself_is_worth_another_request(error: Exception, passes: bool) -> None:  # noqa: FBT001
    assert (retry_after(error) is not None) is passes


def test_a_websocket_has_the_same_database() -> None:
    there = object()
    assert database(HTTPConnection({"type": "websocket", "state": {"rdskit": there}})) is there


def test_an_application_without_a_lifespan_is_told_so() -> None:
    with pytest.raises(rdskit.ConfigError, match="create it with lifespan="):
        database(HTTPConnection({"type": "http", "state": {}}))


@pytest.mark.no_server
def test_rdskit_itself_loads_no_framework() -> None:
    code = "import sys, rdskit; print([n for n in ('fastapi', 'starlette', 'django') if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
