"""The daemon's address: whether its port is free, and what it answers there."""

from __future__ import annotations

import errno
import http.client
import json
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import psutil

from rdskit.errors import ConfigError, LocalError
from rdskit.local.control.clouds import cloud_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ADDRESS", "ask", "check_port", "order", "url"]

ADDRESS = "127.0.0.1"

_TIMEOUT = 10.0
_ORDER_TIMEOUT = 60.0  # an order may wait for a server that is just being restarted


def url(port: int) -> str:
    """The URL of the AWS API."""
    return f"http://{ADDRESS}:{port}"


def check_port(port: int) -> None:
    """Refuse a port that the AWS API cannot have.

    Raises:
        LocalError: somebody listens there, named if this user may know, or the port cannot be bound at all.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise LocalError(
                    f"Port {port} at {ADDRESS} is taken{_listener_name(port)}: "
                    "stop that, or choose another with `--port N`."
                ) from None
            raise LocalError(f"Port {port} at {ADDRESS} cannot be used: {error.strerror}.") from error


def ask(port: int, page: str, key: str) -> Any:
    """What one of the local RDS's own pages says.

    Args:
        port: of the AWS API.
        page: its path.
        key: the Authorization header that opens it.

    Raises:
        LocalError: there is no answer, or the key is another local RDS's.
    """
    status, answer = _exchange(port, "GET", page, key)
    if status != HTTPStatus.OK:
        raise _unanswered(port, answer.get("error", f"status {status}"))
    return answer


def order(port: int, page: str, key: str, asked: Mapping[str, Any]) -> Any:
    """Have the local RDS do something, and return what it says of it; arguments as of :func:`ask`.

    Raises:
        ConfigError: what is asked for makes no sense.
        LocalError: there is no answer, or it could not be done.
    """
    status, answer = _exchange(port, "POST", page, key, json.dumps(asked), timeout=_ORDER_TIMEOUT)
    if status == HTTPStatus.OK:
        return answer
    refused = ConfigError if answer.get("kind") == ConfigError.__name__ else LocalError
    raise refused(answer.get("error", f"the local RDS answers {status} to {page}"))


def _exchange(
    port: int, method: str, page: str, key: str, body: str | None = None, *, timeout: float = _TIMEOUT
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=timeout)
    try:
        headers = {"Authorization": key} | ({"Content-Type": "application/json"} if body else {})
        connection.request(method, f"/_rdskit/{page}", body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unanswered(port, str(error)) from error
    finally:
        connection.close()


def _unanswered(port: int, reason: str) -> LocalError:
    return LocalError(f"The local RDS at {url(port)} does not answer ({reason}): see `rdskit local status`.")


def _listener_name(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    try:
        connections = psutil.net_connections(kind="tcp4")
    except psutil.AccessDenied:
        return ""
    for each in connections:
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
            try:
                process = psutil.Process(each.pid)
                cloud = cloud_of(process)
                name = process.name() if cloud is None else f"the local RDS on {cloud.data}"
            except psutil.Error:
                return f" by pid {each.pid}"
            return f" by {name} (pid {each.pid})"
    return ""
