"""One message, as its handler gets it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from datetime import datetime

    from rdskit.kernel.ports import Row


@dataclass(frozen=True, slots=True)
class Message:
    """What ``tx.publish`` was given.

    Attributes:
        id: grows with the order of publishing; the same when a message comes twice.
        topic: what it is about.
        key: what it belongs to.
        payload: what JSON gives back of what was published.
        headers: more about it.
        attempts: how often its handler has failed so far.
        created_at: when its transaction began, or the server wrote it.
    """

    id: int
    topic: str
    key: str | None
    payload: Any
    headers: dict[str, str]
    attempts: int
    created_at: datetime

    @classmethod
    def of(cls, row: Row) -> Self:
        """Read a row of the table."""
        number, topic, key, payload, headers, attempts, created_at, _ = row
        return cls(number, topic, key, json.loads(payload), json.loads(headers), attempts, created_at)
