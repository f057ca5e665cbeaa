"""Values of MySQL-family servers: how each product spells things, and how its replication goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one product spells what both can do.

    Attributes:
        defaults: settings of a server, where nothing else is asked for.
        standby: options that make a server refuse writes from its start.
        source_waits: the variable by which a source waits for an acknowledgement.
        replica_acknowledges: the variable by which a replica gives it.
        skip_start: the variable by which a restarted replica waits to be told.
        replica: the first word of its columns in ``SHOW REPLICA STATUS``.
        source: the last word of its column for the lag.
        delay: the statement by which a replica applies transactions some seconds late.
        source_status: how the names of a semi-synchronous source's status variables begin.
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
    """How replication goes on a replica.

    Attributes:
        receiving: whether it is connected to its source.
        applying: whether it applies what it has received.
        lag: seconds behind the source, as the server itself says; None where it does not know.
        error: its latest trouble; empty where there is none.
        retrying: whether it tries to connect again by itself.
    """

    receiving: bool
    applying: bool
    lag: int | None
    error: str
    retrying: bool = False

    @classmethod
    def read(cls, status: Mapping[str, str | None], dialect: Dialect) -> Self:
        """What a row of ``SHOW REPLICA STATUS`` says; an empty one is a server that follows nobody."""
        receiving = status.get(f"{dialect.replica}_IO_Running")
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
        """Whether everything goes on."""
        return self.receiving and self.applying

    @property
    def broken(self) -> bool:
        """Whether it has stopped with an error and does not go on by itself."""
        return bool(self.error) and not self.retrying and not self.healthy
