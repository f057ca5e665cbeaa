"""Messages of LISTEN and NOTIFY."""

from __future__ import annotations

from typing import NamedTuple


class Notification(NamedTuple):
    """A message of LISTEN and NOTIFY, or a marker of missed messages.

    Attributes:
        channel: the channel's name.
        payload: the payload of NOTIFY; may be empty.
        process_id: the server process that sent it; 0 for a marker.
        missed: this is a marker: messages may be missing here, because the connection was replaced or the receiver was
            too slow. Read the data that the messages announce again.
    """

    channel: str
    payload: str
    process_id: int
    missed: bool = False
