"""Carry out the daemon's commands in the endpoint process, until the daemon ends."""

from __future__ import annotations

import asyncio
import sys

from rdskit.local.endpoints.listener import Listener
from rdskit.local.endpoints.model import Answer, Command, Question, TokenVerdict, decode_order, encode
from rdskit.local.endpoints.token_verification import TokenVerification

_LONGEST_COMMAND = 1 << 20  # bytes; asyncio's default limit for a line is 64 KiB


class EndpointServer:
    """All endpoints of one daemon, on one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, verification: TokenVerification) -> None:
        self._loop = loop
        self._verification = verification
        self._listeners: dict[str, Listener] = {}

    def carry_out(self, command: Command) -> Answer:
        """Carry out one command and return its result."""
        try:
            self._apply(command)
        except OSError as error:  # the address is taken, or a certificate file is unreadable
            return Answer(command.number, f"endpoint {command.name}: {error}")
        return Answer(command.number)

    def close(self) -> None:
        """Close every endpoint and its connections."""
        for listener in self._listeners.values():
            listener.close()

    def _apply(self, command: Command) -> None:
        listener = self._listeners.get(command.name)
        if command.state is None:
            if listener is not None:
                self._listeners.pop(command.name).close()
        elif listener is None:
            self._listeners[command.name] = Listener(self._loop, command.state, self._verification)
        else:
            # The new state first: a client that reconnects after the reset must reach the new backend.
            listener.apply(command.state)
            if command.cut:
                listener.cut()


async def serve() -> None:
    """Read commands from standard input and answer on standard output, until standard input ends."""
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader(limit=_LONGEST_COMMAND)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    verification = TokenVerification(_report)
    server = EndpointServer(loop, verification)
    # The kernel closes the pipe even if the daemon is killed, so no endpoint outlives its daemon.
    while line := await commands.readline():
        order = decode_order(line)
        if isinstance(order, TokenVerdict):
            verification.deliver(order)
        else:
            _report(server.carry_out(order))
    server.close()


def _report(message: Answer | Question) -> None:
    # Blocking is fine here: the daemon has a thread that does nothing but read these lines.
    sys.stdout.buffer.write(encode(message))
    sys.stdout.buffer.flush()
