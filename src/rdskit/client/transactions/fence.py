"""The fence that tells whether a COMMIT whose answer was lost took effect.

A fenced transaction writes a row with a number of its own as its last act. Whoever has lost the answer writes a row
with the same number: if that succeeds, the transaction can never commit any more, because its own row would be refused.
If the row is there, it has committed. If the server makes us wait, it is still running.
"""

from __future__ import annotations

import secrets
import time
from typing import Final

from rdskit.kernel.sql import Dialect

FEATURE: Final = "exactly_once=True"


def new_fence() -> str:
    """Give a number that nobody else has; later ones sort behind earlier ones, so that an index grows at its end."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def fenced_commit(fence: str, dialect: Dialect) -> tuple[str, ...]:
    """The texts that write the fence's row and commit, each sent when the one before was answered.

    On PostgreSQL it is one message: the server stops at the first error in it, so without the row there is no commit.
    """
    row = f"insert into rdskit_txn (id, committed) values ('{fence}', true)"  # noqa: S608 - hexadecimal digits of ours
    return (f"{row}; commit",) if dialect is Dialect.POSTGRES else (row, "commit")
