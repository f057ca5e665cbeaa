"""A small shop: orders, stock, payments. Its customers know nothing of failovers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.demo.model import Books

if TYPE_CHECKING:
    from rdskit import Database
    from rdskit.client.transactions import Transaction

ARTICLES = 500
STOCK = 1_000_000  # of each article, at the beginning

# An order's key is not unique on purpose: an order that is placed twice must be able to show.
_SCHEMA = (
    "drop table if exists payments, orders, stock",
    "create table stock (article int primary key, on_hand int not null check (on_hand >= 0))",
    """create table orders (
        id bigint generated always as identity primary key,
        key text not null,
        article int not null references stock,
        quantity int not null,
        placed_at timestamptz not null default now())""",
    "create index orders_key on orders (key)",
    "create table payments (order_id bigint not null references orders, cents bigint not null)",
)


@dataclass(frozen=True, slots=True)
class Order:
    """What a customer wants; ``key`` is the same however often it is tried."""

    key: str
    article: int
    quantity: int
    cents: int


async def open_shop(db: Database) -> None:
    """Make the tables anew and fill the shelves."""
    for statement in _SCHEMA:
        await db.execute(statement)
    await db.execute(
        "insert into stock (article, on_hand) select n, :stock::int from generate_series(1, :articles::int) as n",
        stock=STOCK,
        articles=ARTICLES,
    )


async def place_order(tx: Transaction, order: Order) -> int:
    """Enter an order, take the articles from the stock and book the payment: all of it, or nothing.

    Returns:
        The order's number.
    """
    number: int = await tx.fetch_value(
        "insert into orders (key, article, quantity) values (:key, :article, :quantity) returning id",
        key=order.key,
        article=order.article,
        quantity=order.quantity,
    )
    await tx.execute(
        "update stock set on_hand = on_hand - :quantity where article = :article",
        quantity=order.quantity,
        article=order.article,
    )
    await tx.execute(
        "insert into payments (order_id, cents) values (:number, :cents)", number=number, cents=order.cents
    )
    return number


async def is_placed(db: Database, key: str) -> bool:
    """Whether an order can be seen."""
    return bool(await db.fetch_value("select exists (select from orders where key = :key)", key=key))


async def read_books(db: Database) -> Books:
    """What the database holds; ask the writer."""
    orders = await db.fetch_all("select key, count(*) as copies from orders group by key")
    unpaid: int = await db.fetch_value(
        """select count(*) from (
             select id from orders left join payments on order_id = id group by id having count(order_id) <> 1
           ) as wrong"""
    )
    difference: int = await db.fetch_value(
        """select (select coalesce(sum(:stock::int - on_hand), 0) from stock)
                - (select coalesce(sum(quantity), 0) from orders)""",
        stock=STOCK,
    )
    return Books({row.key: row.copies for row in orders}, unpaid=unpaid, stock_difference=difference)
