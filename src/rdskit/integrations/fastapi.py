"""FastAPI dependencies for the database, for the session of a request, and for a transaction around it.

app = FastAPI(
    lifespan=lifespan("rds://orders/shop", credentials="iam"), exception_handlers=exception_handlers
)
app.add_api_route("/health", health)

@app.post("/orders")
async def order(new: Order, tx: TransactionDep) -> int: ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection  # noqa: TC002 - FastAPI reads the annotations of dependencies

import rdskit
from rdskit.client.api import Session, Transaction
from rdskit.integrations.starlette import (
    database,
    exception_handlers,
    health,
    health_of_hosts,
    lifespan,
    retry_after,
    session,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = [
    "DatabaseDep",
    "SessionDep",
    "TransactionDep",
    "database",
    "exception_handlers",
    "health",
    "health_of_hosts",
    "lifespan",
    "request_session",
    "retry_after",
    "session",
    "transaction",
]

DatabaseDep = Annotated[rdskit.Database, Depends(database)]
"""The application's database."""


async def request_session(connection: HTTPConnection) -> AsyncIterator[Session]:
    """Yield the session of the request; all of its dependencies share it until the response is sent."""
    async with session(connection) as opened:
        yield opened


SessionDep = Annotated[Session, Depends(request_session)]
"""The session of the request: its reads show its own writes, and do not wait for writes of other requests."""


async def transaction(db: DatabaseDep) -> AsyncIterator[Transaction]:
    """Yield a transaction that commits when the path operation returns, and rolls back when it raises.

    Use it as ``TransactionDep``, or with ``Depends(transaction, scope="function")``. With the default scope FastAPI
    would send the response before COMMIT, and an order that was confirmed could still fail.
    """
    async with db.transaction() as opened:
        yield opened


TransactionDep = Annotated[Transaction, Depends(transaction, scope="function")]
"""A transaction around the path operation, committed before the response is sent."""
