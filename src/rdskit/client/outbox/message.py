"""Define the message that a handler gets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from datetime import datetime

    from rdskit.kernel.ports import Row


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was published with ``tx.publish``.

    Attributes:
        id: grows in the order of publishing; a message that is delivered twice keeps its id.
        topic: its subject.
        key: the entity that it belongs to.
        payload: the published value, decoded from JSON.
        headers: more about it, as text by name.
        attempts: how often its handler has failed so far.
        created_at: when its transaction began (PostgreSQL), or when the row was written (MySQL, MariaDB).
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
        """Build a message from a row of the table."""
        number, topic, key, payload, headers, attempts, created_at, _ = row
        return cls(number, topic, key, json.loads(payload), json.loads(headers), attempts, created_at)
