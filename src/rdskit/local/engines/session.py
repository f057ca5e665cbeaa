"""A session with one of our own servers, whichever its engine: what the drivers' modules have in common.

A server under test may be stopped or hung at any moment, so every call here has a deadline of its own and none waits
for ever inside a driver. A question may be sent now and its answer fetched later.
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
    """A database user and its password."""

    user: str
    password: str = field(repr=False)


class ServerSession(ABC):
    """One connection in autocommit mode, whose every call ends before a deadline; one thread at a time may use it."""

    def execute(self, sql: str, *parameters: str | float | None, timeout: float = TIMEOUT) -> list[Row]:
        """Run one statement.

        Args:
            sql: with the driver's own marks for the parameters.
            parameters: each in the server's text form.
            timeout: seconds until the answer must be there; a session that was late is of no further use.

        Returns:
            The rows, each value in the server's text form.

        Raises:
            StatementRefused: the server answered with an error.
            SessionLost: the connection ended, or the deadline passed.
        """
        self.send(sql, *parameters)
        return self.receive(timeout)

    def record(self, sql: str, *parameters: str | float | None, timeout: float = TIMEOUT) -> Record:
        """The first row of an answer by column name; empty where there is none. Raises as :meth:`execute` does."""
        self.send(sql, *parameters)
        return next(iter(self.receive_records(timeout)), {})

    @abstractmethod
    def send(self, sql: str, *parameters: str | float | None) -> None:
        """Send one statement without waiting for its answer, which :meth:`receive` fetches.

        Raises:
            SessionLost: the connection has ended.
        """

    @abstractmethod
    def answered(self) -> bool:
        """Whether the answer to what was sent is there, without waiting for it.

        Raises:
            SessionLost: the connection has ended.
        """

    @abstractmethod
    def receive(self, timeout: float = TIMEOUT) -> list[Row]:
        """The answer to what was sent; raises as :meth:`execute` does."""

    @abstractmethod
    def receive_records(self, timeout: float = TIMEOUT) -> list[Record]:
        """The answer to what was sent, each row by column name; raises as :meth:`execute` does."""

    @abstractmethod
    def identifier(self, name: str) -> str:
        """A name quoted for use in a statement."""

    @abstractmethod
    def literal(self, text: str) -> str:
        """A text quoted for use in a statement that takes no parameters."""

    @abstractmethod
    def fileno(self) -> int:
        """The socket, to wait for the server's end of it."""

    @property
    @abstractmethod
    def usable(self) -> bool:
        """Whether another statement may be sent."""

    def answers(self, timeout: float = TIMEOUT) -> bool:
        """Whether the server still answers on it within so many seconds."""
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
