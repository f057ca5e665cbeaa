"""Opens a connection with a login that the host takes: on an event loop, or in a thread or greenlet."""

from __future__ import annotations

import asyncio
import functools
import time
from typing import TYPE_CHECKING, TypeVar

from rdskit.client.credentials.attempts import (
    Accepted,
    Ask,
    Pause,
    Reply,
    Try,
    explained,
    is_refused_login,
    logging_in,
)
from rdskit.errors import ConnectError, RdskitError
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from rdskit.client.credentials.attempts import Step
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Credentials, Login
    from rdskit.runtime.waiting import Waiting

C = TypeVar("C")


async def log_in(
    connect: Callable[[Login], Awaitable[C]], credentials: Credentials, endpoint: Endpoint, limit: float
) -> tuple[C, Accepted]:
    """Open a connection; another login follows a refused one while the credentials have one to offer.

    Args:
        connect: opens it with a login.
        credentials: where logins come from.
        endpoint: the host.
        limit: seconds that all attempts may take together.

    Returns:
        The connection, and which login was accepted.

    Raises:
        DriverError: the last error of ``connect``.
        RdskitError: the credentials could not give a login.
    """
    now = asyncio.get_running_loop().time
    steps = _steps(credentials, limit)
    login = await _asked(credentials, endpoint, _refused(next(steps)))
    step = steps.send(Reply(now(), login))
    while True:
        assert isinstance(step, Try), step
        try:
            opened = await connect(step.login)
        except DriverError as error:  # not kept beyond this block: it would be part of a reference cycle
            if not is_refused_login(error):
                raise
            ask = steps.send(Reply(now(), refused=True))
            login = await _asked(credentials, endpoint, _refused(ask))
            step = steps.send(Reply(now(), login))
            if not isinstance(step, Pause):
                raise explained(error, _advice(credentials)) from error.__cause__
        else:
            accepted = steps.send(Reply(now()))
            assert isinstance(accepted, Accepted), accepted
            return opened, accepted
        await asyncio.sleep(step.seconds)
        step = steps.send(Reply(now()))


def log_in_here(
    connect: Callable[[Login], C], credentials: Credentials, endpoint: Endpoint, limit: float, waiting: Waiting
) -> C:
    """Open a connection like `log_in`, for code that looks synchronous.

    Args:
        connect: opens it with a login.
        credentials: where logins come from.
        endpoint: the host.
        limit: seconds that all attempts may take together.
        waiting: how the caller waits.

    Raises:
        DriverError: the last error of ``connect``.
        RdskitError: the credentials could not give a login.
    """
    now = time.monotonic
    steps = _steps(credentials, limit)
    login = waiting.run(functools.partial(_asked, credentials, endpoint, _refused(next(steps))))
    step = steps.send(Reply(now(), login))
    while True:
        assert isinstance(step, Try), step
        try:
            return connect(step.login)
        except DriverError as error:  # not kept beyond this block: it would be part of a reference cycle
            if not is_refused_login(error):
                raise
            ask = steps.send(Reply(now(), refused=True))
            login = waiting.run(functools.partial(_asked, credentials, endpoint, _refused(ask)))
            step = steps.send(Reply(now(), login))
            if not isinstance(step, Pause):
                raise explained(error, _advice(credentials)) from error.__cause__
        waiting.pause(step.seconds)
        step = steps.send(Reply(now()))


def _steps(credentials: Credentials, limit: float) -> Generator[Step, Reply, None]:
    """Begin to log in; ``rotates`` is an optional attribute of a credentials object, as is ``advice``."""
    return logging_in(limit, rotate=bool(getattr(credentials, "rotates", False)))


def _advice(credentials: Credentials) -> str | None:
    return getattr(credentials, "advice", None)


def _refused(step: Step) -> Login | None:
    assert isinstance(step, Ask), step
    return step.refused


async def _asked(credentials: Credentials, endpoint: Endpoint, refused: Login | None) -> Login:
    """Ask for a login; an application's own credentials object may raise anything, even with a password in it."""
    try:
        return await credentials.login(endpoint, refused=refused)
    except RdskitError:
        raise
    except Exception as error:
        raise ConnectError(f"the credentials for {endpoint} raised {type(error).__name__}") from error
