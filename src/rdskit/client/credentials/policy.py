"""Decide how long a token is valid, when to retry a refused login, and which region a host is in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import datetime as dt

TOKEN_SERVES: Final = 870.0
"""Seconds for which a token is used. The server accepts it for 900; the rest is for the login itself."""

# A token is invalid once the keys that signed it have expired, whatever its own age.
_KEYS_END_MARGIN: Final = 30.0  # seconds
_ROLE_MARGIN: Final = 300.0  # seconds before their end when a role's keys are renewed
_JUST_MINTED: Final = 5.0  # seconds in which a refused token is not replaced
# Seconds to wait after the first, second… refusal. A secret's current and pending versions are tried at once.
_PAUSES: Final = (0.0, 0.0, 0.1, 0.2, 0.4)
_LONGEST_PAUSE: Final = 0.8
_REGION: Final = r"[a-z]{2}(?:-[a-z]+)+-\d"
_HOSTS: Final = (
    re.compile(rf"\.(?P<region>{_REGION})\.rds\.amazonaws\.com(?:\.cn)?$"),
    re.compile(rf"\.rds\.(?P<region>{_REGION})\.amazonaws\.com\.cn$"),
)


def token_serves(minted: dt.datetime, keys_expire: dt.datetime | None, now: dt.datetime) -> bool:
    """Return whether a token can still be used; one from the future cannot, after the clock was set back."""
    if keys_expire is not None and (keys_expire - now).total_seconds() < _KEYS_END_MARGIN:
        return False
    return 0 <= (now - minted).total_seconds() < TOKEN_SERVES


def is_worth_minting(minted: dt.datetime, now: dt.datetime) -> bool:
    """Return whether a refused token is worth replacing; a new one was refused for another reason than its age."""
    return abs((now - minted).total_seconds()) >= _JUST_MINTED


def role_keys_serve(expires: dt.datetime | None, now: dt.datetime) -> bool:
    """Return whether the keys of an assumed role are valid for five more minutes."""
    return expires is None or (expires - now).total_seconds() > _ROLE_MARGIN


def pause_after_refusal(attempt: int, elapsed: float, limit: float) -> float | None:
    """Return the seconds to wait before the next login after a refusal; None to give up.

    During a rotation there is a moment in which the server accepts neither the former nor the next password. The first
    two retries (current version, pending version) follow at once.

    Args:
        attempt: how many logins were refused so far, from 1.
        elapsed: seconds since the first one began.
        limit: seconds for all of them together.
    """
    pause = _PAUSES[attempt - 1] if attempt <= len(_PAUSES) else _LONGEST_PAUSE
    return pause if elapsed + pause <= limit else None


def region_of_host(host: str) -> str | None:
    """Return the region in an RDS host name; None for an alias, an IP address or a global endpoint.

    Source: RDS User Guide, "DB instance endpoint"; the second form is that of the China regions.
    """
    for pattern in _HOSTS:
        if found := pattern.search(host.lower()):
            return found["region"]
    return None
