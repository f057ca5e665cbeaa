"""``rdskit.connect`` and the database object that it gives.

Only `connect` is imported with the package; `opening`, and all that it needs, is imported by the first connection.
"""

from rdskit.client.database.connect import Connecting, connect

__all__ = ["Connecting", "connect"]
