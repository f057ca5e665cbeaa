"""Streams of what is committed: ``changes`` reads a database's own log, on every engine.

``docs/changes.md`` shows it in use. Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rdskit.stream.capture import UNCHANGED, Change, Changes, changes

__all__ = ["UNCHANGED", "Change", "Changes", "changes"]

_MODULE: Final = "rdskit.stream.capture"


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_MODULE), name)
