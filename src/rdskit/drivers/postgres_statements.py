"""Prepared statements of one PostgreSQL connection."""

from __future__ import annotations

from typing import Any, Final

_SCHEMAS: Final = 8  # for which statements are kept; those of the one that was used least recently go first
_PREPARED: Final = "select name, from_sql from pg_catalog.pg_prepared_statements"


class KeptStatements:
    """Statements by their text, for each schema: a prepared statement keeps the columns of the schema it was made in.

    Attributes:
        current: those of the schema that the session is in.
    """

    def __init__(self) -> None:
        self.current: dict[str, Any] = {}
        self._by_schema: dict[str | None, dict[str, Any]] = {None: self.current}

    def enter(self, schema: str | None) -> dict[str, Any]:
        """Return the statements of a schema, which become the current ones."""
        self.current = self._by_schema.pop(schema, {})
        self._by_schema[schema] = self.current
        while len(self._by_schema) > _SCHEMAS:
            del self._by_schema[next(iter(self._by_schema))]
        return self.current

    async def reset(self, raw: Any) -> dict[str, Any]:
        """Drop statements that the caller prepared by SQL; forget ours if the caller has dropped one of them.

        Args:
            raw: asyncpg's connection.

        Returns:
            The statements of the default schema, which become the current ones.
        """
        prepared = dict(await raw.fetch(_PREPARED))
        foreign = [name for name, from_sql in prepared.items() if from_sql]
        if foreign:
            quoted = (name.replace('"', '""') for name in foreign)
            await raw.execute("".join(f'deallocate "{name}";' for name in quoted))
        kept = [statement for statements in self._by_schema.values() for statement in statements.values()]
        ours = {statement._state.name for statement in kept}  # noqa: SLF001 - the driver goes the same short way
        if not ours <= prepared.keys() - set(foreign):
            await raw.execute("deallocate all")
            for statements in self._by_schema.values():
                statements.clear()
            raw._mark_stmts_as_closed()  # noqa: SLF001 - or asyncpg would close each of them by a round trip
        return self.enter(None)
