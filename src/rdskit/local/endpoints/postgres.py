"""The first bytes of a PostgreSQL session, as the frontend/backend protocol 3.2 defines them.

Only what comes before authentication is looked at: asking for TLS or GSSAPI, cancelling, or starting up in the clear.
"""

from __future__ import annotations

import enum
import struct
from typing import Final

GREETING: Final = struct.Struct("!iI")  # length of the whole packet, then the request code

_SSL_REQUEST: Final = 80877103
_GSS_REQUEST: Final = 80877104
_CANCEL_REQUEST: Final = 80877102
_TLS_HANDSHAKE: Final = 0x16
_LONGEST_STARTUP: Final = 10000  # MAX_STARTUP_PACKET_LENGTH of the server


class Request(enum.Enum):
    """What a client asks for with its first packet."""

    TLS = "TLS"
    GSS = "GSSAPI encryption"
    CANCEL = "cancel"
    STARTUP = "startup"
    UNSUPPORTED = "unsupported"


def classify(greeting: bytes) -> tuple[Request, int]:
    """What the first eight bytes ask for.

    Returns:
        The request, and how many bytes of the packet follow the greeting. ``UNSUPPORTED`` covers TLS without asking
        (``sslnegotiation=direct``), which RDS does not speak, and everything that is not PostgreSQL.
    """
    length, code = GREETING.unpack(greeting)
    if greeting[0] == _TLS_HANDSHAKE or not GREETING.size <= length <= _LONGEST_STARTUP:
        return Request.UNSUPPORTED, 0
    known = {_SSL_REQUEST: Request.TLS, _GSS_REQUEST: Request.GSS, _CANCEL_REQUEST: Request.CANCEL}
    return known.get(code, Request.STARTUP), length - GREETING.size


def tls_required(startup: bytes, client: str) -> bytes:
    """The error that a server with ``rds.force_ssl=1`` answers a session in the clear.

    Args:
        startup: the startup packet's parameters, names and values each ended by a zero byte.
        client: the client's address.
    """
    words = startup.split(b"\0")
    given = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in _pairs(words)}
    user = given.get("user", "")
    message = (
        f'no pg_hba.conf entry for host "{client}", user "{user}", database "{given.get("database", user)}", '
        f"no encryption"
    )
    return error_response("FATAL", "28000", message)


def error_response(severity: str, sqlstate: str, message: str) -> bytes:
    """An ErrorResponse packet."""
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": message}
    body = b"".join(f"{key}{value}".encode() + b"\0" for key, value in fields.items()) + b"\0"
    return b"E" + struct.pack("!i", len(body) + 4) + body


def _pairs(words: list[bytes]) -> zip[tuple[bytes, bytes]]:
    return zip(words[::2], words[1::2], strict=False)
