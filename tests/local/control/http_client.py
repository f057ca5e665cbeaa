"""Send raw HTTP: requests that no SDK would send, and signed requests that are changed afterwards."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from typing import TYPE_CHECKING, Any

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from rdskit.local import lifecycle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.local.control.conftest import LocalRdsDaemon

FORM = "application/x-www-form-urlencoded"


def exchange(port: int, request: bytes, *, end: bool = True, timeout: float = 20.0) -> bytes:
    """Send bytes on a new connection, and return everything that the server sends."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client, contextlib.suppress(OSError):
        client.sendall(request)
        if end:
            client.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and (piece := client.recv(65536)):
            answer += piece
    return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def send(local: LocalRdsDaemon, body: str | bytes = b"", **changes: Any) -> tuple[int, str]:
    """Send a signed request, and return its status and body.

    Args:
        local: the local RDS that receives the request.
        body: body of the request.
        changes: ``service``, ``key`` and ``secret`` that sign; ``sent`` is the body that is sent instead of the signed
            one; ``headers`` are signed too, ``forged`` are not; ``presigned`` signs in the query.
    """
    variables = lifecycle.env(local.data)
    headers = {"Content-Type": FORM, "Host": f"127.0.0.1:{local.port}", **changes.get("headers", {})}
    url = f"http://127.0.0.1:{local.port}{changes.get('path', '/')}"
    request = AWSRequest(changes.get("method", "POST"), url, headers, body)
    keys = Credentials(
        changes.get("key", variables["AWS_ACCESS_KEY_ID"]),
        changes.get("secret", variables["AWS_SECRET_ACCESS_KEY"]),
        changes.get("token"),
    )
    auth = SigV4QueryAuth if changes.get("presigned") else SigV4Auth
    auth(keys, changes.get("service", "rds"), changes.get("region", "eu-west-1")).add_auth(request)
    prepared = request.prepare()
    given: Mapping[str, Any] = {**dict(prepared.headers.items()), **changes.get("forged", {})}
    target = prepared.url.partition(f":{local.port}")[2]
    return plain(local.port, target, changes.get("sent", body), given, prepared.method)


def plain(
    port: int, target: str, body: str | bytes = b"", headers: Mapping[str, Any] | None = None, method: str = "POST"
) -> tuple[int, str]:
    """Send a request without a signature or changes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, target, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
