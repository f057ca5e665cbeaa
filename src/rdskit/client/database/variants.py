"""Keep what differs between the scopes of one database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from rdskit.client.transactions import MarkerTable
from rdskit.kernel.scope import NO_SCOPE, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.kernel.sql import StatementCache

K = TypeVar("K")
V = TypeVar("V")

_KEPT: Final = 4096  # scopes to keep; the oldest are dropped first


class Variants:
    """Keeps what views of the same scope share, so that creating a view is cheap."""

    def __init__(self, statements: StatementCache, marker_table: MarkerTable) -> None:
        """Start with the objects of the database itself.

        Args:
            statements: compiled statements, which learn which user-defined functions only read.
            marker_table: the database's table of commit markers.
        """
        self._statements = statements
        # In another schema the same function name may refer to another function, so this cache learns nothing.
        self._in_schemas = statements.sibling()
        self._marker_tables: dict[tuple[str | None, str | None], MarkerTable] = {(None, None): marker_table}
        self._scopes: dict[Scope, Scope] = {NO_SCOPE: NO_SCOPE}

    def scope(self, scope: Scope) -> Scope:
        """Return one object for all equal scopes, because leases compare scopes by identity first."""
        return _kept(self._scopes, scope, lambda: scope)

    def marker_table(self, scope: Scope) -> MarkerTable:
        """Return a scope's table of commit markers; another schema may have none, or another role no privilege."""
        return _kept(self._marker_tables, (scope.role, scope.schema), MarkerTable)

    def statements(self, scope: Scope) -> StatementCache:
        """Return the compiled statements of a scope."""
        return self._statements if scope.schema is None else self._in_schemas


def _kept(found: dict[K, V], key: K, make: Callable[[], V]) -> V:
    if key not in found:
        if len(found) >= _KEPT:
            del found[next(iter(found))]
        found[key] = make()
    return found[key]
