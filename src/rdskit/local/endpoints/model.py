"""Define the state of an endpoint and the messages between the daemon and the endpoint process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rdskit.kernel.endpoints import Endpoint

Protocol = Literal["postgresql", "mysql", "aurora-mysql"]


@dataclass(frozen=True, slots=True)
class InternalAccount:
    """The superuser account by which an endpoint looks up IAM users on its backend and logs them in.

    Attributes:
        user: the backend's superuser.
        password: password of that user.
        database: the database that its PostgreSQL session is connected to. A session blocks DROP DATABASE and CREATE
            DATABASE … TEMPLATE, so this is not a database of the users.
        iam_secret: the password that every IAM user of a MySQL or MariaDB backend has there. One local RDS has one
            secret, because replicas and restored copies keep the stored hash.
    """

    user: str
    password: str = field(repr=False)
    database: str = "rdsadmin"
    iam_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Link:
    """The injected network faults between clients and an endpoint.

    Attributes:
        blackhole: drop everything in both directions, including new connections.
        latency: delay of each answer, in seconds.
        holds: keep the connections that are cut during a black hole silent until this becomes False.
    """

    blackhole: bool = False
    latency: float = 0.0
    holds: bool = False


@dataclass(frozen=True, slots=True)
class Backend:
    """An additional server behind an endpoint: its address and the directory of its private Unix socket."""

    address: Endpoint
    socket: str = ""


@dataclass(frozen=True, slots=True)
class EndpointState:
    """The complete state of one endpoint.

    Attributes:
        name: identifies the endpoint in the process.
        address: the address that clients connect to.
        certificate: file of the server certificate, PEM.
        key: file of its private key, PEM.
        backend: the server for new connections; None refuses them.
        require_tls: refuse unencrypted sessions, like ``rds.force_ssl=1``.
        protocol: the protocol of clients and backend. MariaDB speaks ``mysql``. ``aurora-mysql`` also rewrites
            statements that only Aurora MySQL understands.
        iam: whether IAM authentication is enabled. Without it the endpoint refuses IAM users.
        account: the internal account; None relays every login to the backend unseen.
        socket: directory of a PostgreSQL backend's private Unix socket, which accepts IAM users without a password.
        link: the injected network faults in front of the endpoint.
        others: additional backends; new connections go to all backends in turn.
    """

    name: str
    address: Endpoint
    certificate: str
    key: str
    backend: Endpoint | None = None
    require_tls: bool = False
    protocol: Protocol = "postgresql"
    iam: bool = False
    account: InternalAccount | None = None
    socket: str = ""
    link: Link = Link()
    others: tuple[Backend, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A command from the daemon to the endpoint process.

    Attributes:
        number: repeated in its answer.
        name: name of the endpoint.
        state: the endpoint's new state; None closes the endpoint.
        cut: reset the connections that exist.
    """

    number: int
    name: str
    state: EndpointState | None
    cut: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command: ``error`` is empty on success."""

    number: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A request from the endpoint process to verify a token. Secret access keys stay in the daemon.

    Attributes:
        number: repeated in the verdict.
        name: name of the endpoint.
        user: the database user that logs in.
        token: the password that the client sent.
    """

    number: int
    name: str
    user: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenVerdict:
    """The daemon's answer to a question: ``reason`` is empty if the token is accepted."""

    number: int
    reason: str = ""


def encode(message: Command | TokenVerdict | Answer | Question) -> bytes:
    """Return a message as one line of JSON: its class name and its fields."""
    # JSON escapes line breaks, so one line is always one message.
    return json.dumps([type(message).__name__, asdict(message)], separators=(",", ":")).encode() + b"\n"


def decode_order(line: bytes) -> Command | TokenVerdict:
    """Return the message in one line from the daemon."""
    kind, fields = json.loads(line)
    if kind == TokenVerdict.__name__:
        return TokenVerdict(**fields)
    state = fields.pop("state")
    return Command(**fields, state=_state(state) if state else None)


def decode_report(line: bytes) -> Answer | Question:
    """Return the message in one line from the endpoint process."""
    kind, fields = json.loads(line)
    return Question(**fields) if kind == Question.__name__ else Answer(**fields)


def _state(fields: dict[str, Any]) -> EndpointState:
    # asdict() and JSON turn nested dataclasses and named tuples into dicts and lists: rebuild them here.
    names = ("address", "backend", "account", "link", "others")
    address, backend, account, link, others = (fields.pop(name) for name in names)
    return EndpointState(
        **fields,
        address=Endpoint(*address),
        backend=Endpoint(*backend) if backend else None,
        account=InternalAccount(**account) if account else None,
        link=Link(**link),
        others=tuple(Backend(Endpoint(*each["address"]), each["socket"]) for each in others),
    )
