"""The first messages of a PostgreSQL session, as the frontend/backend protocol 3.2 defines them.

Only what comes before a session is looked at: asking for TLS or GSSAPI, cancelling, starting up, and the password of a
user that needs none of its own.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final

GREETING: Final = struct.Struct("!iI")  # length of the whole packet, then the request code

#: AuthenticationCleartextPassword.
PASSWORD_PLEASE: Final = b"R" + struct.pack("!ii", 8, 3)
#: Type and length of a message from the client, the latter with its own four bytes.
MESSAGE: Final = struct.Struct("!ci")
#: A fatal TLS alert, no_application_protocol (RFC 7301): what a server without direct TLS can say to such a client.
NO_DIRECT_TLS: Final = bytes.fromhex("15030100020278")

_SSL_REQUEST: Final = 80877103
_GSS_REQUEST: Final = 80877104
_CANCEL_REQUEST: Final = 80877102
_TLS_HANDSHAKE: Final = 0x16
_INVALID_AUTHORIZATION: Final = "28000"
_LONGEST_STARTUP: Final = 10000  # MAX_STARTUP_PACKET_LENGTH of the server


class Request(enum.Enum):
    """What a client asks for with its first packet."""

    TLS = "TLS"
    GSS = "GSSAPI encryption"
    CANCEL = "cancel"
    STARTUP = "startup"
    DIRECT_TLS = "TLS without asking"
    UNSUPPORTED = "unsupported"


def classify(greeting: bytes) -> tuple[Request, int]:
    """What the first eight bytes ask for.

    Returns:
        The request, and how many bytes of the packet follow the greeting. ``DIRECT_TLS`` is ``sslnegotiation=direct``;
        ``UNSUPPORTED`` is everything that is not PostgreSQL.
    """
    length, code = GREETING.unpack(greeting)
    if greeting[0] == _TLS_HANDSHAKE:
        return Request.DIRECT_TLS, 0
    if not GREETING.size <= length <= _LONGEST_STARTUP:
        return Request.UNSUPPORTED, 0
    known = {_SSL_REQUEST: Request.TLS, _GSS_REQUEST: Request.GSS, _CANCEL_REQUEST: Request.CANCEL}
    return known.get(code, Request.STARTUP), length - GREETING.size


@dataclass(frozen=True, slots=True)
class Startup:
    """Who wants to start a session on which database."""

    user: str
    database: str

    @classmethod
    def parse(cls, parameters: bytes) -> Startup:
        """From the startup packet's parameters: names and values, each ended by a zero byte."""
        words = parameters.split(b"\0")
        pairs = zip(words[::2], words[1::2], strict=False)
        given = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in pairs}
        user = given.get("user", "")
        return cls(user, given.get("database", user))


def tls_required(startup: Startup, client: str) -> bytes:
    """The error that a server with ``rds.force_ssl=1`` answers a session in the clear; ``client`` is its address."""
    return error_response("FATAL", _INVALID_AUTHORIZATION, f"no pg_hba.conf entry for {_whom(startup, client)}")


def not_from_here(startup: Startup, client: str) -> bytes:
    """Return the error that RDS answers a login of its own superuser; ``client`` is its address."""
    message = (
        f'pg_hba.conf rejects connection for host "{client}", user "{startup.user}", database "{startup.database}"'
    )
    return error_response("FATAL", _INVALID_AUTHORIZATION, message)


def unencrypted_iam(startup: Startup, client: str, reason: str) -> bytes:
    """The error that RDS answers an IAM user in the clear; ``client`` is its address."""
    message = f"pg_hba.conf rejects connection for {_whom(startup, client)}"
    return error_response("FATAL", _INVALID_AUTHORIZATION, message, reason)


def token_refused(startup: Startup, reason: str) -> bytes:
    """The error that RDS answers an IAM user whose token is no good."""
    message = f'PAM authentication failed for user "{startup.user}"'
    return error_response("FATAL", _INVALID_AUTHORIZATION, message, reason)


def error_response(severity: str, sqlstate: str, message: str, detail: str = "") -> bytes:
    """An ErrorResponse packet."""
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": message, "D": detail}
    body = b"".join(f"{key}{value}".encode() + b"\0" for key, value in fields.items() if value) + b"\0"
    return b"E" + struct.pack("!i", len(body) + 4) + body


def _whom(startup: Startup, client: str) -> str:
    return f'host "{client}", user "{startup.user}", database "{startup.database}", no encryption'
