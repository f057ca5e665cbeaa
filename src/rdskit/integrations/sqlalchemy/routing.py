"""Sessions whose reads may go to replicas, but never before their own writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy
from sqlalchemy import event, orm
from sqlalchemy.ext import asyncio as async_sqlalchemy
from sqlalchemy.sql import visitors
from sqlalchemy.sql.functions import FunctionElement, next_value

from rdskit.integrations.sqlalchemy.plugin import is_ours, readers_of
from rdskit.integrations.sqlalchemy.read_detection import surely_reads_text
from rdskit.kernel.sql.functions import WRITING_FUNCTIONS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.orm import ORMExecuteState

_OPTION: Final = "readers"


class ReadRouting:
    """Mixin that sends a session's reads to replicas: ``class Session(ReadRouting, sqlmodel.Session): …``.

    A session created with ``readers=True`` reads from replicas; any session does for one statement with
    ``execution_options={"readers": True}``. Only statements that certainly read go there. Once a session has written,
    or its connection was requested, it stays with the writer until it is closed, because a replica may lag. An engine
    that is not rdskit's, such as SQLite's in a test, serves its reads itself.

    Args:
        args: the session's.
        readers: whether reads go to replicas, unless a statement's options decide otherwise.
        options: the session's.
    """

    def __init__(self, *args: Any, readers: bool = False, **options: Any) -> None:
        self._readers = readers
        self._wrote = False
        super().__init__(*args, **options)
        event.listen(self, "do_orm_execute", _note_option)

    def get_bind(
        self, mapper: Any = None, clause: Any = None, bind: Any = None, *, readers: bool | None = None, **rest: Any
    ) -> Engine | Connection:
        """Return the writer's engine or its readers' engine; SQLAlchemy calls this for each statement."""
        base: Any = super()
        writer: Engine | Connection = base.get_bind(mapper, clause=clause, bind=bind, **rest)
        flushing = getattr(self, "_flushing", False)
        reads = not flushing and clause is not None and surely_reads(clause, writer.dialect.name)
        self._wrote = self._wrote or not reads
        wanted = self._readers if readers is None else readers
        if wanted and not self._wrote and isinstance(writer, sqlalchemy.Engine) and is_ours(writer):
            return readers_of(writer)
        return writer

    def close(self) -> None:
        """Close the session; its next use may read from replicas again."""
        base: Any = super()
        base.close()
        self._wrote = False


class Session(ReadRouting, orm.Session):
    """``sqlalchemy.orm.Session`` with ``readers=``; see ``ReadRouting``."""


class AsyncSession(async_sqlalchemy.AsyncSession):
    """``sqlalchemy.ext.asyncio.AsyncSession`` with ``readers=``; see ``ReadRouting``."""

    sync_session_class = Session


def surely_reads(clause: Any, backend: str) -> bool:
    """Return whether a replica may run a statement, because it certainly changes and locks nothing.

    Args:
        clause: the statement.
        backend: SQLAlchemy's name of the engine, for statements that are text.
    """
    if isinstance(clause, sqlalchemy.TextClause):
        return surely_reads_text(clause.text, backend)
    return bool(getattr(clause, "is_select", False)) and not any(map(_writes_or_locks, visitors.iterate(clause)))


def _writes_or_locks(element: Any) -> bool:
    if getattr(element, "is_dml", False) or getattr(element, "_for_update_arg", None) is not None:
        return True
    if isinstance(element, next_value):
        return True
    return isinstance(element, FunctionElement) and str(getattr(element, "name", "")).lower() in WRITING_FUNCTIONS


def _note_option(state: ORMExecuteState) -> None:
    if _OPTION in state.execution_options:
        state.bind_arguments[_OPTION] = state.execution_options[_OPTION]
