"""A connection that is lost at the worst moment."""

from __future__ import annotations

from typing import Any

import rdskit
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError


class CutAtCommit:
    """A connection that is lost at COMMIT: before the server has heard it, or after it has done it."""

    def __init__(self, connection: Any, *, done: bool) -> None:
        self._connection = connection
        self._done = done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def control(self, text: str, timeout: float | None) -> str:
        if not text.endswith("commit"):
            return str(await self._connection.control(text, timeout))
        if self._done:
            await self._connection.control(text, timeout)
        self._connection.abort()
        raise DriverError(Failure.LOST, rdskit.FailoverError("the connection was cut"))
