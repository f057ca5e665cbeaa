"""Who logs in with a token: the backend knows, and is asked at each login."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from rdskit.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    Row = tuple[str | None, ...]

_TIMEOUT: Final = 5.0  # seconds


class BackendSession(Protocol):
    """The internal account's session on a backend."""

    @property
    def usable(self) -> bool:
        """Whether another statement may be sent."""
        ...

    def send(self, sql: str, *parameters: str) -> None:
        """Send one statement."""
        ...

    def receive(self, timeout: float = ...) -> list[Row]:
        """The rows of its answer."""
        ...

    def fileno(self) -> int:
        """The socket by which the answer comes."""
        ...

    def close(self) -> None:
        """End the session."""
        ...


class IamUsers:
    """The IAM users of one backend, asked for on one session that is kept.

    Args:
        loop: the loop that serves it.
        connect: opens the session; it blocks, and is called in a thread.
        sql: the question.
        parameters: its parameters besides the user, who is the first.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connect: Callable[[], BackendSession], sql: str, *parameters: str
    ) -> None:
        self._loop = loop
        self._connect = connect
        self._sql = sql
        self._parameters = parameters
        self._session: BackendSession | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    async def includes(self, user: str) -> bool:
        """Whether the user logs in with a token.

        Raises:
            ConnectionError: the backend does not answer.
        """
        async with self._lock:
            kept = self._session is not None
            try:
                return await self._ask(user)
            except LocalError as error:
                # The backend may have ended the kept session long ago; another one tells whether it lives.
                if not kept:
                    raise ConnectionAbortedError(str(error)) from error
                return await self._ask_anew(user)
            finally:
                if self._closed:
                    self._drop()

    def close(self) -> None:
        """End the session, once nobody waits for its answer."""
        self._closed = True
        if not self._lock.locked():
            self._drop()

    async def _ask_anew(self, user: str) -> bool:
        try:
            return await self._ask(user)
        except LocalError as error:
            raise ConnectionAbortedError(str(error)) from error

    async def _ask(self, user: str) -> bool:
        session = await self._opened()
        try:
            session.send(self._sql, user, *self._parameters)
            async with asyncio.timeout(_TIMEOUT):
                await self._readable(session.fileno())
            answer = session.receive(_TIMEOUT)
        except BaseException as error:
            self._drop()
            if isinstance(error, TimeoutError):
                raise LocalError(f"the backend did not answer within {_TIMEOUT:g} s") from error
            raise
        return answer[0][0] == "1"

    async def _opened(self) -> BackendSession:
        if self._session is None or not self._session.usable:
            opening = self._loop.run_in_executor(None, self._connect)
            try:
                session = await asyncio.shield(opening)
            except asyncio.CancelledError:
                opening.add_done_callback(_close_unwanted)
                raise
            if self._closed:
                session.close()
                raise LocalError("the endpoint has another backend by now")
            self._session = session
        return self._session

    async def _readable(self, descriptor: int) -> None:
        readable = self._loop.create_future()
        self._loop.add_reader(descriptor, _resolve, readable)
        try:
            await readable
        finally:
            self._loop.remove_reader(descriptor)

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def _close_unwanted(opening: Future[BackendSession] | asyncio.Future[BackendSession]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
