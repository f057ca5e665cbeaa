"""Define what the fleet requires of an engine: the interface of PostgreSQL, MySQL and MariaDB.

The fleet decides which server is promoted, when a standby counts as in sync and when a copy is built again. The engine
knows how to do each of these. A server configured with an :class:`Upstream` is a follower, without one a primary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence  # noqa: TC003 - dataclass fields, read at run time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from rdskit.kernel.endpoints import Endpoint  # noqa: TC001 - as above
from rdskit.local.engines.session import Record  # noqa: TC001 - as above

if TYPE_CHECKING:
    from pathlib import Path

    from rdskit.local.endpoints.model import Protocol as WireProtocol
    from rdskit.local.engines.session import Account, ServerSession
    from rdskit.local.fleet.model import InstanceSpec
    from rdskit.local.fleet.translation import Translation

# The fleet's own superuser on every server, named as on RDS. Master users may not choose this name.
ADMIN = "rdsadmin"
STANDBY = "rdskit_standby"  # application_name of the synchronous standby


@dataclass(frozen=True, slots=True)
class Probe:
    """Result of one probe of a server.

    Attributes:
        streaming: of a follower: whether it receives and applies changes; of a primary: whether its standby is
            connected.
        lag: of a follower: seconds behind its source; None if unknown.
    """

    streaming: bool
    lag: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeQuery:
    """Query that probes a server, and the function that reads its answer."""

    sql: str
    read: Callable[[Sequence[Record]], Probe]


@dataclass(frozen=True, slots=True)
class Member:
    """One instance of a cluster, as the cluster's SQL functions report it.

    Attributes:
        identifier: its name in RDS.
        name: its name as a follower, in ``application_name``.
        session: a random id for Aurora's ``session_id`` column.
        address: of its server, behind its endpoint.
        region: AWS region that it reports.
        port: of its endpoint.
        number: ``server_id`` in MySQL replication; 0 where the protocol has none.
    """

    identifier: str
    name: str
    session: str
    address: Endpoint
    region: str
    port: int
    number: int = 0

    @property
    def name_in_rds(self) -> str:
        """Host name that RDS would give its endpoint. Locally the endpoint is an IP address."""
        return f"{self.identifier}.localrdskit.{self.region}.rds.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Upstream:
    """Source that a server follows.

    Attributes:
        server: the source.
        name: name under which the follower is known at the source.
        settings: of the source; some of the follower's may not be lower.
        synchronous: whether the follower acknowledges each transaction to the source.
    """

    server: Server
    name: str
    settings: Mapping[str, str]
    synchronous: bool


class ServerProcess(Protocol):
    """Data directory of a server, and its process."""

    data: Path
    address: Endpoint

    @property
    def version(self) -> str:
        """Version as the server prints it."""
        ...

    @property
    def socket(self) -> str:
        """Directory of its private Unix socket, on which IAM users log in; empty where they need none."""
        ...

    @property
    def alive(self) -> bool:
        """Whether its process runs. A paused one counts as running."""
        ...

    @property
    def suspended(self) -> bool:
        """Whether a signal has stopped its process, so that it accepts no connection."""
        ...

    @property
    def pid(self) -> int | None:
        """Id of the process that was started last."""
        ...

    def init(self, templates: Path) -> None:
        """Create the data directory from a template."""
        ...

    def configure(self, settings: Mapping[str, str], upstream: Upstream | None = None) -> None:
        """Write the configuration of a follower or a primary. A running server must reload or restart to use it.

        Raises:
            LocalError: the server refuses a name or a value; the old configuration stays.
        """
        ...

    def start(self) -> None:
        """Start the server and wait until it accepts logins. Does nothing if it runs."""
        ...

    def apply(self) -> None:
        """Reload the configuration of the running server, as far as that needs no restart."""
        ...

    def pending_restart(self) -> frozenset[str]:
        """Return the settings that wait for a restart."""
        ...

    def stop(self, *, timeout: float = 30.0) -> None:
        """Stop the server cleanly; kill it if it does not end within ``timeout`` seconds."""
        ...

    def fence(self) -> None:
        """Send SIGKILL to every process of the server. After the return it acknowledges nothing more."""
        ...

    def kill(self) -> None:
        """Fence the server and wait until its processes are gone."""
        ...

    def pause(self) -> None:
        """Suspend every process of the server, so that it hangs."""
        ...

    def resume(self) -> None:
        """Continue a paused server."""
        ...

    def remove(self) -> None:
        """Delete the data directory and the log of a stopped server."""
        ...

    def log_excerpt(self) -> str:
        """Return the errors in its log since its last start."""
        ...

    def connect(self, *, timeout: float = 5.0) -> ServerSession:
        """Log in as the superuser; ``timeout`` in seconds."""
        ...


class Replication(Protocol):
    """Replication of a server: as a source, as a follower, and the change between the two."""

    @property
    def is_standby(self) -> bool:
        """Whether its data are a follower's; a promotion ends that."""
        ...

    def clone(self, source: Self) -> None:
        """Copy a running server's data into the data directory, to start as a follower."""
        ...

    def rewind(self, source: Self) -> None:
        """Prepare a stopped former primary to follow ``source`` without a new copy.

        Raises:
            LocalError: its history cannot be brought back to that of ``source``: clone instead.
        """
        ...

    def stream(self, upstream: Upstream) -> None:
        """Follow ``upstream``, which the configuration names, from the present position; start the server if needed.

        Raises:
            LocalError: it does not start, or its history is not part of its source's.
        """
        ...

    def streams(self, session: ServerSession) -> bool:
        """Return whether a follower receives its source's changes; ``session`` is one of its own."""
        ...

    def position(self) -> str:
        """Return the position up to which a primary's changes are durable."""
        ...

    def has_received(self, session: ServerSession, position: str) -> bool:
        """Return whether a follower has ``position`` of its source on disk; ``session`` is one of its own."""
        ...

    def require_acknowledgement(self, *, on: bool) -> None:
        """Configure whether each commit of a primary waits for the standby. A dead server starts without waiting."""
        ...

    def delay_replay(self, seconds: float) -> None:
        """Delay a follower's apply by some seconds per transaction; 0 ends the delay."""
        ...

    def commits_wait(self, session: ServerSession) -> bool:
        """Return whether a primary's commits have been observed to wait for the standby."""
        ...

    def promote(self) -> None:
        """Make a follower a primary. It accepts writes at once or some milliseconds later."""
        ...

    def received(self, timeout: float) -> str | None:
        """Return the position that a follower without a source has received; None if it does not answer in time."""
        ...

    def had(self, position: str) -> bool:
        """Return whether a promoted server had ``position`` at its promotion."""
        ...

    def probe(self, *, following: bool) -> ProbeQuery:
        """Return the query that probes a follower or a primary."""
        ...


class Accounts(Protocol):
    """Users and databases as RDS creates them, and the fleet's own smallest write."""

    def set_up(self, spec: InstanceSpec) -> None:
        """Create the users and databases of a new RDS instance on a fresh server."""
        ...

    def set_password(self, user: str, password: str) -> None:
        """Change a user's password."""
        ...

    def open_writer(self, *, timeout: float = 5.0) -> ServerSession:
        """Open a session for :meth:`heartbeat`; a follower allows that too."""
        ...

    def heartbeat(self, session: ServerSession, *, timeout: float) -> bool:
        """Commit the smallest durable write; return False while the server refuses writes."""
        ...


class Server(ServerProcess, Replication, Accounts, Protocol):
    """One server of an instance: process, replication and accounts."""


class Engine(Protocol):
    """One engine of RDS.

    Attributes:
        name: as in RDS.
        protocol: wire protocol of its clients.
        limits: settings that a follower may not have below its source's.
    """

    @property
    def name(self) -> str:
        """Name of the engine in RDS."""
        ...

    @property
    def protocol(self) -> WireProtocol:
        """Wire protocol of its clients."""
        ...

    @property
    def limits(self) -> Collection[str]:
        """Settings that a follower may not have below its source's."""
        ...

    def prepare(self) -> None:
        """Find the engine's programs; they may be downloaded the first time.

        Raises:
            LocalError: they are neither installed nor available.
        """
        ...

    def server(self, data: Path, address: Endpoint, account: Account, identifier: str) -> Server:
        """Return the server of a data directory, with the program version that the data need.

        Args:
            data: that directory.
            address: where it listens.
            account: its superuser.
            identifier: name in RDS of a cluster's instance, which the server reports to its clients.
        """
        ...

    def check_master_user(self, name: str) -> None:
        """Refuse a master user name that RDS reserves.

        Raises:
            LocalError: the name is reserved.
        """
        ...

    def translate(self, parameters: Mapping[str, str]) -> Translation:
        """Translate a parameter group.

        Raises:
            LocalError: it sets a parameter that RDS does not let users change.
        """
        ...

    def login(self, address: Endpoint, account: Account, database: str | None, ca: Path) -> None:
        """Log in at an endpoint as a client does.

        Raises:
            LocalError: the login fails.
        """
        ...
