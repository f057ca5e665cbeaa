"""Which calls come from an SDK's waiter, and may be held."""

from __future__ import annotations

import re

__all__ = ["HOLD", "is_waiter"]

HOLD = 20.0
"""Seconds that a waiter's call is held at most; botocore's own pause between calls is 30."""

_FEATURES = re.compile(r"(?:^|\s)m/(\S+)")


def is_waiter(user_agent: str) -> bool:
    """Whether botocore sent a call from a waiter: it lists feature ``B`` in the ``m/`` part of the User-Agent.

    Source: ``botocore.useragent``, the table of feature ids.
    """
    features = _FEATURES.search(user_agent)
    return features is not None and "B" in features[1].split(",")
