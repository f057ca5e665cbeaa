"""What NOTIFY sends."""

from __future__ import annotations

from typing import NamedTuple


class Notification(NamedTuple):
    """A message of LISTEN and NOTIFY, or a mark in its place.

    Attributes:
        channel: the channel's name.
        payload: what NOTIFY was given; empty if it was given nothing.
        process_id: the server process that sent it; 0 for a mark.
        missed: this is a mark: from here on some messages may be missing, because the connection was replaced or the
            receiver was too slow. Read again what the messages are about.
    """

    channel: str
    payload: str
    process_id: int
    missed: bool = False
