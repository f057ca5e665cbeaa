"""The HTTP server in front of the gateway: one thread for each connection, on a socket that is already bound."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from rdskit.local.control.gateway import Gateway

__all__ = ["Server"]

_log = logging.getLogger(__name__)


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        del size
        _log.debug("%s %s", self.requestline, code)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the signature is werkzeug's
        _log.log(logging.getLevelNamesMapping().get(type.upper(), logging.INFO), message, *args)


class Server:
    """Serves a gateway.

    Args:
        gateway: answers the requests.
        listener: bound and listening; stays the caller's.
    """

    def __init__(self, gateway: Gateway, listener: socket.socket) -> None:
        host, port = listener.getsockname()
        self._server = make_server(
            host, port, gateway, threaded=True, request_handler=_QuietHandler, fd=listener.fileno()
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in a thread of its own while the context lasts."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
