"""Relay messages from the outbox to the application's handler."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from rdskit.client.database.queries import dialect_of
from rdskit.client.outbox.message import Message
from rdskit.client.outbox.queue import postponement, queue_of
from rdskit.client.transactions import explained
from rdskit.errors import ConfigError, RdskitError
from rdskit.kernel.arguments import require_flag, require_function, require_seconds, require_whole, wrong
from rdskit.kernel.backoff import Backoff
from rdskit.kernel.sql import Dialect

if TYPE_CHECKING:
    from typing import NoReturn

    from rdskit.client.database.database import Database
    from rdskit.client.transactions import Transaction

Handler = Callable[[Message], Awaitable[None]]

_SETTLING: Final = 0.005  # seconds between two checks for transactions that may still publish an earlier message
_OUTAGE: Final = Backoff(base=0.1, cap=2.0)
_REDELIVERY: Final = Backoff(base=0.2, cap=60.0)
_DELETE: Final = "delete from rdskit_outbox where id in :ids"
_DELETE_BY_KEY: Final = """
delete o from json_table(:ids, '$[*]' columns (id bigint path '$')) as d
straight_join rdskit_outbox as o force index (primary) on o.id = d.id
"""
_log = logging.getLogger("rdskit.outbox")


class Relay:
    """Delivers messages at least once.

    The relay calls the handler for each message of a batch, and deletes the batch, in one transaction. If the relay or
    the server dies, the batch is delivered again: the handler recognizes repeated messages by ``message.id``.

    With ``ordered``, each message comes after all that were committed before it was published; on PostgreSQL all come
    in the order of their ids. A message whose handler fails blocks all messages behind it. Further relays wait for the
    active one. Without ``ordered``, relays share the messages, and a failed message is delivered again later.

    Attributes:
        delivered: how many messages were delivered and deleted.
        failed: how often the handler raised.
    """

    def __init__(
        self, db: Database, handler: Handler, *, ordered: bool = True, batch: int = 500, poll: float = 0.2
    ) -> None:
        """Create a relay; ``run`` starts it.

        Args:
            db: the database that holds the outbox.
            handler: called with one message after the other. What it raises is logged. The message is delivered again
                after 0.2 seconds; the delay doubles with each failure, up to a minute.
            ordered: whether to deliver in order.
            batch: messages in one transaction.
            poll: seconds between two queries of an empty outbox.
        """
        require_whole("batch", batch, least=1)
        require_flag("ordered", ordered)
        if require_seconds("poll", poll, or_none=False) < 0:
            raise ConfigError(f"poll={poll} is too small: give 0 seconds or more")
        if not hasattr(db, "transaction"):
            raise wrong("db", db, "give the database that rdskit.connect opened")
        self._db = db
        self._handler = require_function("handler", handler)
        self._batch = batch
        self._poll = poll
        dialect = dialect_of(db)
        self._queue = queue_of(dialect, ordered=ordered)
        self._ordered = ordered
        # To delete some rows of a small table, MySQL and MariaDB may scan all of it, and lock other relays' rows. The
        # join forces a look-up by primary key.
        self._deletes_by_key = not ordered and dialect is Dialect.MYSQL
        self._postponement = postponement(dialect)
        self.delivered = 0
        self.failed = 0

    async def run(self) -> NoReturn:
        """Deliver until cancelled, and continue after a failover.

        Raises:
            ConfigError: the database is closed, or the tables of ``setup`` are missing.
        """
        failures = 0
        while True:
            try:
                count = await self.deliver()
            except ConfigError:
                raise
            except RdskitError as error:
                failures += 1
                _log.warning("the outbox cannot be read; the relay retries: %s", error)
                pause = _OUTAGE.delay(failures, random.random())  # noqa: S311 - jitter, not a secret
            else:
                failures = 0
                pause = self._pause(count)
            await asyncio.sleep(pause)

    async def deliver(self) -> int:
        """Deliver one batch of messages.

        Returns:
            How many messages were delivered.

        Raises:
            RdskitError: the server failed; the batch will be delivered again.
        """
        try:
            # READ COMMITTED: each query needs its own snapshot on PostgreSQL, and InnoDB must lock no gaps.
            async with self._db.transaction(isolation="read committed", exactly_once=False) as tx:
                count = await self._deliver_batch(tx)
        except RdskitError as error:
            self._queue.forget()
            told = explained(error, "the relay")
            raise told from (None if told is error else error)
        self.delivered += count
        return count

    async def _deliver_batch(self, tx: Transaction) -> int:
        done: list[int] = []
        for row in await self._queue.select(tx, self._batch):
            message = Message.of(row)
            if await self._call_handler(message):
                done.append(message.id)
                continue
            pause = _REDELIVERY.delay(message.attempts + 1, 1.0)
            await tx.execute(self._postponement, pause=pause, id=message.id)
            # In order, nothing may overtake the failed message: the rest of the batch waits with it.
            if self._ordered:
                break
        if done and self._deletes_by_key:
            await tx.execute(_DELETE_BY_KEY, ids=json.dumps(done))
        elif done:
            await tx.execute(_DELETE, ids=done)
        return len(done)

    async def _call_handler(self, message: Message) -> bool:
        try:
            await self._handler(message)
        except Exception:  # noqa: BLE001 - the application's own code; logged, counted, and delivered again
            self.failed += 1
            _log.exception("the handler failed for message %d of topic %r; it is retried", message.id, message.topic)
            return False
        return True

    def _pause(self, count: int) -> float:
        if count == self._batch:
            return 0.0
        return _SETTLING if self._queue.is_settling else self._poll
