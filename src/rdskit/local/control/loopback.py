"""Check the daemon's port, and send requests to the daemon's own pages."""

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

_TIMEOUT = 10.0  # seconds
_ORDER_TIMEOUT = 60.0  # an order may wait for a server that is restarting


def url(port: int) -> str:
    """Return the URL of the AWS API."""
    return f"http://{ADDRESS}:{port}"


def check_port(port: int) -> None:
    """Refuse a port that the AWS API cannot listen on.

    Raises:
        LocalError: another process listens there, or the port cannot be bound.
    """
    # Bound and closed again, so another process may still take the port: the daemon reports that on its own.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections in TIME_WAIT do not count. On Linux a listening socket still makes the bind fail.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise LocalError(
                    f"port {port} at {ADDRESS} is taken{_listener_name(port)}: "
                    "stop that process, or choose another port with `--port N`"
                ) from None
            raise LocalError(
                f"port {port} at {ADDRESS} cannot be bound ({error.strerror}): choose another port with `--port N`"
            ) from error


def ask(port: int, page: str, key: str) -> Any:
    """Return the content of one of the local RDS's own pages.

    Args:
        port: port of the AWS API.
        page: path of the page.
        key: the Authorization header for the page.

    Raises:
        LocalError: there is no answer, or the key belongs to another local RDS.
    """
    status, answer = _exchange(port, "GET", page, key)
    if status != HTTPStatus.OK:
        raise _unanswered(port, answer.get("error", f"status {status}"))
    return answer


def order(port: int, page: str, key: str, asked: Mapping[str, Any]) -> Any:
    """Send an order to one of the local RDS's own pages, and return its answer; arguments as for :func:`ask`.

    Raises:
        ConfigError: the order is invalid.
        LocalError: there is no answer, or the order failed.
    """
    status, answer = _exchange(port, "POST", page, key, json.dumps(asked), timeout=_ORDER_TIMEOUT)
    if status == HTTPStatus.OK:
        return answer
    # The page names the error's class, so that wrong use exits with status 2 as if it had been noticed here.
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
    return LocalError(f"the local RDS at {url(port)} does not answer ({reason}): see `rdskit local status`")


def _listener_name(port: int) -> str:
    """Return the process that listens on a port, as text; empty if this user may not know it."""
    try:
        connections = psutil.net_connections(kind="tcp4")
    except psutil.AccessDenied:
        return ""
    for each in connections:
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
            # The process may end, or belong to another user: then its id must do.
            try:
                process = psutil.Process(each.pid)
                cloud = cloud_of(process)
                name = process.name() if cloud is None else f"the local RDS on {cloud.data}"
            except psutil.Error:
                return f" by pid {each.pid}"
            return f" by {name} (pid {each.pid})"
    return ""
