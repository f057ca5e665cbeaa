"""The data that ``rdskit top`` shows at one moment."""

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
    """The severity of a journal entry."""

    INFO = "info"
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the journal.

    Attributes:
        at: seconds since 1970.
        subject: the host, cluster or part that it concerns.
        words: the text.
        level: its severity.
        count: how often it repeated.
    """

    at: float
    subject: str
    words: str
    level: Level = Level.INFO
    count: int = 1


@dataclass(frozen=True, slots=True)
class OldestTransaction:
    """The client transaction that has been open longest.

    Attributes:
        seconds: its age.
        process: the server's id of its connection.
        user: its user; None if the server does not report it.
        state: its state, as the server calls it; None if the server does not report it.
    """

    seconds: float
    process: int
    user: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """A server's load; None where the server reports nothing.

    Attributes:
        transactions: the counter of ended transactions.
        statements: the counter of statements.
        connections: open client connections.
        max_connections: the limit of connections.
        oldest: the transaction that has been open longest; None also if there is none.
        hidden: values that the user may not see, each with the missing grant.
    """

    transactions: int | None = None
    statements: int | None = None
    connections: int | None = None
    max_connections: int | None = None
    oldest: OldestTransaction | None = None
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of one poll of a host.

    Attributes:
        at: seconds on the loop's clock.
        latency: seconds for a round trip on an open connection.
        activity: the server's load.
        position: the end of a writer's log, or a reader's replayed position; None if unknown.
        lag: a reader's seconds behind, infinite while replication is stalled; None for a writer, and if unknown.
    """

    at: float
    latency: float
    activity: Activity
    position: Position | None = None
    lag: float | None = None


@dataclass(frozen=True, slots=True)
class Distance:
    """The amount of log that a reader has not replayed yet.

    Attributes:
        amount: the number of units.
        unit: ``bytes`` or ``transactions``.
    """

    amount: int
    unit: str


@dataclass(frozen=True, slots=True)
class HostView:
    """One host's current data; None for unknown values.

    Attributes:
        zone: the availability zone.
        status: the RDS API's status, such as ``available``.
        problem: why it does not respond; None while it does.
        since: when the problem began, in seconds since 1970.
        latency: seconds for a round trip, smoothed.
        transactions: transactions per second.
        statements: statements per second.
        lag: seconds behind the writer; infinite while replication is stalled.
        behind: log behind the writer.
        history: transactions, or else statements, per second at the last polls, the newest last; None for a failed
            poll.
        pool: the statistics of the watching client's pool.
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
        """Transactions per second where they are counted, else statements per second."""
        return self.statements if self.transactions is None else self.transactions


@dataclass(frozen=True, slots=True)
class Frame:
    """All data of one screen.

    Attributes:
        at: seconds since 1970.
        target: the watched target, without a password.
        engine: the server's engine.
        interval: seconds between two polls of a host.
        hosts: the hosts, the writer first.
        failing_since: when the writer was lost, in seconds since 1970; None while there is one.
        retries_left: the watching client's retry budget.
        notes: values that cannot be read, with the missing grant or permission.
        journal: the entries, the newest last.
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
        """Whether there is a writer, and every host responds."""
        return self.failing_since is None and bool(self.hosts) and not any(host.problem for host in self.hosts)

    def as_dict(self) -> dict[str, Any]:
        """Return the frame as plain values for JSON, with units in the names."""
        hosts = [_plain(host) for host in self.hosts]
        journal = [{**asdict(entry), "level": entry.level.value} for entry in self.journal]
        plain = {**asdict(self), "ok": self.ok, "hosts": hosts, "journal": journal}
        plain["interval_seconds"] = plain.pop("interval")
        return plain


def _plain(host: HostView) -> dict[str, Any]:
    """Return a host for JSON, which has no infinity."""
    stopped = host.lag is not None and math.isinf(host.lag)
    plain = {**asdict(host), "role": host.role.value, "replication_stopped": stopped}
    del plain["lag"], plain["latency"]
    plain["lag_seconds"] = None if stopped else host.lag
    plain["latency_ms"] = None if host.latency is None else round(host.latency * 1e3, 2)
    return plain
