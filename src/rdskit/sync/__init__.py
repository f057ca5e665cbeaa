"""Provide the same database for code without an event loop.

One background thread runs the event loop of all databases of the process. Callers wait in their own threads. Closures
passed to ``run``, and code inside ``transaction``, run in the caller's thread.
"""

from rdskit.sync.calls import call
from rdskit.sync.database import Database, connect
from rdskit.sync.held import HeldConnection, Listening
from rdskit.sync.session import Session
from rdskit.sync.transaction import Transaction

__all__ = ["Database", "HeldConnection", "Listening", "Session", "Transaction", "call", "connect"]
