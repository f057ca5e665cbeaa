"""Let a function of the application choose the host of each statement; used only if there is one."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from rdskit.client.database.executor import Executor, Work
from rdskit.client.database.observed import ObservedExecutor
from rdskit.kernel.positions import START
from rdskit.kernel.scope import Scope
from rdskit.kernel.sql import Kind, Statement, bind_call
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from rdskit.client.replicas import Borrowed
    from rdskit.client.statements.calls import Call
    from rdskit.kernel.ports import Params
    from rdskit.kernel.positions import Position

T = TypeVar("T")


class Route(Enum):
    """The host that a statement goes to."""

    AUTO = "auto"
    """The default rule, as without a router."""
    WRITER = "writer"
    """The writer."""
    READER = "reader"
    """A reader that is fresh enough, if the statement's text only reads; else the default rule."""


Router = Callable[[Statement, Scope], Route]


class RoutedExecutor(Executor):
    """Runs each statement on the host that a router chooses."""

    router: Router

    async def run(
        self,
        call: Call[T],
        statement: Statement,
        params: Params | None,
        named: dict[str, Any],
        timeout: float | None,
        after: Position | None = START,
    ) -> T:
        """Run a statement on the host that the router chooses."""
        route = self.router(statement, self.scope)
        # Other kinds (SET, BEGIN, LISTEN…) are refused by the default rule, whatever the router says.
        if route is Route.AUTO or statement.kind not in {Kind.READ, Kind.WRITE}:
            return await super().run(call, statement, params, named, timeout, after)
        text, args = bind_call(statement, params, named)
        work = Work(call, statement, text, args, Deadline.after(timeout), after)
        if route is Route.READER and statement.kind is Kind.READ and self._cluster.routes_reads:
            return await self._read(work)
        return await self._write(work, None)

    async def borrow(self, statement: Statement, deadline: Deadline, after: Position | None = START) -> Borrowed | None:
        """Check out a connection to a reader for a stream, if the router allows it."""
        route = self.router(statement, self.scope)
        if route is Route.WRITER and self._cluster.takes_writes:
            return None
        if route is Route.READER and statement.kind is Kind.READ and self._cluster.routes_reads:
            return await self._borrow(after, deadline)
        return await super().borrow(statement, deadline, after)


class ObservedRoutedExecutor(ObservedExecutor, RoutedExecutor):
    """Does the same, and notifies observers."""
