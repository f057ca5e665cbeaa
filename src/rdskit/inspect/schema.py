"""The definition of every object in a database, and one hash over all of them.

Two databases with equal definitions have equal hashes, however they came about. Rows, sizes, statistics and the tables
of rdskit itself do not count.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rdskit.client.api import dialect_of
from rdskit.inspect import mysql_schema, postgres_schema
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rdskit.client.api import Database


async def schema(db: Database, *, namespace: str | None = None) -> dict[str, str]:
    """Return the definition of each object, by kind and name such as ``table public.users``.

    Args:
        db: the database; the writer is asked.
        namespace: only this schema of PostgreSQL, with its name left out of the objects' names; None for all.
    """
    queries: Sequence[str] = mysql_schema.QUERIES
    parameters: dict[str, str | None] = {}
    if dialect_of(db) is Dialect.POSTGRES:
        queries, parameters = postgres_schema.QUERIES, {"namespace": namespace}
    found: dict[str, list[str]] = {}
    # In a transaction: on the writer, and as of one moment.
    async with db.transaction(isolation="repeatable read", read_only=True) as tx:
        for query in queries:
            for name, definition in await tx.fetch_all(query, parameters):
                found.setdefault(name, []).append(definition)
    return {name: "\n".join(parts) for name, parts in sorted(found.items())}


def schema_hash(objects: Mapping[str, str]) -> str:
    """Return a hash over all definitions.

    Args:
        objects: the result of ``schema``.
    """
    digest = hashlib.sha256()
    for name in sorted(objects):
        digest.update(f"{len(name)}:{name}{len(objects[name])}:{objects[name]}".encode())
    return digest.hexdigest()
