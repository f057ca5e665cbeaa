"""Starlette and frameworks on top of it: one database per application, 503 during outages, a health endpoint.

app = Starlette(
    routes=[Route("/orders", orders), Route("/health", health)],
    lifespan=lifespan("rds://orders/shop", credentials="iam"),
    exception_handlers=exception_handlers,
)
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, TypedDict

from starlette.requests import HTTPConnection, Request  # noqa: TC002 - FastAPI reads the annotations of dependencies
from starlette.responses import JSONResponse, Response

import rdskit
from rdskit.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    FailoverError,
    OutcomeUnknown,
    QueryTimeout,
    RdskitError,
    StaleReadError,
    TLSError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.applications import Starlette

    from rdskit.client.api import Health, Session

__all__ = ["database", "exception_handlers", "health", "health_of_hosts", "lifespan", "retry_after", "session"]

_SESSION: Final = "rdskit.session"  # in the scope of a request

_PASSING: Final = (ConnectError, FailoverError, StaleReadError, QueryTimeout)
# A wrong password or certificate is permanent, and work with an unknown outcome must not be retried.
_LASTING: Final = (AuthenticationError, TLSError, OutcomeUnknown)
_RETRY_AFTER: Final = 2  # seconds


class State(TypedDict):
    """The contents of ``request.state`` that ``lifespan`` adds."""

    rdskit: rdskit.Database


def lifespan(target: str, **options: Any) -> Callable[[Starlette], AbstractAsyncContextManager[State]]:
    """Return a ``lifespan=`` that connects when the application starts and closes the database when it ends.

    The application does not start if its writer cannot be reached. In a lifespan of your own, enter this one and yield
    its state together with yours: ``async with lifespan(…)(app) as state: yield {**state, "mine": …}``.

    Args:
        target: as for ``rdskit.connect``.
        options: as for ``rdskit.connect``.
    """

    @contextlib.asynccontextmanager
    async def connected(_: Starlette) -> AsyncIterator[State]:
        async with rdskit.connect(target, **options) as db:
            yield {"rdskit": db}

    return connected


def database(connection: HTTPConnection) -> rdskit.Database:
    """Return the database of the application that a request or a WebSocket belongs to.

    Raises:
        ConfigError: the application was created without ``lifespan``, or its lifespan did not run.
    """
    found: rdskit.Database | None = getattr(connection.state, "rdskit", None)
    if found is None:
        raise ConfigError(
            "the application has no database: create it with lifespan=rdskit.integrations.…lifespan(TARGET)"
        )
    return found


@contextlib.asynccontextmanager
async def session(connection: HTTPConnection, *, after: str | None = None) -> AsyncIterator[Session]:
    """Yield the session of one request or WebSocket: its reads show its own writes, and wait for no others.

    Nested calls for the same request return the same session.

    Args:
        connection: the request.
        after: a ``token()`` of an earlier request whose writes must be visible too; only for the outermost call.

    Raises:
        ConfigError: the application has no database, or the token is not one of its own.
    """
    opened: Session | None = connection.scope.get(_SESSION)
    if opened is not None:
        yield opened
        return
    async with database(connection).session(after=after) as opened:
        connection.scope[_SESSION] = opened
        try:
            yield opened
        finally:
            del connection.scope[_SESSION]


async def health(request: Request) -> JSONResponse:
    """Answer a load balancer: 200 while the application can write, else 503.

    The body is the status alone. Names of hosts, addresses and errors are in `health_of_hosts`, for an endpoint that is
    not public.
    """
    return _health_answer(found := await database(request).health(), {"status": found.status})


async def health_of_hosts(request: Request) -> JSONResponse:
    """Answer like `health`, with all that ``db.health()`` says of each host in the body."""
    return _health_answer(found := await database(request).health(), found.as_dict())


def _health_answer(found: Health, body: dict[str, Any]) -> JSONResponse:
    headers = {"Cache-Control": "no-store"}
    if found.ok:
        return JSONResponse(body, headers=headers)
    return JSONResponse(body, status_code=503, headers={**headers, "Retry-After": str(_RETRY_AFTER)})


def retry_after(error: Exception) -> int | None:
    """Return the seconds after which a failed request may be retried; None where that is useless or unsafe.

    Work behind an ``OutcomeUnknown`` may have taken effect: some clients would retry it after a 503.
    """
    passes = isinstance(error, _PASSING) and not isinstance(error, _LASTING)
    return _RETRY_AFTER if passes else None


async def unavailable(_: Request, error: Exception) -> Response:
    """Respond 503 with ``Retry-After`` to an outage; raise any other error again, which leads to a 500.

    The error itself, which may name hosts, stays in the server's log.
    """
    seconds = retry_after(error)
    if seconds is None:
        raise error
    body = {"detail": "the database is not available"}
    return JSONResponse(body, status_code=503, headers={"Retry-After": str(seconds)})


exception_handlers: dict[Any, Any] = {RdskitError: unavailable}
"""For ``exception_handlers=`` of the application."""
