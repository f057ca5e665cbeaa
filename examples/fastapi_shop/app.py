"""A shop's API: an order is placed once, even if the database fails over.

uvicorn --app-dir examples/fastapi_shop app:app
"""

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, PositiveInt

from rdskit import OutcomeUnknown, Transaction
from rdskit.integrations.fastapi import SessionDep, exception_handlers, health, lifespan

SCHEMA = (
    "create table if not exists stock (item text primary key, pieces int not null check (pieces >= 0))",
    "create table if not exists orders (id uuid primary key, item text not null references stock, pieces int not null)",
    "insert into stock values ('tea', 1000), ('cake', 0) on conflict do nothing",
)


class Order(BaseModel):
    """What a customer wants."""

    item: str
    pieces: PositiveInt = 1


class Placed(BaseModel):
    """What became of it: whether it is a new one, and how many pieces of the item were ordered by now."""

    new: bool
    ordered: int


@contextlib.asynccontextmanager
async def shop(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Connect, and make the tables."""
    connected = lifespan(os.environ["SHOP_DATABASE"], credentials=os.environ.get("SHOP_CREDENTIALS"))
    async with connected(app) as state:
        for statement in SCHEMA:
            await state["rdskit"].execute(statement)
        yield {**state}


app = FastAPI(title="Shop", lifespan=shop, exception_handlers=exception_handlers)
app.add_api_route("/health", health)


async def place(tx: Transaction, order_id: UUID, order: Order) -> bool:
    """Take an order from stock, once; False if it was there already, None of it if there is not enough."""
    new = await tx.execute(
        "insert into orders values (:id, :item, :pieces) on conflict do nothing", id=order_id, **order.model_dump()
    )
    if new:
        await tx.execute("update stock set pieces = pieces - :pieces where item = :item", **order.model_dump())
    return bool(new)


@app.put("/orders/{order_id}")
async def put_order(order_id: UUID, order: Order, session: SessionDep) -> Placed:
    """Place an order; its id makes it one order, however often it is sent."""
    if not await session.fetch_value("select pieces >= :pieces from stock where item = :item", **order.model_dump()):
        raise HTTPException(409, f"not enough {order.item}")
    try:
        new = await session.run(place, args=(order_id, order))
    except OutcomeUnknown:  # COMMIT was under way when the writer died; `place` finds out whether it happened
        new = await session.run(place, args=(order_id, order))
    ordered = await session.fetch_value("select sum(pieces)::int from orders where item = :item", item=order.item)
    return Placed(new=new, ordered=ordered)


@app.get("/")
@app.get("/orders")
async def get_orders(session: SessionDep) -> dict[str, int]:
    """Return how many pieces were ordered of each item, from a replica if there is one."""
    rows = await session.fetch_all("select item, sum(pieces)::int as pieces from orders group by item")
    return {row.item: row.pieces for row in rows}
