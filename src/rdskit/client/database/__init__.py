"""Provide ``rdskit.connect`` and the database object that it returns.

`import rdskit` imports `connect` only. The first connection imports `opening` and everything that it needs.
"""

from rdskit.client.database.connect import Connecting, connect

__all__ = ["Connecting", "connect"]
