"""Write outbox messages in the transaction that they report; the relay delivers them after its commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_text, wrong
from rdskit.kernel.sql import Dialect

# The CTE gives the transaction its transaction id before the message takes its id. The ordered relay needs this order:
# from the oldest running transaction it concludes which message ids may still appear.
_POSTGRES: Final = """
with t as materialized (select pg_current_xact_id() as xid)
insert into rdskit_outbox (xid, topic, message_key, payload, headers)
select t.xid, :topic::text, :key::text, :payload::text, :headers::text from t returning id
"""
_MYSQL: Final = """
insert into rdskit_outbox (topic, message_key, payload, headers) values (:topic, :key, :payload, :headers)
"""


def publication(
    dialect: Dialect, topic: str, key: str | None, payload: Any, headers: Mapping[str, str] | None
) -> tuple[str, dict[str, str | None]]:
    """Return the statement that writes a message, and its parameters; see ``Transaction.publish``.

    Raises:
        ConfigError: an argument is not text, or cannot be written as JSON.
    """
    require_text("topic", topic)
    require_text("key", key, or_none=True)
    if not isinstance(headers, Mapping | None):
        raise wrong("headers", headers, "give a mapping of texts to texts")
    values = {"topic": topic, "key": key, "payload": as_json(payload), "headers": as_json(dict(headers or {}))}
    return _POSTGRES if dialect is Dialect.POSTGRES else _MYSQL, values


def as_json(value: Any) -> str:
    """Return a value as JSON text.

    Raises:
        ConfigError: it cannot be written as JSON.
    """
    # NaN and Infinity are not JSON, although Python writes and reads them: other languages' parsers refuse them.
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"this {type(value).__name__} cannot be written as JSON: {error}") from error
