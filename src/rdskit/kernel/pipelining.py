"""The port of pipelined connections: one connection for the reads of many tasks, answered in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Capabilities, ConnectOptions, Login
    from rdskit.kernel.topology import Role


class Elsewhere(Exception):  # noqa: N818 - a signal to the client, not a failure
    """Run the read on a pooled connection, because a pipelined one cannot. Never reaches the application."""


class Answer(Protocol):
    """The future of one read's answer."""

    def done(self) -> bool:
        """Return whether it has a result or an error, or was cancelled by its caller."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Set the result for the caller."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Set an error for the caller."""
        ...


class Read:
    """One read-only statement on a pipelined connection.

    Attributes:
        text: the statement, as the driver takes it.
        args: its arguments.
        one: only the first row is wanted.
        future: gets the first row or None, or the list of rows; `Elsewhere` or a ``DriverError`` otherwise.
        due: the moment on the loop's clock by which it must be answered; infinite for no limit.
        moved: it was sent a second time, because the connection that had it was late.
        row: what the driver reads its rows with.
    """

    __slots__ = ("args", "due", "future", "moved", "one", "row", "text")

    def __init__(self, text: str, args: Sequence[Any], future: Answer, due: float, *, one: bool) -> None:
        self.text = text
        self.args = args
        self.one = one
        self.future = future
        self.due = due
        self.moved = False
        self.row: Callable[[bytes, int], Any] | None = None

    def refuse(self, error: BaseException) -> None:
        """End the read by an error, if its caller still waits."""
        if not self.future.done():
            self.future.set_exception(error)


class Pipeline(Protocol):
    """One pipelined connection.

    Attributes:
        endpoint: the host.
        broken: it takes no more reads: it has ended, or an answer was not what the protocol prescribes.
        writable: the network takes what is sent; False while too much of it waits.
        batch: how many reads the last write to the network had.
        answered: how many reads were answered so far.
        round_trip: seconds of the fastest answer that was measured; infinite before the first.
        in_flight: reads sent and not answered.
    """

    endpoint: Endpoint
    broken: bool
    writable: bool
    batch: int
    answered: int
    round_trip: float

    @property
    def role(self) -> Role:
        """Return the role that the host last reported."""
        ...

    @property
    def in_flight(self) -> int:
        """Return how many reads were sent and are not answered."""
        ...

    @property
    def head(self) -> Read | None:
        """Return the read whose answer comes next; None where nothing of a caller's is under way."""
        ...

    def watch(self, on_end: Callable[[], None], on_large: Callable[[Read], None]) -> None:
        """Set what is called when the connection has ended, and when a result is larger than a pipeline carries."""
        ...

    def knows(self, text: str) -> bool:
        """Return whether a statement is prepared."""
        ...

    async def prepare(self, text: str) -> bool:
        """Prepare a statement among the reads that are under way.

        Returns:
            Whether every type of its parameters and columns can be pipelined.

        Raises:
            DriverError: the server refused it, or the connection was lost.
        """
        ...

    def send(self, read: Read) -> bool:
        """Send a read whose statement is prepared; False if an argument needs a pooled connection."""
        ...

    def reads(self) -> list[Read]:
        """Return the reads that are not answered and whose callers wait, the oldest first."""
        ...

    def release(self) -> list[Read]:
        """Return the reads behind the running one, and discard their answers when they arrive."""
        ...

    def end(self, *, cancel: bool = False) -> list[Read]:
        """End the connection at once and return the reads that were not answered.

        Args:
            cancel: ask the server to cancel the running read; only if all its reads are abandoned or retried.
        """
        ...

    async def close(self, timeout: float) -> None:
        """Wait until the socket is closed; drop it after ``timeout`` seconds."""
        ...


@runtime_checkable
class Pipelining(Protocol):
    """What a driver has besides, if it has the capability ``pipelining``."""

    @property
    def capabilities(self) -> Capabilities:
        """Return what its connections can do."""
        ...

    async def pipeline(self, options: ConnectOptions, login: Login) -> Pipeline:
        """Open a pipelined connection.

        Raises:
            DriverError: as for ``connect``.
        """
        ...
