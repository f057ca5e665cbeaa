"""Recognize calls of an SDK's waiter, whose answers may be delayed."""

from __future__ import annotations

import re

__all__ = ["HOLD", "is_waiter"]

HOLD = 20.0
"""The longest delay of a waiter's call, in seconds.

A waiter of botocore sleeps 30 seconds between calls. With the delay it gets the new status at once instead. The delay
is shorter than the read timeout of SDKs.
"""

_FEATURES = re.compile(r"(?:^|\s)m/(\S+)")


def is_waiter(user_agent: str) -> bool:
    """Return whether botocore sent a call from a waiter: the ``m/`` part of its User-Agent lists feature ``B``.

    Source: ``botocore.useragent``, the table of feature ids.
    """
    features = _FEATURES.search(user_agent)
    return features is not None and "B" in features[1].split(",")
