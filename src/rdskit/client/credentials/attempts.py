"""Which logins are tried, and when a refusal is final: decided without I/O, clock or driver.

`logging_in` yields one step after the other, and its caller does what the step says: `login.py` once with ``await`` and
once in a thread or greenlet.
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
        refused: what the host has just refused; None for the first login.
    """

    refused: Login | None


class Try(NamedTuple):
    """Connect with a login, and reply whether the host refused it. Another error ends the attempts."""

    login: Login


class Pause(NamedTuple):
    """Wait for some seconds."""

    seconds: float


class Accepted(NamedTuple):
    """The last step: the host took a login.

    Attributes:
        login: the one it took.
        refusals: how many it refused before.
    """

    login: Login
    refusals: int


class GiveUp(NamedTuple):
    """The last step: no further login is worth trying, and the last refusal is raised."""


Step = Ask | Try | Pause | Accepted | GiveUp


class Reply(NamedTuple):
    """What came of a step.

    Attributes:
        now: the time in seconds, on a clock of the caller's choice.
        login: the reply to `Ask`.
        refused: the reply to `Try`.
    """

    now: float
    login: Login | None = None
    refused: bool = False


def logging_in(limit: float, *, rotate: bool) -> Generator[Step, Reply, None]:
    """Yield the steps that open a connection.

    A login that is refused is followed by another one as long as the credentials have another to offer. Credentials
    that rotate are asked again for ``limit`` seconds even if they offer the same: in the middle of a rotation neither
    the old nor the new password may be accepted.

    Args:
        limit: seconds that all logins may take together.
        rotate: whether the credentials may soon have another password than the one that was refused.
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
        refused, login = login, _login((yield Ask(login)))
        if pause is None or (login == refused and not rotate):
            yield GiveUp()
            return
        yield Pause(pause)


def _login(reply: Reply) -> Login:
    assert reply.login is not None, "the reply to Ask is a login"
    return reply.login


def is_refused_login(error: DriverError) -> bool:
    """Return whether another login may help."""
    return isinstance(error.public, AuthenticationError)


def explained(error: DriverError, advice: str | None) -> DriverError:
    """Return a refused login with what its credentials know about it; the server itself says little."""
    words = f"{error.public}; {advice}" if advice else str(error.public)
    return DriverError(error.failure, AuthenticationError(words))
