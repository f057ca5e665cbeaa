"""What consumers have processed, in the table ``rdskit_changes`` of the captured database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from rdskit.client import api
from rdskit.errors import ConfigError, FailoverError, MustRefetch, QueryError
from rdskit.kernel.position_text import position_from_text, position_to_text
from rdskit.kernel.sql import Dialect
from rdskit.stream.capture.model import Stored

if TYPE_CHECKING:
    import datetime as dt

    from rdskit.client.api import Database
    from rdskit.kernel.ports import Row
    from rdskit.kernel.positions import Position

TABLE: Final = "rdskit_changes"

_POSTGRES: Final = f"""
create table if not exists {TABLE} (
    name text primary key,
    position text,
    confirmed text,
    snapshot text not null default '',
    tables text not null,
    source text not null,
    mark text not null default '',
    updated_at timestamptz not null default current_timestamp)
"""
_MYSQL: Final = f"""
create table if not exists {TABLE} (
    name varchar(64) character set ascii collate ascii_bin primary key,
    position text character set ascii,
    confirmed text character set ascii,
    snapshot longtext character set utf8mb4 not null,
    tables longtext character set utf8mb4 not null,
    source varchar(64) character set ascii not null,
    mark varchar(64) character set ascii not null default '',
    updated_at timestamp(6) not null default current_timestamp(6)) engine = innodb
"""
_NO_SUCH_TABLE: Final = {"42P01", 1146}
_ATTEMPTS: Final = 5
_COLUMNS: Final = "name, position, confirmed, snapshot, tables, source, updated_at"


class Checkpoints:
    """The row of one consumer.

    Args:
        db: the database; statements go to the writer.
        name: of the consumer.
    """

    def __init__(self, db: Database, name: str) -> None:
        self._db = db
        self._name = name

    async def load(self) -> Stored | None:
        """Return what is stored; None for a consumer that has not begun."""
        try:
            row = await self._db.fetch_one(f"select {_COLUMNS} from {TABLE} where name = :name", name=self._name)  # noqa: S608 - constants
        except QueryError as error:
            if is_missing(error):
                return None
            raise
        return None if row is None else _stored(row)

    async def create(self, tables: tuple[str, ...], system: str) -> None:
        """Insert the row, without a position: the consumer has not begun until `save` was called.

        The table is created if it is missing.
        """
        await self._make_table()
        await self._db.execute(
            f"insert into {TABLE} (name, snapshot, tables, source) values (:name, '', :tables, :system)",  # noqa: S608 - a constant
            name=self._name,
            tables=json.dumps(tables),
            system=system,
        )

    async def save(self, position: Position, confirmed: Position | None, snapshot: str) -> None:
        """Store a checkpoint.

        Args:
            position: everything up to here is processed.
            confirmed: how far the server may forget its log.
            snapshot: how far the snapshot has come.

        Raises:
            MustRefetch: the consumer was dropped.
        """
        matched = 0
        for attempt in range(_ATTEMPTS):
            try:
                matched = await self._db.execute(
                    f"update {TABLE} set position = :position, confirmed = :confirmed, snapshot = :snapshot, "  # noqa: S608 - a constant
                    "updated_at = current_timestamp where name = :name",
                    position=position_to_text(position),
                    confirmed=None if confirmed is None else position_to_text(confirmed),
                    snapshot=snapshot,
                    name=self._name,
                )
                break
            except FailoverError:  # whatever became of it: the same values again do no harm
                if attempt == _ATTEMPTS - 1:
                    raise
        if not matched:
            raise MustRefetch(
                f"consumer {self._name!r} has no row in {TABLE}: it was dropped. Begin again with start='snapshot'"
            )

    async def mark(self, text: str) -> None:
        """Write a watermark into the row, which the binary log contains."""
        await self._db.execute(f"update {TABLE} set mark = :mark where name = :name", mark=text, name=self._name)  # noqa: S608 - a constant

    async def delete(self) -> None:
        """Delete the row."""
        await self._db.execute(f"delete from {TABLE} where name = :name", name=self._name)  # noqa: S608 - a constant

    async def _make_table(self) -> None:
        try:
            await self._db.fetch_one(f"select 1 from {TABLE} where name = ''")  # noqa: S608 - a constant
        except QueryError as error:
            if not is_missing(error):
                raise
        else:
            return  # a user who may not create tables can use one that is there
        try:
            async with self._db.lock("rdskit changes setup", timeout=60.0):
                await self._db.execute(_POSTGRES if api.dialect_of(self._db) is Dialect.POSTGRES else _MYSQL)
        except QueryError as error:
            raise ConfigError(
                f"the table {TABLE}, which keeps the checkpoints of change streams, cannot be created: {error}; have a "
                "user who may create tables begin a stream once, or create it as docs/changes.md shows"
            ) from error


async def stored_consumers(db: Database) -> dict[str, tuple[Stored, dt.datetime]]:
    """Return what is stored of every consumer, with the time of the last checkpoint; empty without the table."""
    try:
        rows = await db.fetch_all(f"select {_COLUMNS} from {TABLE} order by name")  # noqa: S608 - constants
    except QueryError as error:
        if is_missing(error):
            return {}
        raise
    return {row["name"]: (_stored(row), row["updated_at"]) for row in rows}


def is_missing(error: QueryError) -> bool:
    """Return whether a statement was refused because its table does not exist."""
    return bool(_NO_SUCH_TABLE.intersection({error.sqlstate, error.errno}))


def _stored(row: Row) -> Stored:
    position, confirmed = row["position"], row["confirmed"]
    return Stored(
        None if position is None else position_from_text(position),
        None if confirmed is None else position_from_text(confirmed),
        row["snapshot"],
        tuple(json.loads(row["tables"])),
        row["source"],
    )
