"""SQLAlchemy 2 on RDS: engines that find the writer, keep their pool clean over a failover, and read from replicas.

``?plugin=rdskit`` on any SQLAlchemy URL, or ``create_engine`` and ``create_async_engine`` for every target of
``rdskit.connect``.
"""

from rdskit.integrations.sqlalchemy.engines import create_async_engine, create_engine
from rdskit.integrations.sqlalchemy.plugin import RdskitPlugin, readers_of
from rdskit.integrations.sqlalchemy.reports import error_of
from rdskit.integrations.sqlalchemy.routing import AsyncSession, ReadRouting, Session
from rdskit.integrations.sqlalchemy.work import run, run_async

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
