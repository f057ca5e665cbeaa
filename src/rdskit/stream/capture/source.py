"""What the engines have in common as sources of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from rdskit.errors import MustRefetch

if TYPE_CHECKING:
    from rdskit.kernel.positions import Position
    from rdskit.stream.capture.model import Event, Stored, Table
    from rdskit.stream.capture.snapshot import Chunk


class Source(Protocol):
    """A server's log. What is lost for good raises `MustRefetch`; a lost connection ``DriverError``.

    Attributes:
        needs_slot: the server keeps its log for this consumer until it is confirmed.
    """

    @property
    def needs_slot(self) -> bool:
        """Whether the server keeps its log until it is confirmed."""
        ...

    async def system(self) -> str:
        """Return what identifies the server's data; empty where positions do that."""
        ...

    async def begin(self, at: Position | None) -> Position:
        """Prepare the server for a new consumer and return where it begins; ``at`` is None for now."""
        ...

    async def resume(self, stored: Stored) -> None:
        """Verify that nothing is lost since a checkpoint."""
        ...

    async def connect(self, position: Position) -> None:
        """Begin to receive what follows a position."""
        ...

    async def receive(self) -> list[Event]:
        """Return events, waiting for some if there are none."""
        ...

    def confirm(self, position: Position | None) -> None:
        """Have the server forget its log up to a position; None is a sign of life."""
        ...

    async def close(self) -> None:
        """Close the connection; a call of `receive` ends with an error."""
        ...

    async def chunk(self, table: Table, after: tuple[Any, ...] | None, limit: int, marks: tuple[str, str]) -> Chunk:
        """Read the next rows of a table between two marks."""
        ...

    async def drop(self) -> None:
        """Remove what `begin` has made on the server."""
        ...


def lost(what: str, why: str) -> MustRefetch:
    """Return the error for changes that are gone.

    Args:
        what: the slot or the consumer.
        why: the cause.
    """
    return MustRefetch(
        f"changes of {what!r} are lost: {why}. Drop the consumer (rdskit changes drop), and begin again with "
        "start='snapshot'"
    )
