"""Whether an interrupted statement that commits by itself took effect: the definitions of its objects, before and now.

Every such statement is atomic on the servers of today (MySQL 8.0, MariaDB 10.6 and later): the definition is either the
old one or the new one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rdskit.client.api import dialect_of
from rdskit.evolve.migrations.ddl import read_ddl
from rdskit.inspect import schema
from rdskit.kernel.sql import Dialect
from rdskit.plans import Probe, done, not_done, running

if TYPE_CHECKING:
    from rdskit.client.api import Database
    from rdskit.evolve.migrations.ddl import Ddl
    from rdskit.plans import StepContext

_RUNNING_POSTGRES = (
    "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' "
    "and pid <> pg_backend_pid() and starts_with(query, :mark)"
)
_RUNNING_MYSQL = "select count(*) from information_schema.processlist where id <> connection_id() and info like :mark"


def mark_of(context: StepContext) -> str:
    """Return the comment that shows in the server's list of sessions which step a statement belongs to."""
    return f"/* rdskit {context.job} {context.step} */"


async def fingerprint(db: Database, text: str) -> dict[str, str]:
    """Return a hash of the definition of each object that a statement may change.

    Args:
        db: the database.
        text: the statement; where its objects are not recognized, all objects count.
    """
    objects = await schema(db)
    ddl = read_ddl(text, dialect_of(db))
    chosen = objects if ddl is None else {name: objects[name] for name in objects if _concerns(ddl, name)}
    return {name: hashlib.sha256(definition.encode()).hexdigest()[:16] for name, definition in chosen.items()}


def _concerns(ddl: Ddl, name: str) -> bool:
    if ddl.verb == "rename" or not ddl.names or any(action.has("rename") for action in ddl.actions):
        return True
    known_names = {each.rpartition(".")[2].lower() for each in (*ddl.names, ddl.table or "") if each}
    bare = name.partition(" ")[2].partition("(")[0].rpartition(".")[2].lower()
    # Constraints, checks and triggers are objects of their own, called otherwise than their table.
    return bare in known_names or (
        ddl.table is not None and name.startswith(("check ", "trigger ", "policy ", "sequence "))
    )


async def has_happened(db: Database, text: str, context: StepContext) -> Probe:
    """Say what became of a statement.

    Args:
        db: the database.
        text: the statement.
        context: of its step; the checkpoint holds the fingerprint from before it was sent.
    """
    if context.checkpoint is None:
        return not_done()  # it is written before the statement is sent
    mark = mark_of(context)
    if dialect_of(db) is Dialect.POSTGRES:
        active = await db.fetch_value(_RUNNING_POSTGRES, mark=mark)
    else:
        active = await db.fetch_value(_RUNNING_MYSQL, mark=f"{mark}%")
    if active:
        return running("the server still runs the statement of an earlier attempt")
    now = await fingerprint(db, text)
    if now == context.checkpoint or await invalid_indexes(db, text):
        return not_done()
    return done()


async def invalid_indexes(db: Database, text: str) -> list[str]:
    """Return the invalid indexes that a failed CREATE INDEX CONCURRENTLY of this statement left, as SQL spells them."""
    ddl = read_ddl(text, dialect_of(db))
    if ddl is None or ddl.kind != "index" or "concurrently" not in ddl.flags or ddl.verb != "create" or not ddl.names:
        return []
    rows = await db.fetch_all(
        "select i.indexrelid::regclass::text from pg_index i join pg_class c on c.oid = i.indexrelid "
        "where not i.indisvalid and c.relname = :name and pg_table_is_visible(i.indrelid)",
        name=ddl.names[0].rpartition(".")[2],
    )
    return [row[0] for row in rows]
