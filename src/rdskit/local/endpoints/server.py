"""The endpoint process: carries out the daemon's commands until the daemon is gone."""

from __future__ import annotations

import asyncio
import sys

from rdskit.local.endpoints.listener import Listener
from rdskit.local.endpoints.model import Answer, Command, Question, TokenVerdict, decode_order, encode
from rdskit.local.endpoints.token_verification import TokenVerification

_LONGEST_COMMAND = 1 << 20


class EndpointServer:
    """All endpoints of one daemon, on one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, judgement: TokenVerification) -> None:
        self._loop = loop
        self._judgement = judgement
        self._listeners: dict[str, Listener] = {}

    def carry_out(self, command: Command) -> Answer:
        """Carry out one command."""
        try:
            self._apply(command)
        except OSError as error:  # the address is taken, or a certificate file is unreadable
            return Answer(command.number, f"endpoint {command.name}: {error}")
        return Answer(command.number)

    def close(self) -> None:
        """Close every endpoint."""
        for listener in self._listeners.values():
            listener.close()

    def _apply(self, command: Command) -> None:
        listener = self._listeners.get(command.name)
        if command.state is None:
            if listener is not None:
                self._listeners.pop(command.name).close()
        elif listener is None:
            self._listeners[command.name] = Listener(self._loop, command.state, self._judgement)
        else:
            listener.apply(command.state)
            if command.cut:
                listener.cut()


async def serve() -> None:
    """Read commands from standard input and answer on standard output, until standard input ends."""
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader(limit=_LONGEST_COMMAND)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    judgement = TokenVerification(_report)
    server = EndpointServer(loop, judgement)
    # The pipe ends with the daemon, however it ends: no endpoint outlives it.
    while line := await commands.readline():
        order = decode_order(line)
        if isinstance(order, TokenVerdict):
            judgement.deliver(order)
        else:
            _report(server.carry_out(order))
    server.close()


def _report(message: Answer | Question) -> None:
    sys.stdout.buffer.write(encode(message))
    sys.stdout.buffer.flush()
