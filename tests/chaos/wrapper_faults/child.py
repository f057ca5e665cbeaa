"""A child that is forked from a process with a warm database, and uses that after its parent's writer was killed."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdskit import sync

WRITES = "select not pg_is_in_recovery()"


class Child:
    """One child; it connects at once, and asks again on request.

    Args:
        db: its parent's.
    """

    def __init__(self, db: sync.Database) -> None:
        told, self._tell = os.pipe()
        self._hear, telling = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # Python ≥ 3.12 warns of threads; they are the point here
            self._pid = os.fork()
        if not self._pid:
            os.close(self._tell)
            os.close(self._hear)
            _live(db, told, telling)
        os.close(told)
        os.close(telling)
        assert self._heard() == "connected"

    def asked_again(self) -> str:
        """Return who writes, as the child finds out."""
        os.write(self._tell, b"go")
        return self._heard()

    def close(self) -> None:
        """Wait for its end."""
        os.close(self._tell)
        os.close(self._hear)
        os.waitpid(self._pid, 0)

    def _heard(self) -> str:
        return os.read(self._hear, 4096).decode()


def _live(db: sync.Database, told: int, telling: int) -> None:
    """Do the child's work, and never return."""
    try:
        assert db.fetch_value(WRITES)
        os.write(telling, b"connected")
        if os.read(told, 2):
            assert db.fetch_value(WRITES)
            writer = db.topology().writer
            os.write(telling, (writer.identifier if writer else "none").encode())
        db.close()
    except BaseException as error:  # noqa: BLE001 - carried to the parent
        os.write(telling, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(0)  # nothing of the parent's test run may end here
