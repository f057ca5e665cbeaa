"""Deliver SNS messages to HTTP endpoints in separate threads, outside the monitor."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from moto.sns import models as sns_models

__all__ = ["HttpDeliveries"]

_log = logging.getLogger(__name__)
_TIMEOUT = 5.0  # seconds


class HttpDeliveries:
    """A replacement of ``requests`` in moto's SNS, which posts to HTTP subscribers.

    moto would post inside the monitor and without a timeout. A slow receiver would stop the whole API, and a receiver
    that calls the API before it answers would wait for ever.
    """

    def __init__(self) -> None:
        self._senders = ThreadPoolExecutor(max_workers=4, thread_name_prefix="sns-delivery")

    def install(self) -> None:
        """Make moto's SNS deliver through this object."""
        sns_models.requests = self  # type: ignore[assignment, attr-defined]  # the one function it calls is here

    def post(self, url: str, **content: Any) -> None:
        """Queue a delivery; a failure is only logged, as SNS does not report it to the publisher."""
        self._senders.submit(self._send, url, content)

    def close(self) -> None:
        """Drop queued deliveries and wait for those in progress."""
        self._senders.shutdown(wait=True, cancel_futures=True)

    def _send(self, url: str, content: dict[str, Any]) -> None:
        try:
            requests.post(url, timeout=_TIMEOUT, **content).raise_for_status()
        except requests.RequestException as error:
            _log.warning("SNS could not deliver to %s: %s", url, error)
