"""Create fresh databases ahead of need: creating one takes some 30 ms, taking a spare one no time."""

from __future__ import annotations

import contextlib
import itertools
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rdskit.local.engines.mysql.sql import ServerRefused
from rdskit.local.engines.session import SessionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from rdskit.local.engines.mysql.throwaway import ThrowawayFamilyServer
    from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres
    from rdskit.local.engines.session import Row, ServerSession

    Schema = Callable[["FreshDatabase"], None]

_TIMEOUT = 60.0  # seconds for one database
_NO_SUCH_THREAD = 1094


@dataclass(frozen=True, slots=True)
class FreshDatabase:
    """A database for one test on a server of this run. ``user`` is a superuser, and the server offers no TLS.

    Attributes:
        scheme: ``postgresql``, ``mysql`` or ``mariadb``.
    """

    scheme: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str

    @property
    def url(self) -> str:
        """The URL for ``rdskit.connect(…, tls="off")`` and for any driver."""
        return f"{self.scheme}://{self.user}:{self.password}@{self.host}:{self.port}/{self.name}"

    def sqlalchemy_url(self, driver: str | None = None) -> str:
        """Return the URL for ``sqlalchemy.create_engine`` or ``create_async_engine``.

        Args:
            driver: such as ``asyncpg`` or ``asyncmy``; without it psycopg or PyMySQL.
        """
        chosen = driver or ("psycopg" if self.scheme == "postgresql" else "pymysql")
        return f"{self.scheme}+{chosen}{self.url.removeprefix(self.scheme)}"


class Administration:
    """An administrative connection to a server; reopened if a test has terminated every connection.

    Args:
        connect: opens the connection.
    """

    def __init__(self, connect: Callable[[], ServerSession]) -> None:
        self._connect = connect
        self._session = connect()

    def execute(self, statement: str, *parameters: str) -> list[Row]:
        """Run a statement and return its rows."""
        try:
            return self._session.execute(statement, *parameters, timeout=_TIMEOUT)
        except SessionLost:
            self._session.close()
            self._session = self._connect()
        return self._session.execute(statement, *parameters, timeout=_TIMEOUT)

    def close(self) -> None:
        """Close the administrative connection."""
        self._session.close()


class Databases(ABC):
    """Create and drop the databases of one server. Only ``spares`` is thread-safe; one thread calls all else.

    Attributes:
        administration: the connection that creates them.
    """

    def __init__(self, administration: Administration) -> None:
        self.administration = administration

    @abstractmethod
    def create(self, name: str) -> FreshDatabase:
        """Create a database with the schema in it."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Drop a database and terminate its connections."""

    def close(self) -> None:
        """Close the connection to the server."""
        self.administration.close()

    @contextlib.contextmanager
    def spares(self, ahead: int) -> Iterator[Spares]:
        """Create databases ahead of need while the block runs."""
        spares = Spares(self, ahead)
        try:
            yield spares
        finally:
            spares.close()


class PostgresDatabases(Databases):
    """Databases of a PostgreSQL server: copies of a template that contains the schema."""

    def __init__(self, server: ThrowawayPostgres, schema: Schema | None) -> None:
        super().__init__(Administration(server.connect))
        self._server = server
        self._schema = schema
        self._template: str | None = None if schema else "template1"

    def create(self, name: str) -> FreshDatabase:
        """Create a copy of the template."""
        if self._template is None:
            self._template = self._make_template("rdskit_template")
        self.administration.execute(f"create database {name} template {self._template}")
        return self._named(name)

    def drop(self, name: str) -> None:
        """Drop the database with force."""
        self.administration.execute(f"drop database if exists {name} with (force)")

    def _make_template(self, name: str) -> str:
        assert self._schema is not None
        self.drop(name)
        self.administration.execute(f"create database {name}")
        self._schema(self._named(name))
        # A database with open connections cannot be used as a template.
        self.administration.execute(f"alter database {name} allow_connections false")
        end_all = f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{name}'"  # noqa: S608 - our own
        self.administration.execute(end_all)
        return name

    def _named(self, name: str) -> FreshDatabase:
        server = self._server
        return FreshDatabase("postgresql", server.host, server.port, server.superuser, server.password, name)


class FamilyDatabases(Databases):
    """Databases of a MySQL or MariaDB server, which has no templates: the schema is created in each."""

    def __init__(self, server: ThrowawayFamilyServer, schema: Schema | None) -> None:
        super().__init__(Administration(server.connect))
        self._server = server
        self._schema = schema

    def create(self, name: str) -> FreshDatabase:
        """Create the database and its schema."""
        self.administration.execute(f"create database {name}")
        server = self._server
        scheme = server.installation.product.lower()
        fresh = FreshDatabase(scheme, server.host, server.port, server.superuser, server.password, name)
        if self._schema is not None:
            self._schema(fresh)
        return fresh

    def drop(self, name: str) -> None:
        """Kill the database's connections, then drop it: a forgotten open transaction would block the drop."""
        for (number,) in self.administration.execute(
            "select id from information_schema.processlist where db = %s", name
        ):
            self._kill(str(number))
        self.administration.execute(f"drop database {name}")

    def _kill(self, connection: str) -> None:
        try:
            self.administration.execute(f"kill {connection}")
        except ServerRefused as refusal:
            if refusal.errno != _NO_SUCH_THREAD:  # it has ended by itself in the meantime
                raise


class Spares:
    """A stock of databases that one thread replenishes.

    Args:
        databases: the server's; used by that thread only.
        ahead: the size of the stock.
    """

    def __init__(self, databases: Databases, ahead: int) -> None:
        self._databases = databases
        self._numbers = itertools.count(1)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rdskit-databases")
        self._stock: deque[Future[FreshDatabase]] = deque(self._order() for _ in range(ahead))
        self._drops: list[Future[None]] = []

    @contextlib.contextmanager
    def one(self) -> Iterator[FreshDatabase]:
        """Yield a database for the block, and drop it afterwards."""
        self._stock.append(self._order())
        database = self._stock.popleft().result()
        yield database
        self._drops.append(self._thread.submit(self._databases.drop, database.name))

    def close(self) -> None:
        """Finish pending drops and end the thread; the remaining databases end with their server.

        Raises:
            LocalError: a database could not be dropped.
        """
        for order in self._stock:
            order.cancel()
        self._thread.shutdown(wait=True)
        self._databases.close()
        for drop in self._drops:
            drop.result()

    def _order(self) -> Future[FreshDatabase]:
        return self._thread.submit(self._databases.create, f"test_{next(self._numbers)}")
