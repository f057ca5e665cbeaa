"""``rdskit.connect`` and the database object that it gives.

Only `connect` is imported with the package; `database` and `resolve` are loaded by whoever connects.
"""

from rdskit.client.database.connect import Connecting, connect

__all__ = ["Connecting", "connect"]
