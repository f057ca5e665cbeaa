"""Decide which logins to try, and when a refusal is final, without I/O, clock or driver.

`login_steps` yields one step after the other, and its caller carries the step out. `login.py` does so twice: with
``await``, and for code in a thread or greenlet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rdskit.client.credentials.policy import pause_after_refusal
from rdskit.errors import AuthenticationError
from rdskit.kernel.ports import DriverError

if TYPE_CHECKING:
    from collections.abc import Generator

    from rdskit.kernel.ports import Login


class Ask(NamedTuple):
    """Ask the credentials for a login, and reply with it.

    Attributes:
        refused: the login that the host has just refused; None for the first one.
    """

    refused: Login | None


class Try(NamedTuple):
    """Connect with a login, and reply whether the host refused it. Another error ends the attempts."""

    login: Login


class Pause(NamedTuple):
    """Wait for some seconds."""

    seconds: float


class Accepted(NamedTuple):
    """The last step: the host accepted a login.

    Attributes:
        login: the accepted login.
        refusals: how many logins it refused before.
    """

    login: Login
    refusals: int


class GiveUp(NamedTuple):
    """The last step: no further login is worth trying, and the last refusal is raised."""


Step = Ask | Try | Pause | Accepted | GiveUp


class Reply(NamedTuple):
    """The result of a step.

    Attributes:
        now: the time in seconds, on a monotonic clock of the caller's choice.
        login: the reply to `Ask`.
        refused: the reply to `Try`.
    """

    now: float
    login: Login | None = None
    refused: bool = False


def login_steps(limit: float, *, rotate: bool) -> Generator[Step, Reply, None]:
    """Yield the steps that open a connection.

    After a refused login, the next one is tried while the credentials offer a different one. Credentials that rotate
    are asked for ``limit`` seconds, even if they offer the same login again: in the middle of a rotation the server may
    accept neither the old nor the new password.

    Args:
        limit: seconds for all logins together.
        rotate: whether the credentials may soon offer another password than the refused one.
    """
    reply = yield Ask(None)
    login, started, refusals = _login(reply), reply.now, 0
    while True:
        reply = yield Try(login)
        if not reply.refused:
            yield Accepted(login, refusals)
            return
        refusals += 1
        pause = pause_after_refusal(refusals, reply.now - started, limit)
        # Ask even if no attempt is left: this is how the credentials learn that their login was refused.
        refused, login = login, _login((yield Ask(login)))
        if pause is None or (login == refused and not rotate):
            yield GiveUp()
            return
        yield Pause(pause)


def _login(reply: Reply) -> Login:
    assert reply.login is not None, "the reply to Ask is a login"
    return reply.login


def is_refused_login(error: DriverError) -> bool:
    """Return whether the host refused the login, so that another one may help."""
    return isinstance(error.public, AuthenticationError)


def explained(error: DriverError, advice: str | None) -> DriverError:
    """Return the error of a refused login with the credentials' advice, because the server's message says little."""
    words = f"{error.public}; {advice}" if advice else str(error.public)
    return DriverError(error.failure, AuthenticationError(words))
