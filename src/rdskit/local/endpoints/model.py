"""What an endpoint is told to be, and how that is said to the process that serves it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from rdskit.kernel.endpoints import Endpoint


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
    """

    name: str
    address: Endpoint
    certificate: str
    key: str
    backend: Endpoint | None = None
    require_tls: bool = False


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


def encode(message: Command | Answer) -> bytes:
    """One line of JSON."""
    return json.dumps(asdict(message), separators=(",", ":")).encode() + b"\n"


def decode_command(line: bytes) -> Command:
    """The command in one line."""
    fields = json.loads(line)
    state = fields.pop("state")
    return Command(**fields, state=_state(state) if state else None)


def decode_answer(line: bytes) -> Answer:
    """The answer in one line."""
    return Answer(**json.loads(line))


def _state(fields: dict[str, Any]) -> EndpointState:
    address, backend = fields.pop("address"), fields.pop("backend")
    return EndpointState(**fields, address=Endpoint(*address), backend=Endpoint(*backend) if backend else None)
