"""Run a request once per idempotency key, and answer its repetitions with the stored result.

The key is written in the same transaction as the work, so both commit or neither does. A second request with the same
key waits until the first one has ended.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rdskit.client.transactions.outbox import as_json
from rdskit.client.transactions.tables import explained
from rdskit.errors import ConfigError, IntegrityError, StatementError
from rdskit.kernel.arguments import require_seconds, require_text
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from rdskit.client.transactions.retry import Call
    from rdskit.client.transactions.transaction import Transaction

FEATURE: Final = "run_once"

# Both engines block here while another transaction that has written the same key is running. The update's only purpose
# is to lock the existing row; `uses` tells the first request (0) from a repetition.
_CLAIM: Final = {
    Dialect.POSTGRES: """
        insert into rdskit_idempotency (scope, idempotency_key, fingerprint, expires_at)
        values (:scope, :key, :fingerprint, current_timestamp + make_interval(secs => :keep))
        on conflict (scope, idempotency_key) do update set uses = rdskit_idempotency.uses + 1
        """,
    Dialect.MYSQL: """
        insert into rdskit_idempotency (scope, idempotency_key, fingerprint, expires_at)
        values (:scope, :key, :fingerprint, timestampadd(microsecond, :keep * 1000000, current_timestamp(6)))
        on duplicate key update uses = uses + 1
        """,
}
_FIND: Final = """
    select uses, fingerprint, response, expires_at <= current_timestamp(6) as expired from rdskit_idempotency
    where scope = :scope and idempotency_key = :key
"""
_RENEW: Final = {
    Dialect.POSTGRES: """
        update rdskit_idempotency set fingerprint = :fingerprint, response = null, uses = 0,
        expires_at = current_timestamp + make_interval(secs => :keep) where scope = :scope and idempotency_key = :key
        """,
    Dialect.MYSQL: """
        update rdskit_idempotency set fingerprint = :fingerprint, response = null, uses = 0,
        expires_at = timestampadd(microsecond, :keep * 1000000, current_timestamp(6))
        where scope = :scope and idempotency_key = :key
        """,
}
_ANSWER: Final = "update rdskit_idempotency set response = :response where scope = :scope and idempotency_key = :key"


@dataclass(frozen=True, slots=True)
class Request:
    """A request that runs once.

    Attributes:
        scope: namespace of the key, such as a tenant or an operation.
        key: the caller's key.
        fingerprint: identifies the request's content, to detect a key that is used for two different requests.
        keep: seconds for which the answer is kept.
    """

    scope: str
    key: str
    fingerprint: str
    keep: float

    def __post_init__(self) -> None:
        for name in ("scope", "key", "fingerprint"):
            require_text(name, getattr(self, name))
        require_seconds("keep", self.keep, or_none=False)
        if not self.key:
            raise ConfigError("run_once needs a key that is not empty")


def fingerprint_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return the fingerprint of a closure's arguments.

    Raises:
        ConfigError: they cannot be written as JSON.
    """
    try:
        text = json.dumps([args, kwargs], sort_keys=True, default=None)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the arguments have no fingerprint ({error}): give one with fingerprint=") from error
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


async def answer_once(
    tx: Transaction,
    dialect: Dialect,
    request: Request,
    call: Call,
) -> Any:
    """Run the closure unless its answer is stored; return the answer, decoded from JSON.

    Raises:
        IntegrityError: the key belongs to another request.
        ConfigError: the answer cannot be written as JSON, or the table is missing.
    """
    stored = await _claim_key(tx, dialect, request)
    if stored is None:
        stored = as_json(await call.of(tx))
        await tx.execute(_ANSWER, {"scope": request.scope, "key": request.key, "response": stored})
    # The first caller gets the decoded JSON as well, so that all callers see the same types.
    return json.loads(stored)


async def _claim_key(tx: Transaction, dialect: Dialect, request: Request) -> str | None:
    """Return the answer of an earlier request; or claim the key and return None."""
    row = {"scope": request.scope, "key": request.key}
    values = {**row, "fingerprint": request.fingerprint, "keep": request.keep}
    try:
        await tx.execute(_CLAIM[dialect], values)
    except StatementError as error:
        raise explained(error, FEATURE) from error
    found = await tx.fetch_one(_FIND, row)
    assert found is not None, "the row was written just now"
    if found.uses == 0:
        return None
    # Expiry is checked before the fingerprint: an expired key may be reused for another request.
    if found.expired:
        await tx.execute(_RENEW[dialect], values)
        return None
    if found.fingerprint != request.fingerprint:
        raise IntegrityError(
            f"the idempotency key {request.key!r} was used for another request: a repeated request must be the same, "
            "and a new one needs a key of its own"
        )
    response: str = found.response
    return response
