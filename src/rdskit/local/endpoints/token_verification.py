"""Asking the daemon whether a token is good, many logins at a time."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Final

from rdskit.local.endpoints.model import Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.local.endpoints.model import TokenVerdict

_PATIENCE: Final = 5.0  # seconds


class TokenVerification:
    """The endpoint process's side of the questions to the daemon.

    Args:
        ask: sends a question; its verdict comes by :meth:`deliver`.
    """

    def __init__(self, ask: Callable[[Question], None]) -> None:
        self._ask = ask
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[str]] = {}

    async def refusal(self, name: str, user: str, token: str) -> str:
        """Why the login is refused; empty if it is not.

        Args:
            name: of the endpoint.
            user: who wants to log in.
            token: what was given as the password.
        """
        number = next(self._numbers)
        verdict: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._pending[number] = verdict
        self._ask(Question(number, name, user, token))
        try:
            async with asyncio.timeout(_PATIENCE):
                return await verdict
        except TimeoutError:
            return f"the local RDS gave no verdict on the token within {_PATIENCE:g} s: try again"
        finally:
            del self._pending[number]

    def deliver(self, verdict: TokenVerdict) -> None:
        """Take a verdict in; one that nobody waits for any more is forgotten."""
        pending = self._pending.get(verdict.number)
        if pending is not None and not pending.done():
            pending.set_result(verdict.reason)
