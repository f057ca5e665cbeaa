"""What ``rdskit top`` shows at one moment."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rdskit.client.api import PoolStats
    from rdskit.kernel.positions import Position
    from rdskit.kernel.topology import Role


class Level(Enum):
    """How an entry of the journal is to be taken."""

    INFO = "info"
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened.

    Attributes:
        at: seconds since 1970.
        subject: the host, cluster or part that it happened to.
        words: what happened.
        level: how to take it.
        count: how often in a row.
    """

    at: float
    subject: str
    words: str
    level: Level = Level.INFO
    count: int = 1


@dataclass(frozen=True, slots=True)
class OldestTransaction:
    """The transaction of a client that has been open for longest.

    Attributes:
        seconds: for how long.
        process: the server's number of its connection.
        user: whose it is; None where the server does not tell.
        state: what it does, in the server's own words; None where the server does not tell.
    """

    seconds: float
    process: int
    user: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """What a server says of itself; None where it does not tell.

    Attributes:
        transactions: ended since the server counts.
        statements: answered since the server counts.
        connections: of clients, open now.
        max_connections: that it takes.
        oldest: the transaction that has been open for longest; None also when there is none.
        hidden: what the user may not see, each with the grant that is missing.
    """

    transactions: int | None = None
    statements: int | None = None
    connections: int | None = None
    max_connections: int | None = None
    oldest: OldestTransaction | None = None
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a host.

    Attributes:
        at: seconds on the loop's clock.
        latency: seconds for a round trip on an open connection.
        activity: what the server said.
        position: of a writer, where its log ends; of a reader, what it has replayed; None where that is not told.
        lag: of a reader, seconds behind, infinite while replication stands still; None for a writer, and where it is
            not told.
    """

    at: float
    latency: float
    activity: Activity
    position: Position | None = None
    lag: float | None = None


@dataclass(frozen=True, slots=True)
class Distance:
    """How much log a reader has still to replay.

    Attributes:
        amount: how much.
        unit: ``bytes`` or ``transactions``.
    """

    amount: int
    unit: str


@dataclass(frozen=True, slots=True)
class HostView:
    """One host as it is seen now; None where something is not known.

    Attributes:
        zone: the availability zone.
        status: what the RDS API calls its state, as in ``available``.
        problem: why it gives no sign of life; None while it gives one.
        since: seconds since 1970 when the problem began.
        latency: seconds for a round trip, smoothed.
        transactions: each second.
        statements: each second.
        lag: seconds behind the writer; infinite while replication stands still.
        behind: log behind the writer.
        history: transactions, or else statements, each second at the last looks, the newest last; None where there was
            no answer.
        pool: of the watching client.
    """

    identifier: str
    role: Role
    endpoint: str
    zone: str | None = None
    status: str | None = None
    problem: str | None = None
    since: float | None = None
    latency: float | None = None
    transactions: float | None = None
    statements: float | None = None
    connections: int | None = None
    max_connections: int | None = None
    oldest: OldestTransaction | None = None
    lag: float | None = None
    behind: Distance | None = None
    history: tuple[float | None, ...] = ()
    pool: PoolStats | None = None

    @property
    def rate(self) -> float | None:
        """Work each second: transactions where they are counted, else statements."""
        return self.statements if self.transactions is None else self.transactions


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything that is shown at one moment.

    Attributes:
        at: seconds since 1970.
        target: what is watched, without a password.
        engine: the kind of server.
        interval: seconds between two looks at a host.
        hosts: the writer first.
        failing_since: seconds since 1970 when the writer was lost; None while there is one.
        retries_left: what the watching client may still repeat.
        notes: what cannot be seen, and which grant or permission is missing.
        journal: what happened, the newest last.
    """

    at: float
    target: str
    engine: str
    interval: float
    hosts: tuple[HostView, ...]
    failing_since: float | None = None
    retries_left: int = 0
    notes: tuple[str, ...] = ()
    journal: tuple[Entry, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether there is a writer, and every host gives a sign of life."""
        return self.failing_since is None and bool(self.hosts) and not any(host.problem for host in self.hosts)

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain values for JSON, with the units in the names."""
        hosts = [_plain(host) for host in self.hosts]
        journal = [{**asdict(entry), "level": entry.level.value} for entry in self.journal]
        plain = {**asdict(self), "ok": self.ok, "hosts": hosts, "journal": journal}
        plain["interval_seconds"] = plain.pop("interval")
        return plain


def _plain(host: HostView) -> dict[str, Any]:
    """A host for JSON, which knows no infinity."""
    stopped = host.lag is not None and math.isinf(host.lag)
    plain = {**asdict(host), "role": host.role.value, "replication_stopped": stopped}
    del plain["lag"], plain["latency"]
    plain["lag_seconds"] = None if stopped else host.lag
    plain["latency_ms"] = None if host.latency is None else round(host.latency * 1e3, 2)
    return plain
