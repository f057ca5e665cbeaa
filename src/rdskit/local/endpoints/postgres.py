"""Parse and build the first messages of a PostgreSQL session (frontend/backend protocol 3.2).

Only the messages before a session are parsed: requests for TLS or GSSAPI, cancel requests, the startup packet, and the
password message of an IAM user. Source: PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats".
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final

GREETING: Final = struct.Struct("!iI")  # length of the whole packet, then the request code

#: AuthenticationCleartextPassword: length 8, code 3. The answer has the token unhashed, as RDS needs it too.
PASSWORD_PLEASE: Final = b"R" + struct.pack("!ii", 8, 3)
#: Type and length of a message from the client. The length includes its own four bytes.
MESSAGE: Final = struct.Struct("!ci")
#: A fatal TLS alert 120, no_application_protocol (RFC 7301, 3.2): the refusal of a client that begins with a TLS
#: handshake.
NO_DIRECT_TLS: Final = bytes.fromhex("15030100020278")

# Codes in the place of the protocol version, chosen to match none: 1234 in the upper 16 bits, 5678 to 5680 in the
# lower.
_SSL_REQUEST: Final = 80877103
_GSS_REQUEST: Final = 80877104
_CANCEL_REQUEST: Final = 80877102
_TLS_HANDSHAKE: Final = 0x16  # content type of a TLS record with a ClientHello (RFC 8446, 5.1)
_INVALID_AUTHORIZATION: Final = "28000"  # SQLSTATE invalid_authorization_specification
_LONGEST_STARTUP: Final = 10000  # MAX_STARTUP_PACKET_LENGTH of the server, in pqcomm.h


class Request(enum.Enum):
    """The request in a client's first packet."""

    TLS = "TLS"
    GSS = "GSSAPI encryption"
    CANCEL = "cancel"
    STARTUP = "startup"
    DIRECT_TLS = "TLS without asking"
    UNSUPPORTED = "unsupported"


def classify(greeting: bytes) -> tuple[Request, int]:
    """Return the request in the first eight bytes.

    Returns:
        The request, and how many bytes of the packet follow the greeting. ``DIRECT_TLS`` is ``sslnegotiation=direct``;
        ``UNSUPPORTED`` is everything that is not PostgreSQL.
    """
    length, code = GREETING.unpack(greeting)
    # No startup packet begins with 0x16: its length would be far beyond the limit.
    if greeting[0] == _TLS_HANDSHAKE:
        return Request.DIRECT_TLS, 0
    if not GREETING.size <= length <= _LONGEST_STARTUP:
        return Request.UNSUPPORTED, 0
    # Any other code is a protocol version: the backend itself accepts or negotiates it.
    known = {_SSL_REQUEST: Request.TLS, _GSS_REQUEST: Request.GSS, _CANCEL_REQUEST: Request.CANCEL}
    return known.get(code, Request.STARTUP), length - GREETING.size


@dataclass(frozen=True, slots=True)
class Startup:
    """The user and the database of a startup packet."""

    user: str
    database: str

    @classmethod
    def parse(cls, parameters: bytes) -> Startup:
        """Parse the parameters of a startup packet: names and values, each ended by a zero byte."""
        words = parameters.split(b"\0")
        pairs = zip(words[::2], words[1::2], strict=False)
        given = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in pairs}
        # The database defaults to the user's name. Without a user the backend refuses the packet.
        user = given.get("user", "")
        return cls(user, given.get("database", user))


def tls_required(startup: Startup, client: str) -> bytes:
    """Return the error of a server with ``rds.force_ssl=1`` for an unencrypted session from the address ``client``."""
    return error_response("FATAL", _INVALID_AUTHORIZATION, f"no pg_hba.conf entry for {_client_of(startup, client)}")


def superuser_refused(startup: Startup, client: str) -> bytes:
    """Return the error of RDS for a login as its superuser from the address ``client``."""
    message = (
        f'pg_hba.conf rejects connection for host "{client}", user "{startup.user}", database "{startup.database}"'
    )
    return error_response("FATAL", _INVALID_AUTHORIZATION, message)


def unencrypted_iam(startup: Startup, client: str, reason: str) -> bytes:
    """Return the error of RDS for an unencrypted login of an IAM user from the address ``client``."""
    message = f"pg_hba.conf rejects connection for {_client_of(startup, client)}"
    return error_response("FATAL", _INVALID_AUTHORIZATION, message, reason)


def token_refused(startup: Startup, reason: str) -> bytes:
    """Return the error of RDS for an IAM user whose token is refused."""
    # RDS verifies tokens in a PAM module, and drivers and users know this text.
    message = f'PAM authentication failed for user "{startup.user}"'
    return error_response("FATAL", _INVALID_AUTHORIZATION, message, reason)


def error_response(severity: str, sqlstate: str, message: str, detail: str = "") -> bytes:
    """Return an ErrorResponse packet."""
    # S may be translated, V is never (since PostgreSQL 9.6): drivers need both. A zero byte ends the fields.
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": message, "D": detail}
    body = b"".join(f"{key}{value}".encode() + b"\0" for key, value in fields.items() if value) + b"\0"
    return b"E" + struct.pack("!i", len(body) + 4) + body


def _client_of(startup: Startup, client: str) -> str:
    return f'host "{client}", user "{startup.user}", database "{startup.database}", no encryption'
