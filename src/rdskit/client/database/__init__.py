"""``rdskit.connect`` and the database object that it gives."""

from rdskit.client.database.connect import Connecting, connect
from rdskit.client.database.database import Database
from rdskit.client.database.resolve import Resolved, resolve

__all__ = ["Connecting", "Database", "Resolved", "connect", "resolve"]
