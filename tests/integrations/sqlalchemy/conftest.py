"""One fresh database behind each driver that the integration knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

if TYPE_CHECKING:
    from sqlalchemy import URL

SYNC = ("postgresql+psycopg", "mysql+pymysql", "mariadb+pymysql")
ASYNC = ("postgresql+psycopg", "postgresql+asyncpg", "mysql+asyncmy", "mariadb+asyncmy")
FIXTURES = {"postgresql": "database", "mysql": "mysql_database", "mariadb": "mariadb_database"}


def url_for(request: pytest.FixtureRequest, drivername: str) -> URL:
    """Return the URL of a fresh database, without the plugin."""
    database = request.getfixturevalue(FIXTURES[drivername.partition("+")[0]])
    return make_url(database.url).set(drivername=drivername)


def plugged(url: URL, **query: str) -> URL:
    """Return the URL with the plugin; the throw-away servers offer no TLS."""
    return url.update_query_dict({"plugin": "rdskit", "tls": "off", **query})


@pytest.fixture(params=SYNC)
def sync_url(request: pytest.FixtureRequest) -> URL:
    """Return a fresh database for each synchronous driver in turn."""
    return plugged(url_for(request, request.param))


@pytest.fixture(params=ASYNC)
def async_url(request: pytest.FixtureRequest) -> URL:
    """Return a fresh database for each asynchronous driver in turn."""
    return plugged(url_for(request, request.param))
