"""SNS messages to HTTP endpoints, sent by threads of their own: a slow receiver must not hold the control plane."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from moto.sns import models as sns_models

__all__ = ["HttpDeliveries"]

_log = logging.getLogger(__name__)
_TIMEOUT = 5.0


class HttpDeliveries:
    """Takes the place of ``requests`` where the emulated SNS posts to its HTTP subscribers."""

    def __init__(self) -> None:
        self._senders = ThreadPoolExecutor(max_workers=4, thread_name_prefix="sns-delivery")

    def install(self) -> None:
        """Make the emulated SNS deliver through this object."""
        sns_models.requests = self  # type: ignore[assignment, attr-defined]  # the one function it calls is here

    def post(self, url: str, **content: Any) -> None:
        """Send soon; the result is logged, as SNS reports nothing to the publisher either."""
        self._senders.submit(self._send, url, content)

    def close(self) -> None:
        """Drop what is not sent yet and wait for what is under way."""
        self._senders.shutdown(wait=True, cancel_futures=True)

    def _send(self, url: str, content: dict[str, Any]) -> None:
        try:
            requests.post(url, timeout=_TIMEOUT, **content).raise_for_status()
        except requests.RequestException as error:
            _log.warning("SNS could not deliver to %s: %s", url, error)
