"""Decisions about logins: how long a token serves, when a refused login is tried again, which region a host is in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import datetime as dt

TOKEN_SERVES: Final = 870.0
"""Seconds that a token is used; the server accepts it for 900, and the way there takes its time too."""

_KEYS_END_MARGIN: Final = 30.0
_ROLE_MARGIN: Final = 300.0
_JUST_MINTED: Final = 5.0
_PAUSES: Final = (0.0, 0.0, 0.1, 0.2, 0.4)
_LONGEST_PAUSE: Final = 0.8
_REGION: Final = r"[a-z]{2}(?:-[a-z]+)+-\d"
_HOSTS: Final = (
    re.compile(rf"\.(?P<region>{_REGION})\.rds\.amazonaws\.com(?:\.cn)?$"),
    re.compile(rf"\.rds\.(?P<region>{_REGION})\.amazonaws\.com\.cn$"),
)


def token_serves(minted: dt.datetime, keys_expire: dt.datetime | None, now: dt.datetime) -> bool:
    """Whether a token can still be used; a clock that was set back makes it useless, as its date lies ahead then."""
    if keys_expire is not None and (keys_expire - now).total_seconds() < _KEYS_END_MARGIN:
        return False
    return 0 <= (now - minted).total_seconds() < TOKEN_SERVES


def is_worth_minting(minted: dt.datetime, now: dt.datetime) -> bool:
    """Whether a refused token may have been too old: one that was just made is refused for another reason."""
    return abs((now - minted).total_seconds()) >= _JUST_MINTED


def role_keys_serve(expires: dt.datetime | None, now: dt.datetime) -> bool:
    """Whether the keys of an assumed role can still sign: they are renewed minutes before they end."""
    return expires is None or (expires - now).total_seconds() > _ROLE_MARGIN


def pause_after_refusal(attempt: int, elapsed: float, limit: float) -> float | None:
    """How long to wait before a refused login is tried again; None to give up.

    While a password is rotated there is a moment in which neither the former nor the next one opens the database. The
    first two attempts (current version, pending version) follow at once.

    Args:
        attempt: how many logins were refused so far, from 1.
        elapsed: seconds since the first one began.
        limit: seconds that all of them may take together.
    """
    pause = _PAUSES[attempt - 1] if attempt <= len(_PAUSES) else _LONGEST_PAUSE
    return pause if elapsed + pause <= limit else None


def region_of_host(host: str) -> str | None:
    """The region in an RDS host name; None for an alias, an address or a global endpoint.

    Source: RDS User Guide, "DB instance endpoint"; the second form is that of the China regions.
    """
    for pattern in _HOSTS:
        if found := pattern.search(host.lower()):
            return found["region"]
    return None
