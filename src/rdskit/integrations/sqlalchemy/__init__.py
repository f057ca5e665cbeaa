"""SQLAlchemy 2 on RDS: engines that find the writer, survive a failover, and read from replicas.

``?plugin=rdskit`` on any SQLAlchemy URL, or ``create_engine`` and ``create_async_engine`` for every target of
``rdskit.connect``.
"""

from rdskit.integrations.sqlalchemy.driver_errors import error_of
from rdskit.integrations.sqlalchemy.engines import create_async_engine, create_engine
from rdskit.integrations.sqlalchemy.plugin import RdskitPlugin, readers_of
from rdskit.integrations.sqlalchemy.retry import run, run_async
from rdskit.integrations.sqlalchemy.routing import AsyncSession, ReadRouting, Session

__all__ = [
    "AsyncSession",
    "RdskitPlugin",
    "ReadRouting",
    "Session",
    "create_async_engine",
    "create_engine",
    "error_of",
    "readers_of",
    "run",
    "run_async",
]
