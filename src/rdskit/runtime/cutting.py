"""A deadline for blocking work on a socket, whatever library reads it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Cut:
    """Whether the deadline of a block passed.

    Attributes:
        happened: the socket was shut down.
    """

    def __init__(self) -> None:
        self.happened = False


@contextlib.contextmanager
def cut_after(descriptor: int, seconds: float) -> Iterator[Cut]:
    """Shut a socket down when the block takes longer; a read or write that waits on it fails at once.

    A timeout of the socket itself would not do: it begins again with each byte that arrives.

    Args:
        descriptor: of a connected socket. It stays the caller's; a TLS layer may take the socket over in the block.
        seconds: for the whole block.

    Yields:
        Whether that happened, for the caller to say so in its error.
    """
    cut = Cut()
    with socket.socket(fileno=os.dup(descriptor)) as tcp:

        def shut_down() -> None:
            cut.happened = True
            with contextlib.suppress(OSError):  # the other side has ended the connection already
                tcp.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(max(0.0, seconds), shut_down)
        timer.daemon = True
        timer.start()
        try:
            yield cut
        finally:
            timer.cancel()
            timer.join()  # it may be about to use the descriptor
