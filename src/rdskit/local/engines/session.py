"""Define a session with one of our own servers, whatever its engine.

A server under test may be stopped or hung at any moment. So every call has a deadline, and none waits inside a driver
without one. A query can be sent now and its answer read later.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Final, Self

from rdskit.errors import LocalError

Row = tuple[str | None, ...]
Record = dict[str, str | None]

TIMEOUT: Final = 10.0


class SessionLost(LocalError):  # noqa: N818 - says what happened, as the public errors do
    """The server closed the connection, or did not answer before the deadline."""


class StatementRefused(LocalError):  # noqa: N818 - says what happened, as the public errors do
    """The server answered with an error.

    Attributes:
        sqlstate: its five-character code.
    """

    def __init__(self, message: str, sqlstate: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


@dataclass(frozen=True, slots=True)
class Account:
    """Database user and its password."""

    user: str
    password: str = field(repr=False)


class ServerSession(ABC):
    """Connection in autocommit mode. Every call ends before a deadline. One thread at a time may use it."""

    def execute(self, sql: str, *parameters: str | float | None, timeout: float = TIMEOUT) -> list[Row]:
        """Run one statement.

        Args:
            sql: with the driver's own placeholders.
            parameters: each in the server's text form.
            timeout: seconds until the answer must be there. After a time-out the session is of no further use.

        Returns:
            The rows, each value in the server's text form.

        Raises:
            StatementRefused: the server answered with an error.
            SessionLost: the connection ended, or the deadline passed.
        """
        self.send(sql, *parameters)
        return self.receive(timeout)

    def record(self, sql: str, *parameters: str | float | None, timeout: float = TIMEOUT) -> Record:
        """Return the first row of an answer by column name; empty if there is no row.

        Raises as :meth:`execute` does.
        """
        self.send(sql, *parameters)
        return next(iter(self.receive_records(timeout)), {})

    @abstractmethod
    def send(self, sql: str, *parameters: str | float | None) -> None:
        """Send one statement without waiting for its answer, which :meth:`receive` reads.

        Raises:
            SessionLost: the connection has ended.
        """

    @abstractmethod
    def answered(self) -> bool:
        """Return whether the answer has arrived, without waiting for it.

        Raises:
            SessionLost: the connection has ended.
        """

    @abstractmethod
    def receive(self, timeout: float = TIMEOUT) -> list[Row]:
        """Read the answer to the statement that was sent; raises as :meth:`execute` does."""

    @abstractmethod
    def receive_records(self, timeout: float = TIMEOUT) -> list[Record]:
        """Read the answer with each row by column name; raises as :meth:`execute` does."""

    @abstractmethod
    def identifier(self, name: str) -> str:
        """Return a name quoted for use in a statement."""

    @abstractmethod
    def literal(self, text: str) -> str:
        """Return a text quoted for use in a statement that takes no parameters."""

    @abstractmethod
    def fileno(self) -> int:
        """Return the socket's descriptor, to wait for data or for the end of the connection."""

    @property
    @abstractmethod
    def usable(self) -> bool:
        """Whether another statement may be sent."""

    def answers(self, timeout: float = TIMEOUT) -> bool:
        """Return whether the server answers on this session within some seconds."""
        try:
            self.execute("select 1", timeout=timeout)
        except SessionLost:
            return False
        return True

    @abstractmethod
    def close(self) -> None:
        """Close the connection; closing twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
