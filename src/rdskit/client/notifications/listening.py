"""Define the object that ``db.listen`` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from rdskit.client.notifications.hub import Hub, Receiver
    from rdskit.kernel.notifications import Notification


class Listening:
    """An iterator over the messages of some channels.

    ``async for note in db.listen("jobs")`` listens from the first iteration on. ``async with db.listen("jobs") as
    notes`` listens from the beginning of the block, so it misses no message that is sent inside the block.
    """

    def __init__(self, hub: Hub, channels: frozenset[str], limit: int, timeout: float | None) -> None:
        self._hub = hub
        self._channels = channels
        self._limit = limit
        self._timeout = timeout
        self._receiver: Receiver | None = None

    async def __aenter__(self) -> Self:
        self._receiver = await self._hub.add(self._channels, self._limit, Deadline.after(self._timeout))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            self._hub.remove(receiver)

    async def __aiter__(self) -> AsyncGenerator[Notification, None]:
        if self._receiver is not None:
            async for note in _notes(self._receiver):
                yield note
            return
        receiver = await self._hub.add(self._channels, self._limit, Deadline.after(self._timeout))
        try:
            async for note in _notes(receiver):
                yield note
        finally:
            self._hub.remove(receiver)


async def _notes(receiver: Receiver) -> AsyncGenerator[Notification, None]:
    while (note := await receiver.inbox.next()) is not None:
        yield note
