"""Refuse messages larger than a PostgreSQL server accepts: it would close the connection, which looks like a failover.

Source: PostgreSQL source, ``PQ_LARGE_MESSAGE_LIMIT``, which is ``MaxAllocSize - 1``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rdskit.errors import QueryError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST_MESSAGE: Final = 2**30 - 2
"""Bytes of the largest message, its length included."""

_PROGRAM_LIMIT: Final = "54000"  # SQLSTATE program_limit_exceeded: the server's for a value of that size
_MOST_BYTES_OF_A_CHARACTER: Final = 4
_TEXTS: Final = frozenset({str, bytes, bytearray, memoryview})
#: By the oids of pg_type.dat, which never change: types whose values are never large.
_SMALL: Final = frozenset(
    {
        *(16, 18, 19, 20, 21, 23, 26, 28, 29, 700, 701, 790, 829, 774, 869, 650, 2950, 3220, 5069),
        *(1082, 1083, 1114, 1184, 1186, 1266, 1700),
    }
)


def may_be_large(kinds: Iterable[Any]) -> bool:
    """Return whether an argument of a statement may be large, from asyncpg's description of its parameters."""
    return not all(kind.oid in _SMALL for kind in kinds)


def require_room(values: Iterable[Any], limit: int) -> None:
    """Raise if texts and bytes make a message larger than the server accepts.

    Args:
        values: the arguments, or the statement.
        limit: bytes.

    Raises:
        DriverError: they are too large together; nothing was sent.
    """
    total = 0
    for value in values:
        if type(value) in _TEXTS:
            total += len(value)
    if total * _MOST_BYTES_OF_A_CHARACTER > limit:
        size = sum(len(each.encode()) if type(each) is str else len(each) for each in values if type(each) in _TEXTS)
        if size > limit:
            message = (
                f"a statement with its arguments takes {size} bytes, and PostgreSQL takes {limit} in one message: send "
                "less at once, or store it in parts"
            )
            raise DriverError(Failure.REFUSED, QueryError(message, sqlstate=_PROGRAM_LIMIT))
