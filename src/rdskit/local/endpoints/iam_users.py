"""Look up in the backend, at each login, whether a user is an IAM user."""

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
    """A session of the internal account on a backend."""

    @property
    def usable(self) -> bool:
        """Whether another statement may be sent."""
        ...

    def send(self, sql: str, *parameters: str) -> None:
        """Send one statement without waiting for its answer."""
        ...

    def receive(self, timeout: float = ...) -> list[Row]:
        """Return the rows of the answer."""
        ...

    def fileno(self) -> int:
        """Return the descriptor of the session's socket."""
        ...

    def close(self) -> None:
        """Close the session's connection."""
        ...


class IamUsers:
    """The IAM users of one backend, looked up on one session that is kept.

    Nothing is cached: a GRANT or REVOKE must apply to the next login, as it does in RDS.

    Args:
        loop: the loop that serves it.
        connect: opens the session; it blocks, and is called in a thread.
        sql: the query; its first parameter is the user.
        parameters: the further parameters of the query.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connect: Callable[[], BackendSession], sql: str, *parameters: str
    ) -> None:
        self._loop = loop
        self._connect = connect
        self._sql = sql
        self._parameters = parameters
        self._session: BackendSession | None = None
        self._lock = asyncio.Lock()  # a session answers one query at a time
        self._closed = False

    async def includes(self, user: str) -> bool:
        """Return whether the user logs in with a token.

        Raises:
            ConnectionError: the backend does not answer.
        """
        async with self._lock:
            kept = self._session is not None
            try:
                return await self._ask(user)
            except LocalError as error:
                # The backend may have ended the kept session long ago, by a restart for example. Only the failure of a
                # new session means that the backend is not available.
                if not kept:
                    raise ConnectionAbortedError(str(error)) from error
                return await self._ask_again(user)
            finally:
                # close() leaves the session to the query that is using it.
                if self._closed:
                    self._drop()

    def close(self) -> None:
        """Close the session, after the query that is using it."""
        self._closed = True
        if not self._lock.locked():
            self._drop()

    async def _ask_again(self, user: str) -> bool:
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
            # Also when the client has gone and the task is cancelled: an answer that was not read would be taken for
            # the answer to the next query.
            self._drop()
            if isinstance(error, TimeoutError):
                raise LocalError(f"the backend did not answer within {_TIMEOUT:g} s") from error
            raise
        return answer[0][0] == "1"

    async def _opened(self) -> BackendSession:
        if self._session is None or not self._session.usable:
            opening = self._loop.run_in_executor(None, self._connect)
            try:
                # A thread cannot be cancelled: shield it, and close the session that it returns too late.
                session = await asyncio.shield(opening)
            except asyncio.CancelledError:
                opening.add_done_callback(_close_unwanted)
                raise
            # The endpoint may have got another backend while the session was being opened.
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
    # The waiting task may have been cancelled after the loop had queued this callback.
    if not future.done():
        future.set_result(None)
