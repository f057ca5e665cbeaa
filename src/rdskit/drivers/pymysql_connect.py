"""Connect PyMySQL and run its first query within a deadline: TCP, TLS, login and query together.

PyMySQL's own ``connect_timeout`` covers TCP's handshake only, and its ``read_timeout`` restarts with each byte. A
server that accepts the connection and sends nothing would block the caller forever.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rdskit.drivers.pymysql_passwords import guard_password
from rdskit.kernel.endpoints import Endpoint
from rdskit.runtime.cutting import cut_after

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pymysql.connections import Connection

_HOST_ERROR: Final = 2003  # CR_CONN_HOST_ERROR
_LOST: Final = 2013  # CR_SERVER_LOST
T = TypeVar("T")


def connect_within(
    connect: Callable[..., Connection[Any]], arguments: Mapping[str, Any], seconds: float, *, cleartext_password: bool
) -> Any:
    """Connect and log in before a deadline.

    Args:
        connect: ``pymysql.connect``, or a function that calls it with the same arguments.
        arguments: PyMySQL's; they include ``host`` and ``port``.
        seconds: for the whole attempt, except name resolution, which has the resolver's own limits.
        cleartext_password: send the password in the clear, if an unverified server asks for it.

    Raises:
        OperationalError: PyMySQL's; number 2003 if the deadline passed.
    """
    from pymysql import OperationalError  # noqa: PLC0415 - an optional driver, loaded on first use

    if arguments.get("unix_socket"):
        return connect(**arguments)
    end = time.monotonic() + seconds
    host, port = arguments["host"], arguments["port"]
    source = (arguments["bind_address"], 0) if arguments.get("bind_address") else None
    connection = connect(**{**arguments, "defer_connect": True})
    if not cleartext_password:
        guard_password(connection, Endpoint(host, port))
    try:
        tcp = socket.create_connection((host, port), seconds, source)
    except OSError as error:
        raise OperationalError(_HOST_ERROR, f"Can't connect to MySQL server on {host!r} ({error})") from error
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # PyMySQL blocks in recv(): only shutting the socket down from another thread ends that at the deadline.
    with cut_after(tcp.fileno(), end - time.monotonic()) as cut:
        try:
            connection.connect(tcp)
        except (OperationalError, OSError) as error:
            tcp.close()
            if cut.happened:
                message = f"Can't connect to MySQL server on {host!r} (the login took longer than {seconds:g} s)"
                raise OperationalError(_HOST_ERROR, message) from error
            raise
    connection.host_info = f"socket {host}:{port}"  # PyMySQL sets it where it opens the socket itself
    return connection


def ask_within(ask: Callable[[Any], T], connection: Any, seconds: float) -> T:
    """Call a function that queries the server on a connection, before a deadline.

    Raises:
        OperationalError: PyMySQL's; number 2013 if the deadline passed, and the connection is unusable then.
    """
    from pymysql import OperationalError  # noqa: PLC0415 - an optional driver, loaded on first use

    if connection._sock is None:  # noqa: SLF001 - PyMySQL shows it nowhere else
        return ask(connection)
    with cut_after(connection._sock.fileno(), seconds) as cut:  # noqa: SLF001 - same
        try:
            return ask(connection)
        except (OperationalError, OSError) as error:
            if cut.happened:
                raise OperationalError(_LOST, f"the server did not answer within {seconds:g} s") from error
            raise
