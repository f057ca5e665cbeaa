"""What the fleet asks of an engine: the one door through which PostgreSQL, MySQL and MariaDB come in.

The fleet decides who is promoted, when a standby counts as in sync and when a copy is made anew; how each of that is
done is the engine's. Who follows whom is told by :class:`Upstream`: a server configured with one is a follower, without
one it is a primary.
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

ADMIN = "rdsadmin"  # the fleet's own superuser on every server
STANDBY = "rdskit_standby"  # as the synchronous standby calls itself


@dataclass(frozen=True, slots=True)
class Probe:
    """What one look at a server has shown.

    Attributes:
        streaming: of a follower: it receives and applies its source's changes; of a primary: its standby is connected.
        lag: of a follower: seconds behind its source; None where it does not know.
    """

    streaming: bool
    lag: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeQuery:
    """How to look at a server: a statement, and how to read its answer."""

    sql: str
    read: Callable[[Sequence[Record]], Probe]


@dataclass(frozen=True, slots=True)
class Member:
    """One instance of a cluster, as SQL functions tell of it.

    Attributes:
        identifier: its name in RDS.
        name: as it is known to the server it follows.
        session: a random id, for what asks after one.
        address: of its server, behind its endpoint.
        region: where it is said to be.
        port: of its endpoint.
        number: by which its server's protocol knows it; 0 where there is none.
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
        """As RDS would call its endpoint, which is an address here."""
        return f"{self.identifier}.localrdskit.{self.region}.rds.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Upstream:
    """Whom a server follows, and how.

    Attributes:
        server: the source.
        name: as which the follower is known there.
        settings: of the source: a follower may have to keep up with them.
        synchronous: whether it acknowledges each transaction to the source.
    """

    server: Server
    name: str
    settings: Mapping[str, str]
    synchronous: bool


class ServerProcess(Protocol):
    """A server's data directory and its process."""

    data: Path
    address: Endpoint

    @property
    def version(self) -> str:
        """As the server prints it."""
        ...

    @property
    def socket(self) -> str:
        """Directory of its private Unix socket, by which IAM users come in; empty where they need none."""
        ...

    @property
    def alive(self) -> bool:
        """Whether its process runs (a paused one does)."""
        ...

    @property
    def suspended(self) -> bool:
        """Whether its process is stopped by a signal: it accepts no connection."""
        ...

    @property
    def pid(self) -> int | None:
        """The process that was started last."""
        ...

    def init(self, templates: Path) -> None:
        """Make the data directory."""
        ...

    def configure(self, settings: Mapping[str, str], upstream: Upstream | None = None) -> None:
        """Write the configuration, of a follower or of a primary; the server must be told or started to use it.

        Raises:
            LocalError: the server refuses a name or a value; the old configuration stays.
        """
        ...

    def start(self) -> None:
        """Start the server and wait until it accepts logins; one that runs is fine."""
        ...

    def apply(self) -> None:
        """Have the running server take over what was configured, as far as that needs no restart."""
        ...

    def pending_restart(self) -> frozenset[str]:
        """The settings that wait for a restart."""
        ...

    def stop(self, *, timeout: float = 30.0) -> None:
        """Stop the server cleanly; kill it if it does not end within ``timeout`` seconds."""
        ...

    def fence(self) -> None:
        """SIGKILL to all of it: when this returns it can acknowledge nothing any more."""
        ...

    def kill(self) -> None:
        """Fence the server and wait until it is gone."""
        ...

    def pause(self) -> None:
        """Hang the server."""
        ...

    def resume(self) -> None:
        """Let a paused server go on."""
        ...

    def remove(self) -> None:
        """Delete the data directory and the log of a stopped server."""
        ...

    def log_excerpt(self) -> str:
        """What the server has complained of since its last start."""
        ...

    def connect(self, *, timeout: float = 5.0) -> ServerSession:
        """Log in as the superuser; ``timeout`` in seconds."""
        ...


class Replication(Protocol):
    """What a server does as a source, as a follower, and on the way from one to the other."""

    @property
    def is_standby(self) -> bool:
        """Whether its data are a follower's; a promotion ends that."""
        ...

    def clone(self, source: Self) -> None:
        """Make the data directory a copy of a running server's; it will start as a follower."""
        ...

    def rewind(self, source: Self) -> None:
        """Prepare a stopped former primary to follow ``source``, without a new copy.

        Raises:
            LocalError: its history cannot be brought back to that of ``source``: clone instead.
        """
        ...

    def stream(self, upstream: Upstream) -> None:
        """Follow ``upstream``, for which the server is configured, from where it is; start it unless it runs.

        Raises:
            LocalError: it does not start, or has a history that is not its source's.
        """
        ...

    def streams(self, session: ServerSession) -> bool:
        """Of a follower: whether it receives its source's changes; ``session`` is one of its own."""
        ...

    def position(self) -> str:
        """Of a primary: up to where it has made everything durable."""
        ...

    def has_received(self, session: ServerSession, position: str) -> bool:
        """Of a follower: whether it has on disk what its source had at ``position``; ``session`` is one of its own."""
        ...

    def require_acknowledgement(self, *, on: bool) -> None:
        """Of a primary: have each commit wait for the standby, or no more; a dead one starts without."""
        ...

    def delay_replay(self, seconds: float) -> None:
        """Of a follower: apply each transaction that much later than its source, or at once again with 0."""
        ...

    def commits_wait(self, session: ServerSession) -> bool:
        """Of a primary: whether a commit has been seen to wait for the standby since it was told to."""
        ...

    def promote(self) -> None:
        """Make a follower a primary; it accepts writes at once or some milliseconds later."""
        ...

    def received(self, timeout: float) -> str | None:
        """Of a follower whose source is gone: up to where it has received; None if it does not tell in time."""
        ...

    def had(self, position: str) -> bool:
        """Of a promoted server: whether it had ``position`` when it was promoted."""
        ...

    def probe(self, *, following: bool) -> ProbeQuery:
        """How to look at it as a follower, or as a primary."""
        ...


class Accounts(Protocol):
    """Users and databases as RDS gives them, and the fleet's own smallest write."""

    def set_up(self, spec: InstanceSpec) -> None:
        """Give a fresh server the users and databases of a new RDS instance."""
        ...

    def set_password(self, user: str, password: str) -> None:
        """Change a user's password."""
        ...

    def open_writer(self, *, timeout: float = 5.0) -> ServerSession:
        """A session for :meth:`heartbeat`; a follower gives one too."""
        ...

    def heartbeat(self, session: ServerSession, *, timeout: float) -> bool:
        """The smallest durable write; False while the server refuses writes."""
        ...


class Server(ServerProcess, Replication, Accounts, Protocol):
    """One server of an instance."""


class Engine(Protocol):
    """One of RDS's engines.

    Attributes:
        name: as in RDS.
        protocol: what its clients speak.
        limits: settings that a follower may not have below its source's.
    """

    @property
    def name(self) -> str:
        """As in RDS."""
        ...

    @property
    def protocol(self) -> WireProtocol:
        """What its clients speak."""
        ...

    @property
    def limits(self) -> Collection[str]:
        """Settings that a follower may not have below its source's."""
        ...

    def prepare(self) -> None:
        """Have the engine's programs, which may be fetched the first time.

        Raises:
            LocalError: they are not there and cannot be had.
        """
        ...

    def server(self, data: Path, address: Endpoint, account: Account, identifier: str) -> Server:
        """The server of a data directory, by the programs that its data need.

        Args:
            data: that directory.
            address: where it listens.
            account: its superuser.
            identifier: of an instance of a cluster: its name in RDS, which it tells its clients.
        """
        ...

    def check_master_user(self, name: str) -> None:
        """Refuse a name that RDS keeps for itself.

        Raises:
            LocalError: it is one.
        """
        ...

    def translate(self, parameters: Mapping[str, str]) -> Translation:
        """Translate a parameter group.

        Raises:
            LocalError: a parameter that RDS lets nobody change.
        """
        ...

    def login(self, address: Endpoint, account: Account, database: str | None, ca: Path) -> None:
        """Log in at an endpoint as a client does.

        Raises:
            LocalError: it does not work.
        """
        ...
