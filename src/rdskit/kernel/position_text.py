"""Convert positions to text and back: one format for tokens, cache entries and bookmarks of change streams.

The format is ``kind:position``, such as ``wal:1@0/16B3748`` (PostgreSQL's timeline and LSN), ``xid:812``,
``gtids:3e11fa47-…:1-5`` (MySQL), ``gtid:0-1-5`` (MariaDB) and ``start:``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.errors import ConfigError
from rdskit.kernel.positions import START, GtidPosition, GtidSet, Lsn, Position, Xid

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS: Final[dict[type[Position], str]] = {
    Lsn: "wal",
    Xid: "xid",
    GtidSet: "gtids",
    GtidPosition: "gtid",
    type(START): "start",
}
_PARSERS: Final[dict[str, Callable[[str], Position]]] = {
    "wal": lambda shown: _lsn_of(*shown.split("@")),
    "xid": Xid.parse,
    "gtids": GtidSet.parse,
    "gtid": GtidPosition.parse,
    "start": lambda _: START,
}


def position_to_text(position: Position) -> str:
    """Return a position as text; `position_from_text` parses it, history included."""
    shown = f"{position.timeline}@{position}" if isinstance(position, Lsn) else str(position)
    return f"{_KINDS[type(position)]}:{shown}"


def position_from_text(text: str) -> Position:
    """Return the position for a text.

    Args:
        text: a result of `position_to_text`, from this process or another one.

    Raises:
        ConfigError: the text is not a position, or of a kind that this version does not know.
    """
    kind, _, shown = text.partition(":")
    try:
        return _PARSERS[kind](shown)
    except (KeyError, ValueError, TypeError, IndexError):
        raise ConfigError(f"{text[:80]!r} is not a position: pass a text from position_to_text(), unchanged") from None


def _lsn_of(timeline: str, lsn: str) -> Lsn:
    return Lsn.parse(lsn, int(timeline))
