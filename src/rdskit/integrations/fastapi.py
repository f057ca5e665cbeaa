"""FastAPI: the database, the session of one request, or a transaction around it, as a dependency.

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
    """The session of the request: all of its dependencies have the same one, until the answer is sent."""
    async with session(connection) as opened:
        yield opened


SessionDep = Annotated[Session, Depends(request_session)]
"""The session of the request: its reads show its own writes, and wait for nobody else's."""


async def transaction(db: DatabaseDep) -> AsyncIterator[Transaction]:
    """A transaction that commits when the path operation has returned, and rolls back when it raises.

    Use it as ``TransactionDep``, or with ``Depends(transaction, scope="function")``: with the default scope FastAPI
    would send the answer before COMMIT, and an order that was confirmed could still fail.
    """
    async with db.transaction() as opened:
        yield opened


TransactionDep = Annotated[Transaction, Depends(transaction, scope="function")]
"""A transaction around the path operation, committed before the answer is sent."""
