"""Await write hooks after each commit, before the call that wrote returns."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from rdskit.errors import HookError, RdskitError
from rdskit.kernel.writes import Write
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.client.failover import Cluster
    from rdskit.client.replicas import WritePosition
    from rdskit.kernel.positions import Position
    from rdskit.kernel.scope import Scope
    from rdskit.kernel.writes import WriteHook
    from rdskit.runtime.tasks import TaskOwner

_POSITION_TIMEOUT = 2.0  # seconds to read the writer's position
_log = logging.getLogger("rdskit.hooks")


class WriteHooks:
    """The write hooks of one database, its sessions and its scoped views.

    Attributes:
        active: whether there is at least one; a plain attribute, as every write reads it.
    """

    def __init__(self, cluster: Cluster, owner: TaskOwner) -> None:
        """Create the object without a hook.

        Args:
            cluster: the cluster whose writer is asked for positions.
            owner: owns the tasks that call hooks for cancelled callers.
        """
        self._cluster = cluster
        self._owner = owner
        self._hooks: tuple[tuple[WriteHook, bool], ...] = ()
        self.active = False

    def add(self, hook: WriteHook, *, position: bool) -> Callable[[], None]:
        """Await a hook after each commit from now on; return a function that removes it.

        Args:
            hook: an async function.
            position: read the commit position for it, which costs a round trip per write if it is not known.
        """
        entry = (hook, position)
        self._set((*self._hooks, entry))
        return lambda: self._set(tuple(each for each in self._hooks if each is not entry))

    def _set(self, hooks: tuple[tuple[WriteHook, bool], ...]) -> None:
        self._hooks = hooks
        self.active = bool(hooks)

    async def committed(self, tables: frozenset[str] | None, written: WritePosition, scope: Scope) -> None:
        """Await every hook after a commit; if one raises, the others are called all the same.

        Args:
            tables: the tables written; None if unknown. If empty, no hook is called.
            written: the write position of the session that wrote.
            scope: the scope that it ran with.

        Raises:
            HookError: a hook raised.
        """
        # An empty set is known to be no write; None stands for unknown tables, and calls the hooks.
        if tables is not None and not tables:
            return
        write = Write(tables, None, certain=True, scope=scope)
        try:
            if any(position for _, position in self._hooks):
                write = write._replace(position=await self._position(written))
        except asyncio.CancelledError:
            self.notify_later(write)
            raise
        await self._notify(write)

    async def uncertain(self, tables: frozenset[str] | None, scope: Scope, error: BaseException) -> None:
        """Await every hook after a write with an unknown outcome.

        What a hook raises is added as a note to the caller's error, which already says that the outcome is unknown.

        Args:
            tables: the tables that may have been written; None if unknown.
            scope: the scope that it ran with.
            error: the error that the caller gets. After a cancellation, a background task calls the hooks.
        """
        if tables is not None and not tables:
            return
        write = Write(tables, None, certain=False, scope=scope)
        if not isinstance(error, Exception):
            self.notify_later(write)
            return
        try:
            await self._notify(write)
        except HookError as failed:
            error.add_note(f"rdskit: {failed}")

    def notify_later(self, write: Write) -> None:
        """Call every hook in a background task, for a caller that was cancelled."""
        self._owner.spawn(self._notify_logged(write), "write hooks")

    async def _notify(self, write: Write) -> None:
        failed: list[Exception] = []
        for index, (hook, _) in enumerate(self._hooks):
            try:
                await hook(write)
            except asyncio.CancelledError:
                # The write stays committed when its caller is cancelled, so the remaining hooks must still run.
                later = self._hooks[index + 1 :]
                if later:
                    self._owner.spawn(self._notify_logged(write, later), "write hooks")
                raise
            except Exception as error:  # noqa: BLE001 - the application's code; raised below, after the others
                failed.append(error)
        if failed:
            raise _hook_error(write, failed) from failed[0]

    async def _notify_logged(self, write: Write, hooks: tuple[tuple[WriteHook, bool], ...] | None = None) -> None:
        for hook, _ in self._hooks if hooks is None else hooks:
            try:
                await hook(write)
            except Exception:  # noqa: BLE001 - the application's code; its caller was cancelled, so it is logged
                _log.exception("write hook %r raised, and the caller that wrote was cancelled", hook)

    async def _position(self, written: WritePosition) -> Position | None:
        try:
            return await written.settled(self._cluster, Deadline.after(_POSITION_TIMEOUT))
        except RdskitError as error:
            _log.info("the commit position is unknown: %s", error)
            return None


def _hook_error(write: Write, failed: list[Exception]) -> HookError:
    names = ", ".join(type(error).__name__ for error in failed)
    state = "the write is committed" if write.certain else "the write may be committed"
    error = HookError(f"{state}, and a write hook raised {names} after it: do not repeat the write, look at the cause")
    for other in failed[1:]:
        error.add_note(f"another write hook raised {type(other).__name__}")
    return error
