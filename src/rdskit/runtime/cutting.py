"""Set a deadline for blocking work on a socket, whatever library reads it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Cut:
    """Outcome of a block with a deadline.

    Attributes:
        happened: the socket was shut down.
    """

    def __init__(self) -> None:
        self.happened = False


@contextlib.contextmanager
def cut_after(descriptor: int, seconds: float) -> Iterator[Cut]:
    """Shut a socket down if the block takes longer; a blocked read or write on it then fails at once.

    A timeout of the socket itself is not enough: it restarts with each byte that arrives.

    Args:
        descriptor: a connected socket's. The caller keeps it; a TLS layer may wrap the socket in the block.
        seconds: for the whole block.

    Yields:
        The outcome, for the caller's error message.
    """
    cut = Cut()
    with socket.socket(fileno=os.dup(descriptor)) as tcp:

        def shut_down() -> None:
            cut.happened = True
            with contextlib.suppress(OSError):  # the peer has closed the connection already
                tcp.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(max(0.0, seconds), shut_down)
        timer.daemon = True
        timer.start()
        try:
            yield cut
        finally:
            timer.cancel()
            timer.join()  # it may be about to use the descriptor, which is closed next
