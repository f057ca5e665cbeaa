"""Run one statement on a connection in one of three ways, as functions to pass to the executor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from rdskit.kernel.ports import Connection, Result, Row

T_co = TypeVar("T_co", covariant=True)


class Call(Protocol[T_co]):
    """Starts one statement on a connection, and returns its result.

    A function instead of a method's name, so that a debugger can step into it and a type checker knows its result.
    """

    def __call__(self, connection: Connection, text: str, args: Sequence[Any], /) -> Coroutine[Any, Any, T_co]:
        """Return the coroutine that runs ``text`` with ``args``; its deadline belongs to the caller."""
        ...


def fetch_one(connection: Connection, text: str, args: Sequence[Any], /) -> Coroutine[Any, Any, Row | None]:
    """Run a statement and return its first row."""
    return connection.fetch_one(text, args, None)


def fetch_all(connection: Connection, text: str, args: Sequence[Any], /) -> Coroutine[Any, Any, list[Row]]:
    """Run a statement and return all its rows."""
    return connection.fetch_all(text, args, None)


def execute(connection: Connection, text: str, args: Sequence[Any], /) -> Coroutine[Any, Any, Result]:
    """Run a statement and return how many rows it matched."""
    return connection.execute(text, args, None)
