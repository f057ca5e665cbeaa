"""What row mode knows of a database's tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.errors import ConfigError
from rdskit.kernel.scope import TENANT_SETTING, TENANT_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdskit.kernel.sql import Dialect


@dataclass(frozen=True, slots=True)
class TenantTables:
    """The tables of one database, as far as tenants are concerned.

    Attributes:
        dialect: whose SQL.
        column: the column that says whose a row is.
        values: table → the SQL expression of the session's tenant, in the type of that table's column.
        numeric: tables whose column is a whole number.
        shared: tables that all tenants may read.
        whole_keys: tables all of whose unique keys hold the column, so that no row of another tenant can be in the way
            of an insert.
        routines: stored functions, which may read any table.
    """

    dialect: Dialect
    column: str
    values: Mapping[str, str]
    numeric: frozenset[str]
    shared: frozenset[str]
    whole_keys: frozenset[str]
    routines: frozenset[str]


_WHOLE = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "integer"})
_TEXTS = frozenset({"char", "varchar", "tinytext", "text"})


def value_on_postgres(kind: str) -> str:
    """Return the expression of the session's tenant.

    Args:
        kind: the column's type, as ``format_type`` writes it.
    """
    return f"current_setting('{TENANT_SETTING}')::{kind}"


def value_on_mysql(table: str, kind: str, *, unsigned: bool, charset: str | None, collation: str | None) -> str:
    """Return the expression of the session's tenant; it compares as a constant, so that indexes are used.

    Args:
        table: the table, for the error.
        kind: the column's type, without its size.
        unsigned: the type is an unsigned one.
        charset: the column's character set.
        collation: its collation. A variable's own may clash with it.

    Raises:
        ConfigError: ids have no one form in a column of this type.
    """
    if kind in _WHOLE:
        return f"cast(@{TENANT_VARIABLE} as {'unsigned' if unsigned else 'signed'})"
    if kind in _TEXTS and charset is not None:
        return f"(convert(@{TENANT_VARIABLE} using {charset}) collate {collation})"
    if kind == "uuid":
        return f"cast(@{TENANT_VARIABLE} as uuid)"
    raise ConfigError(f"column of tenants in table {table!r} has type {kind!r}: use varchar, a whole number, or uuid")


def is_whole(kind: str) -> bool:
    """Return whether a type is one of whole numbers."""
    return kind in _WHOLE
