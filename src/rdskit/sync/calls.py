"""Call asynchronous code of rdskit without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from rdskit.runtime.background import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")
T = TypeVar("T")


@overload
def call(work: Coroutine[Any, Any, T], /) -> T: ...
@overload
def call(work: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
def call(work: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Run a coroutine on the event loop of the databases of ``rdskit.sync``, and return its result.

    All such databases of a process share that loop, which runs in a thread of its own. So one call may use what an
    earlier one has opened. Ctrl-C in the calling thread also cancels the work.

    Args:
        work: a coroutine, or a function that returns one. The function is called on the loop, so it may use
            ``asyncio`` before its first ``await``.
        args: for the function.
        kwargs: for the function.

    Raises:
        ConfigError: this is the loop's own thread, which cannot wait for itself.
        Exception: what the work raises.
    """
    return wait(_called(work, args, kwargs) if callable(work) else work)


async def _called(work: Callable[..., Coroutine[Any, Any, T]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    return await work(*args, **kwargs)
