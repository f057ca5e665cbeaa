"""Parse the head of HTTP/1.1 requests (RFC 9112), as far as AWS SDKs use it.

Every length has a limit. Anything that two programs could read in different ways is refused: a body with two lengths, a
header that continues on the next line, a space before the colon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Head", "Limits", "MalformedRequestError", "chunk_size", "parse_head"]

_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,16}) ([!-~]+) HTTP/1\.([01])")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t -~]*)?")
_LENGTH: Final = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits for one client and for all together.

    Attributes:
        line: bytes of the request line, of a header line and of a chunk's size line.
        head: bytes of all header lines together.
        fields: number of header lines.
        body: bytes of one body.
        bodies: bytes of all bodies in memory.
        connections: number of open connections.
        head_time: seconds for the head, from its first byte to its last.
        body_time: seconds for the body.
        answer_time: seconds for the client to receive an answer.
        idle_time: seconds without a request.
    """

    line: int = 16 * 1024
    head: int = 64 * 1024
    fields: int = 100
    body: int = 8 * 1024**2
    bodies: int = 64 * 1024**2
    connections: int = 256
    head_time: float = 10.0
    body_time: float = 30.0
    answer_time: float = 30.0
    idle_time: float = 120.0


class MalformedRequestError(Exception):
    """A request that is malformed or exceeds a limit.

    Attributes:
        status: HTTP status of the answer.
        code: the AWS error code of the answer.
    """

    def __init__(self, message: str, *, status: int = 400, code: str = "MalformedHttpRequestException") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Head:
    """The request line and the headers.

    Attributes:
        method: such as ``POST``.
        path: the path as it was sent, percent-encoded.
        query: the query as it was sent, without the question mark.
        version: ``HTTP/1.0`` or ``HTTP/1.1``.
        headers: values by name in lower case; the values of a repeated header are joined with commas.
        length: bytes of the body; None for a chunked body.
    """

    method: str
    path: str
    query: str
    version: str
    headers: Mapping[str, str]
    length: int | None

    @property
    def keeps_alive(self) -> bool:
        """Return whether the client may send another request on the same connection."""
        options = {each.strip().lower() for each in self.headers.get("connection", "").split(",")}
        return self.version == "HTTP/1.1" and "close" not in options


def parse_head(line: bytes, fields: list[bytes]) -> Head:
    """Return the head of a request.

    Args:
        line: the request line, without its line break.
        fields: the header lines, without their line breaks.

    Raises:
        MalformedRequestError: the head is not HTTP/1.0 or 1.1, or is ambiguous.
    """
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise MalformedRequestError("the request line is not METHOD TARGET HTTP/1.1")
    target = match[2].decode("ascii")
    # The absolute form is for proxies, and "*" for OPTIONS: no SDK sends either to a service.
    if not target.startswith("/"):
        raise MalformedRequestError("the request's target does not begin with a slash")
    path, _, query = target.partition("?")
    headers = _headers(fields)
    version = f"HTTP/1.{match[3].decode()}"
    # RFC 9112, 3.2. The signature covers Host, and so does the check against DNS rebinding.
    if version == "HTTP/1.1" and "host" not in headers:
        raise MalformedRequestError("the request has no Host header")
    return Head(match[1].decode(), path, query, version, headers, _length(headers))


def chunk_size(line: bytes) -> int:
    """Return the size that a chunk's first line gives; 0 ends the body.

    Raises:
        MalformedRequestError: the line has no size.
    """
    match = _CHUNK.fullmatch(line)
    if match is None:
        raise MalformedRequestError("a chunk of the body does not begin with its size")
    return int(match[1], 16)


def _headers(fields: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for field in fields:
        match = _FIELD.fullmatch(field)
        if match is None:
            raise MalformedRequestError("a header line is not NAME: VALUE")
        # A second one of these could make two programs see different requests (request smuggling).
        name, value = match[1].decode("ascii").lower(), match[2].decode("latin-1")
        if name in headers and name in ("host", "content-length", "transfer-encoding", "authorization"):
            raise MalformedRequestError(f"the request has two {name} headers")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _length(headers: Mapping[str, str]) -> int | None:
    # RFC 9112, 6.3: a message with both headers may be an attempt at request smuggling.
    encoding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if encoding is not None:
        if length is not None:
            raise MalformedRequestError("the body has a Content-Length and is in chunks")
        if encoding.lower() != "chunked":
            raise MalformedRequestError(f"the transfer encoding {encoding!r} is not chunked", status=501)
        return None
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise MalformedRequestError("the Content-Length is not a number of bytes")
    return int(length)
