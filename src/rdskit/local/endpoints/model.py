"""What an endpoint is told to be, and how that is said to the process that serves it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rdskit.kernel.endpoints import Endpoint

Protocol = Literal["postgresql", "mysql", "aurora-mysql"]


@dataclass(frozen=True, slots=True)
class InternalAccount:
    """By whom an endpoint asks the backend who an IAM user is, and how it logs one in.

    Attributes:
        user: the backend's superuser.
        password: of that user.
        database: where a PostgreSQL session of it stays: not one that users may want to drop or to copy.
        iam_secret: the password that every IAM user of a MySQL or MariaDB backend has there; one per local RDS, as a
            copy of a server keeps it.
    """

    user: str
    password: str = field(repr=False)
    database: str = "rdsadmin"
    iam_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Link:
    """The network between clients and an endpoint, as far as it is out of order on purpose.

    Attributes:
        blackhole: nothing gets through, in either direction, and no new connection either.
        latency: seconds by which each answer comes late.
        holds: connections that are cut while there is a black hole learn nothing of that until this ends.
    """

    blackhole: bool = False
    latency: float = 0.0
    holds: bool = False


@dataclass(frozen=True, slots=True)
class Backend:
    """One more server behind an endpoint: its address and the directory of its private Unix socket."""

    address: Endpoint
    socket: str = ""


@dataclass(frozen=True, slots=True)
class EndpointState:
    """Everything that the endpoint process knows of one endpoint.

    Attributes:
        name: its key.
        address: where clients connect.
        certificate: file of the server certificate, PEM.
        key: file of its private key, PEM.
        backend: the server that new connections reach; None refuses them.
        require_tls: refuse a session in the clear, as ``rds.force_ssl=1`` asks.
        protocol: what clients and the backend speak; ``mysql`` is MariaDB's too, and ``aurora-mysql`` is the same with
            questions that the backend understands in other words only.
        iam: whether IAM authentication is enabled; an IAM user is refused where it is not.
        account: None has no IAM users: every login is the backend's own affair.
        socket: directory of a PostgreSQL backend's private Unix socket, by which IAM users come in.
        link: the network in front of it.
        others: further backends; new connections reach all of them in turn.
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
    """One order to the endpoint process.

    Attributes:
        number: repeated in its answer.
        state: what the endpoint shall be from now on; None closes it.
        name: which endpoint.
        cut: reset the connections that exist.
    """

    number: int
    name: str
    state: EndpointState | None
    cut: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command: ``error`` is empty if it was carried out."""

    number: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a token opens the door: asked by the endpoint process, as no secret key leaves the daemon.

    Attributes:
        number: repeated in the verdict.
        name: which endpoint.
        user: who wants to log in.
        token: what was given as the password.
    """

    number: int
    name: str
    user: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenVerdict:
    """The answer to a question: ``reason`` is empty if the token is good."""

    number: int
    reason: str = ""


def encode(message: Command | TokenVerdict | Answer | Question) -> bytes:
    """One line of JSON: what kind of message it is, and its fields."""
    return json.dumps([type(message).__name__, asdict(message)], separators=(",", ":")).encode() + b"\n"


def decode_order(line: bytes) -> Command | TokenVerdict:
    """What the daemon says in one line."""
    kind, fields = json.loads(line)
    if kind == TokenVerdict.__name__:
        return TokenVerdict(**fields)
    state = fields.pop("state")
    return Command(**fields, state=_state(state) if state else None)


def decode_report(line: bytes) -> Answer | Question:
    """What the endpoint process says in one line."""
    kind, fields = json.loads(line)
    return Question(**fields) if kind == Question.__name__ else Answer(**fields)


def _state(fields: dict[str, Any]) -> EndpointState:
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
