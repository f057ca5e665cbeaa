"""Typing names that Python 3.11 lacks, without the cost of importing ``typing_extensions`` at run time (5 ms)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from typing_extensions import override
else:
    T = TypeVar("T")

    def override(method: T) -> T:
        """Mark a method that implements a port or overrides another; type checkers verify that there is one."""
        return method


__all__ = ["override"]
