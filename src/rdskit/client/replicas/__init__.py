"""Route reads to replicas that have replayed everything the session has written."""

from rdskit.client.replicas.routines import KnownRoutines, Routines
from rdskit.client.replicas.service import Borrowed, Reader, ReaderCall, Readers
from rdskit.client.replicas.tokens import Tokens
from rdskit.client.replicas.write_position import NoWritePosition, WritePosition

__all__ = [
    "Borrowed",
    "KnownRoutines",
    "NoWritePosition",
    "Reader",
    "ReaderCall",
    "Readers",
    "Routines",
    "Tokens",
    "WritePosition",
]
