"""Rows of PostgreSQL statements."""

from __future__ import annotations

from typing import Any

import asyncpg


class Row(asyncpg.Record):  # type: ignore[misc]  # asyncpg ships no types
    """asyncpg's record, with its columns as attributes too."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            columns = ", ".join(self.keys())
            raise AttributeError(f"the row has no column {name!r}; its columns are: {columns}") from None
