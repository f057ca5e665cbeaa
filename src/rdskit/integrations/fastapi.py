"""FastAPI: the database, or a transaction around one request, as a dependency.

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

import rdskit
from rdskit.client.transactions import Transaction
from rdskit.integrations.starlette import database, exception_handlers, health, lifespan, retry_after

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = [
    "DatabaseDep",
    "TransactionDep",
    "database",
    "exception_handlers",
    "health",
    "lifespan",
    "retry_after",
    "transaction",
]

DatabaseDep = Annotated[rdskit.Database, Depends(database)]
"""The application's database."""


async def transaction(db: DatabaseDep) -> AsyncIterator[Transaction]:
    """A transaction that commits when the path operation has returned, and rolls back when it raises.

    Use it as ``TransactionDep``, or with ``Depends(transaction, scope="function")``: with the default scope FastAPI
    would send the answer before COMMIT, and an order that was confirmed could still fail.
    """
    async with db.transaction() as opened:
        yield opened


TransactionDep = Annotated[Transaction, Depends(transaction, scope="function")]
"""A transaction around the path operation, committed before the answer is sent."""
