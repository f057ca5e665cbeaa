"""A small shop with orders, stock and payments; its code contains nothing about failovers."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.demo.model import Books

if TYPE_CHECKING:
    from rdskit import Database
    from rdskit.client.api import Transaction

ARTICLES = 500
STOCK = 1_000_000  # initial stock of each article
_NUMBER_BITS = 62

# The same SQL for all engines. The order's key is deliberately not unique, so that a duplicated order is visible.
_SCHEMA = (
    "drop table if exists payments, orders, stock",
    "create table stock (article int primary key, on_hand int not null check (on_hand >= 0))",
    """create table orders (
        id bigint primary key,
        order_key varchar(64) not null,
        article int not null,
        quantity int not null,
        placed_at timestamp(6) not null default current_timestamp(6),
        foreign key (article) references stock (article))""",
    "create index orders_key on orders (order_key)",
    """create table payments (
        order_id bigint not null, cents bigint not null, foreign key (order_id) references orders (id))""",
    f"""insert into stock (article, on_hand)
        with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < {ARTICLES})
        select n, {STOCK} from numbers""",  # noqa: S608 - our own constants
)


@dataclass(frozen=True, slots=True)
class Order:
    """An order to place; ``key`` is the same for all attempts."""

    key: str
    article: int
    quantity: int
    cents: int


async def open_shop(db: Database) -> None:
    """Create the shop's tables and its stock, and rdskit's tables, so that ``run`` resolves a lost COMMIT."""
    for statement in _SCHEMA:
        await db.execute(statement)
    await db.setup()


async def place_order(tx: Transaction, order: Order) -> int:
    """Take the articles from the stock, insert an order and its payment: all of it, or nothing.

    Returns:
        The order's number, which is different at each attempt.
    """
    number = secrets.randbits(_NUMBER_BITS)
    # The stock comes first. Inserting the order first would lock the article by the foreign key, and updating it then
    # could deadlock with a concurrent order.
    await tx.execute(
        "update stock set on_hand = on_hand - :quantity where article = :article",
        quantity=order.quantity,
        article=order.article,
    )
    await tx.execute(
        "insert into orders (id, order_key, article, quantity) values (:number, :key, :article, :quantity)",
        number=number,
        key=order.key,
        article=order.article,
        quantity=order.quantity,
    )
    await tx.execute(
        "insert into payments (order_id, cents) values (:number, :cents)", number=number, cents=order.cents
    )
    return number


async def is_placed(db: Database, key: str) -> bool:
    """Return whether an order is visible."""
    return bool(await db.fetch_value("select exists (select 1 from orders where order_key = :key)", key=key))


async def read_books(db: Database) -> Books:
    """Read the contents of the database for the accounts; must run on the writer."""
    orders = await db.fetch_all("select order_key, count(*) as copies from orders group by order_key")
    unpaid: int = await db.fetch_value(
        """select count(*) from (
             select id from orders left join payments on order_id = id group by id having count(order_id) <> 1
           ) as wrong"""
    )
    difference = await db.fetch_value(
        """select (select coalesce(sum(:stock - on_hand), 0) from stock)
                - (select coalesce(sum(quantity), 0) from orders)""",
        stock=STOCK,
    )
    return Books({row.order_key: row.copies for row in orders}, unpaid=unpaid, stock_difference=int(difference))
