"""Have the daemon verify IAM tokens, for many logins at a time."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Final

from rdskit.local.endpoints.model import Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.local.endpoints.model import TokenVerdict

_TIMEOUT: Final = 5.0  # seconds


class TokenVerification:
    """The endpoint process's side of token verification.

    Args:
        ask: sends a question to the daemon; its verdict arrives by :meth:`deliver`.
    """

    def __init__(self, ask: Callable[[Question], None]) -> None:
        self._ask = ask
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[str]] = {}

    async def refusal(self, name: str, user: str, token: str) -> str:
        """Return why the login is refused; empty if it is accepted.

        Args:
            name: name of the endpoint.
            user: the database user that logs in.
            token: the password that the client sent.
        """
        number = next(self._numbers)
        verdict: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # Registered before the question is sent, so that no verdict can arrive too early.
        self._pending[number] = verdict
        self._ask(Question(number, name, user, token))
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await verdict
        except TimeoutError:
            return f"the local RDS gave no verdict on the token within {_TIMEOUT:g} s: try again"
        finally:
            # Also when the client has gone and this task is cancelled: deliver() then ignores the verdict.
            del self._pending[number]

    def deliver(self, verdict: TokenVerdict) -> None:
        """Pass a verdict to its login; ignore it if that login has ended."""
        pending = self._pending.get(verdict.number)
        if pending is not None and not pending.done():
            pending.set_result(verdict.reason)
