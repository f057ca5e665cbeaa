"""Describe MySQL-family servers as values: the spelling of each product, and the status of replication."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Dialect:
    """Spelling of each product for what both can do.

    Attributes:
        defaults: settings of a server, unless others are given.
        standby: options that make a server refuse writes from its start.
        source_waits: variable that makes a source wait for an acknowledgement.
        replica_acknowledges: variable that makes a replica acknowledge.
        skip_start: variable that keeps a restarted replica from replicating by itself.
        replica: first word of its columns in ``SHOW REPLICA STATUS``.
        source: last word of its column for the lag.
        delay: statement that makes a replica apply transactions some seconds late.
        source_status: prefix of a semi-synchronous source's status variables.
    """

    defaults: Mapping[str, str]
    standby: Mapping[str, str]
    source_waits: str
    replica_acknowledges: str
    skip_start: str
    replica: str
    source: str
    delay: str
    source_status: str


@dataclass(frozen=True, slots=True)
class ReplicationStatus:
    """Status of replication on a replica.

    Attributes:
        receiving: whether it is connected to its source.
        applying: whether it applies what it has received.
        lag: seconds behind the source, as the server itself says; None if it does not know.
        error: its latest error; empty if there is none.
        retrying: whether it tries to connect again by itself.
    """

    receiving: bool
    applying: bool
    lag: int | None
    error: str
    retrying: bool = False

    @classmethod
    def read(cls, status: Mapping[str, str | None], dialect: Dialect) -> Self:
        """Read a row of ``SHOW REPLICA STATUS``; an empty row means that the server has no source."""
        receiving = status.get(f"{dialect.replica}_IO_Running")
        # NULL while either thread is stopped.
        lag = status.get(f"Seconds_Behind_{dialect.source}")
        return cls(
            receiving=receiving == "Yes",
            applying=status.get(f"{dialect.replica}_SQL_Running") == "Yes",
            lag=None if lag is None else int(lag),
            error=status.get("Last_IO_Error") or status.get("Last_SQL_Error") or "",
            retrying=receiving == "Connecting",
        )

    @property
    def healthy(self) -> bool:
        """Whether it receives and applies."""
        return self.receiving and self.applying

    @property
    def broken(self) -> bool:
        """Whether it has stopped with an error and does not retry."""
        return bool(self.error) and not self.retrying and not self.healthy
