"""Reads on replicas that never show less than the session has already written."""

from rdskit.client.replicas.routines import KnownRoutines, Routines
from rdskit.client.replicas.service import Borrowed, Reader, Readers
from rdskit.client.replicas.tokens import Tokens
from rdskit.client.replicas.written import NothingWritten, Written

__all__ = ["Borrowed", "KnownRoutines", "NothingWritten", "Reader", "Readers", "Routines", "Tokens", "Written"]
