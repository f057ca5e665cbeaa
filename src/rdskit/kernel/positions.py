"""How far a server's log has come: PostgreSQL log sequence numbers."""

from __future__ import annotations

_PAGE = 8192
_SEGMENT = 16 * 1024 * 1024
# A page starts with a 24-byte header, a segment with a 40-byte one (access/xlog_internal.h: XLogPageHeaderData,
# XLogLongPageHeaderData). An insert position may stand just behind such a header.
_PAGE_HEADER = 24
_SEGMENT_HEADER = 40


def parse_lsn(text: str) -> int:
    """Read PostgreSQL's ``X/Y`` form.

    Args:
        text: two hexadecimal halves, as ``pg_lsn`` prints them.

    Returns:
        The position in bytes from the start of the log.
    """
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) | int(low, 16)


def format_lsn(position: int) -> str:
    """Write a position in PostgreSQL's ``X/Y`` form."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def normalise_insert_lsn(position: int, segment: int = _SEGMENT) -> int:
    """Turn an insert position into one that a replica can reach by replaying.

    ``pg_current_wal_insert_lsn()`` may already stand behind the header of a page on which no record ends yet; a
    replica's replay position then stays in front of that header for as long as nothing more is written.

    Args:
        position: what the writer reported, in bytes.
        segment: the server's ``wal_segment_size`` in bytes.

    Returns:
        The end of the last record at or before the position.
    """
    if position % segment <= _SEGMENT_HEADER:
        return position - position % segment
    if position % _PAGE <= _PAGE_HEADER:
        return position - position % _PAGE
    return position
