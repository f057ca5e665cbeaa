"""What all processes of a storm know of each row: the version that was acknowledged, and the one that was attempted."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

_NUMBER = struct.Struct("=q")


class Board:
    """Numbers in a file that processes share; a row has one writer, so each number only grows."""

    def __init__(self, path: Path, rows: int) -> None:
        self._file = path.open("r+b")
        self._memory = mmap.mmap(self._file.fileno(), 2 * rows * _NUMBER.size)
        self._rows = rows

    @classmethod
    def make(cls, path: Path, rows: int) -> None:
        """Write a file for so many rows."""
        path.write_bytes(bytes(2 * rows * _NUMBER.size))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.close()
        self._file.close()

    def acknowledged(self, row: int) -> int:
        """Return the latest version whose write has returned."""
        return self._get(row)

    def attempted(self, row: int) -> int:
        """Return the latest version whose write has begun."""
        return self._get(self._rows + row)

    def begin(self, row: int) -> int:
        """Return the version that the row's writer writes next."""
        version = self.attempted(row) + 1
        self._set(self._rows + row, version)
        return version

    def acknowledge(self, row: int, version: int) -> None:
        """Note that a write has returned."""
        self._set(row, version)

    def _get(self, place: int) -> int:
        number: int = _NUMBER.unpack_from(self._memory, place * _NUMBER.size)[0]
        return number

    def _set(self, place: int, number: int) -> None:
        _NUMBER.pack_into(self._memory, place * _NUMBER.size, number)
