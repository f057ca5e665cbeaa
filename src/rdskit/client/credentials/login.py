"""Open a connection with a login that the host accepts: on an event loop, or in a thread or greenlet."""

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
    login_steps,
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
    """Open a connection; after a refused login, try the next one that the credentials offer.

    Args:
        connect: opens the connection with a login.
        credentials: the source of logins.
        endpoint: the host.
        limit: seconds for all attempts together.

    Returns:
        The connection, and the login that was accepted.

    Raises:
        DriverError: the last error of ``connect``.
        RdskitError: the credentials gave no login.
    """
    now = asyncio.get_running_loop().time
    steps = _steps(credentials, limit)
    login = await _ask_credentials(credentials, endpoint, _refused(next(steps)))
    step = steps.send(Reply(now(), login))
    while True:
        assert isinstance(step, Try), step
        try:
            opened = await connect(step.login)
        except DriverError as error:  # not kept beyond this block: it would be part of a reference cycle
            if not is_refused_login(error):
                raise
            ask = steps.send(Reply(now(), refused=True))
            login = await _ask_credentials(credentials, endpoint, _refused(ask))
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
    """Open a connection like `log_in`, for synchronous code and greenlets.

    Args:
        connect: opens the connection with a login.
        credentials: the source of logins.
        endpoint: the host.
        limit: seconds for all attempts together.
        waiting: how the caller waits.

    Raises:
        DriverError: the last error of ``connect``.
        RdskitError: the credentials gave no login.
    """
    # There may be no event loop here, so this uses another clock than `log_in`.
    now = time.monotonic
    steps = _steps(credentials, limit)
    login = waiting.run(functools.partial(_ask_credentials, credentials, endpoint, _refused(next(steps))))
    step = steps.send(Reply(now(), login))
    while True:
        assert isinstance(step, Try), step
        try:
            return connect(step.login)
        except DriverError as error:  # not kept beyond this block: it would be part of a reference cycle
            if not is_refused_login(error):
                raise
            ask = steps.send(Reply(now(), refused=True))
            login = waiting.run(functools.partial(_ask_credentials, credentials, endpoint, _refused(ask)))
            step = steps.send(Reply(now(), login))
            if not isinstance(step, Pause):
                raise explained(error, _advice(credentials)) from error.__cause__
        waiting.pause(step.seconds)
        step = steps.send(Reply(now()))


def _steps(credentials: Credentials, limit: float) -> Generator[Step, Reply, None]:
    """Return the steps of a login; ``rotates`` and ``advice`` are optional attributes of a credentials object."""
    return login_steps(limit, rotate=bool(getattr(credentials, "rotates", False)))


def _advice(credentials: Credentials) -> str | None:
    return getattr(credentials, "advice", None)


def _refused(step: Step) -> Login | None:
    assert isinstance(step, Ask), step
    return step.refused


async def _ask_credentials(credentials: Credentials, endpoint: Endpoint, refused: Login | None) -> Login:
    """Ask for a login, and turn what an application's own credentials object raises into a `ConnectError`."""
    try:
        return await credentials.login(endpoint, refused=refused)
    except RdskitError:
        raise
    except Exception as error:
        # Without the text of the error, which may contain a password.
        raise ConnectError(f"the credentials for {endpoint} raised {type(error).__name__}") from error
