"""The block of a transaction that finds out what became of its own COMMIT."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rdskit.client.database.block import Block, note_commit_was_sent
from rdskit.errors import FailoverError, OutcomeUnknown, RdskitError
from rdskit.runtime.deadlines import Deadline

if TYPE_CHECKING:
    from types import TracebackType

    from rdskit.client.database.block import Grounds
    from rdskit.client.database.fencing import Fencing
    from rdskit.client.transactions import Transaction


class FencedBlock(Block):
    """Does what its base does; when the answer to COMMIT is lost, it asks the writer of that moment.

    It ends without an error if the transaction has committed, and with ``FailoverError`` if it has not.
    """

    def __init__(
        self,
        grounds: Grounds,
        text: str,
        timeout: float | None,
        fencing: Fencing,
        exactly_once: bool | None,  # noqa: FBT001 - as the caller gave it
        answer_by: Deadline | None = None,
    ) -> None:
        """Prepare a block; nothing happens before it is entered.

        Args:
            grounds: as for its base.
            text: as for its base.
            timeout: as for its base.
            fencing: fences, and what they say.
            exactly_once: as for ``run``.
            answer_by: when the question must be answered; None for ``timeout``, and where there is none either, for as
                long as a statement may take.
        """
        super().__init__(grounds, text, timeout)
        self._fencing = fencing
        self._exactly_once = exactly_once
        self._answer_by = answer_by

    async def __aenter__(self) -> Transaction:
        self._deadline = Deadline.after(self._timeout)
        if self._exactly_once is None and self._fencing.are_unknown:
            await self._fencing.look(self._patience())
        await self._begin()
        self._transaction.fence = self._fencing.new(self._exactly_once)
        return self._transaction

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        except OutcomeUnknown as unknown:
            await self._find_out(unknown)
        fence = self._transaction.fence
        if error is None and fence is not None and fence.used:
            await self._fencing.tidy(self._patience())

    async def _find_out(self, unknown: OutcomeUnknown) -> None:
        """Raises what is to be told instead, unless it has committed."""
        transaction = self._transaction
        fence = transaction.fence
        if fence is None or not transaction.may_have_committed:  # a procedure's, which the block had swallowed
            raise unknown
        try:
            took_effect = await self._fencing.took_effect(fence, self._patience_for_answer())
        except asyncio.CancelledError as cancelled:
            note_commit_was_sent(cancelled)
            raise
        except RdskitError as error:
            transaction.failure = OutcomeUnknown(f"{unknown}; and it could not be found out in time: {error}")
            raise transaction.failure from error
        if not took_effect:
            transaction.failure = FailoverError(
                f"{unknown}; it did not happen, as was found out afterwards: run it again (db.run does so by itself)"
            )
            raise transaction.failure from unknown.__cause__
        transaction.failure = None
        await transaction.callbacks.run()

    def _patience_for_answer(self) -> Deadline:
        return self._answer_by or (self._patience() if self._timeout is None else self._deadline)
