"""MySQL and MariaDB through asyncmy.

Statements are always prepared by the server, so that a value is never part of a text. The types that come back are
described in `values`.
"""

from rdskit.drivers.mysql.connection import MysqlConnection
from rdskit.drivers.mysql.opening import AsyncmyDriver
from rdskit.drivers.mysql.rows import Row

__all__ = ["AsyncmyDriver", "MysqlConnection", "Row"]
