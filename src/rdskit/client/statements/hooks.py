"""Write hooks: functions that are awaited after each commit, before the call that wrote returns."""

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

_POSITION_TIMEOUT = 2.0  # seconds to learn how far the writer has come
_log = logging.getLogger("rdskit.hooks")


class WriteHooks:
    """The write hooks of one database, its sessions and its scoped views.

    Attributes:
        active: there is at least one; a plain attribute, as every write reads it.
    """

    def __init__(self, cluster: Cluster, owner: TaskOwner) -> None:
        """Begin without a hook.

        Args:
            cluster: whose writer is asked for positions.
            owner: of the tasks that call hooks for callers that were cancelled.
        """
        self._cluster = cluster
        self._owner = owner
        self._hooks: tuple[tuple[WriteHook, bool], ...] = ()
        self.active = False

    def add(self, hook: WriteHook, *, position: bool) -> Callable[[], None]:
        """Have a hook awaited after each commit from now on; return what removes it.

        Args:
            hook: an async function.
            position: learn the commit position for it, which costs a round trip a write where it is not known.
        """
        entry = (hook, position)
        self._set((*self._hooks, entry))
        return lambda: self._set(tuple(each for each in self._hooks if each is not entry))

    def _set(self, hooks: tuple[tuple[WriteHook, bool], ...]) -> None:
        self._hooks = hooks
        self.active = bool(hooks)

    async def committed(self, tables: frozenset[str] | None, written: WritePosition, scope: Scope) -> None:
        """Await every hook after a commit; one that raises does not keep the others from being called.

        Args:
            tables: what was written; None if that is unknown. Nothing is called for no table.
            written: the record of the session that wrote, which knows or learns the position.
            scope: what it ran with.

        Raises:
            HookError: a hook raised.
        """
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
        """Await every hook after a write of which it is not known whether it happened.

        What a hook raises is added to the caller's error as a note: that says already that the outcome is unknown.

        Args:
            tables: what may have been written; None if that is unknown.
            scope: what it ran with.
            error: what the caller gets. If that is a cancellation, a background task calls the hooks.
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
        """Call every hook in the background, for a caller that was cancelled."""
        self._owner.spawn(self._notify_logged(write), "write hooks")

    async def _notify(self, write: Write) -> None:
        failed: list[Exception] = []
        for index, (hook, _) in enumerate(self._hooks):
            try:
                await hook(write)
            except asyncio.CancelledError:
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
            _log.info("the commit position is not known: %s", error)
            return None


def _hook_error(write: Write, failed: list[Exception]) -> HookError:
    names = ", ".join(type(error).__name__ for error in failed)
    state = "the write is committed" if write.certain else "the write may be committed"
    error = HookError(f"{state}, and a write hook raised {names} after it: do not repeat the write, look at the cause")
    for other in failed[1:]:
        error.add_note(f"another write hook raised {type(other).__name__}")
    return error
