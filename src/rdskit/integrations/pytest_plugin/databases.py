"""Fresh databases, made while a test uses the last one: creating one costs some 30 ms, taking a spare one none."""

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

_PATIENCE = 60.0  # seconds for one database
_NO_SUCH_THREAD = 1094


@dataclass(frozen=True, slots=True)
class FreshDatabase:
    """A database for one test on a server of this run; ``user`` may do everything. The server speaks no TLS.

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
        """For ``rdskit.connect(…, tls="off")`` and for any driver."""
        return f"{self.scheme}://{self.user}:{self.password}@{self.host}:{self.port}/{self.name}"

    def sqlalchemy_url(self, driver: str | None = None) -> str:
        """Return the URL for ``sqlalchemy.create_engine`` or ``create_async_engine``.

        Args:
            driver: such as ``asyncpg`` or ``asyncmy``; without it psycopg or PyMySQL.
        """
        chosen = driver or ("psycopg" if self.scheme == "postgresql" else "pymysql")
        return f"{self.scheme}+{chosen}{self.url.removeprefix(self.scheme)}"


class Administration:
    """Our own connection to a server; opened anew when a test has ended every connection that there was.

    Args:
        connect: opens it.
    """

    def __init__(self, connect: Callable[[], ServerSession]) -> None:
        self._connect = connect
        self._session = connect()

    def execute(self, statement: str, *parameters: str) -> list[Row]:
        """Run a statement and give its rows."""
        try:
            return self._session.execute(statement, *parameters, timeout=_PATIENCE)
        except SessionLost:
            self._session.close()
            self._session = self._connect()
        return self._session.execute(statement, *parameters, timeout=_PATIENCE)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


class Databases(ABC):
    """The databases of one server. All but ``spares`` belongs to one thread.

    Attributes:
        administration: the connection on which they are made.
    """

    def __init__(self, administration: Administration) -> None:
        self.administration = administration

    @abstractmethod
    def create(self, name: str) -> FreshDatabase:
        """Make a database with the schema in it."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""

    def close(self) -> None:
        """Close the connection to the server."""
        self.administration.close()

    @contextlib.contextmanager
    def spares(self, ahead: int) -> Iterator[Spares]:
        """Make databases ahead of need, for the length of the block."""
        spares = Spares(self, ahead)
        try:
            yield spares
        finally:
            spares.close()


class PostgresDatabases(Databases):
    """Databases of a PostgreSQL: copies of a template in which the schema was made once."""

    def __init__(self, server: ThrowawayPostgres, schema: Schema | None) -> None:
        super().__init__(Administration(server.connect))
        self._server = server
        self._schema = schema
        self._template: str | None = None if schema else "template1"

    def create(self, name: str) -> FreshDatabase:
        """Copy the template."""
        if self._template is None:
            self._template = self._make_template("rdskit_template")
        self.administration.execute(f"create database {name} template {self._template}")
        return self._named(name)

    def drop(self, name: str) -> None:
        """Drop it with force."""
        self.administration.execute(f"drop database if exists {name} with (force)")

    def _make_template(self, name: str) -> str:
        assert self._schema is not None
        self.drop(name)
        self.administration.execute(f"create database {name}")
        self._schema(self._named(name))
        # A database that somebody is connected to cannot be copied.
        self.administration.execute(f"alter database {name} allow_connections false")
        end_all = f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{name}'"  # noqa: S608 - our own
        self.administration.execute(end_all)
        return name

    def _named(self, name: str) -> FreshDatabase:
        server = self._server
        return FreshDatabase("postgresql", server.host, server.port, server.superuser, server.password, name)


class FamilyDatabases(Databases):
    """Databases of a MySQL or MariaDB, which has no templates: the schema is made in each."""

    def __init__(self, server: ThrowawayFamilyServer, schema: Schema | None) -> None:
        super().__init__(Administration(server.connect))
        self._server = server
        self._schema = schema

    def create(self, name: str) -> FreshDatabase:
        """Make it and fill it."""
        self.administration.execute(f"create database {name}")
        server = self._server
        scheme = server.installation.product.lower()
        fresh = FreshDatabase(scheme, server.host, server.port, server.superuser, server.password, name)
        if self._schema is not None:
            self._schema(fresh)
        return fresh

    def drop(self, name: str) -> None:
        """End its connections first: an open transaction of one that a test forgot would hold the drop up."""
        for (number,) in self.administration.execute(
            "select id from information_schema.processlist where db = %s", name
        ):
            self._end(str(number))
        self.administration.execute(f"drop database {name}")

    def _end(self, connection: str) -> None:
        try:
            self.administration.execute(f"kill {connection}")
        except ServerRefused as refusal:
            if refusal.errno != _NO_SUCH_THREAD:  # it has ended by itself meanwhile
                raise


class Spares:
    """A stock of databases, kept up by one thread.

    Args:
        databases: of which server; used by that thread alone.
        ahead: how many are kept in stock.
    """

    def __init__(self, databases: Databases, ahead: int) -> None:
        self._databases = databases
        self._numbers = itertools.count(1)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rdskit-databases")
        self._stock: deque[Future[FreshDatabase]] = deque(self._order() for _ in range(ahead))
        self._drops: list[Future[None]] = []

    @contextlib.contextmanager
    def one(self) -> Iterator[FreshDatabase]:
        """A database for the length of the block; it is dropped afterwards, whoever is still connected to it."""
        self._stock.append(self._order())
        database = self._stock.popleft().result()
        yield database
        self._drops.append(self._thread.submit(self._databases.drop, database.name))

    def close(self) -> None:
        """End the thread once it has done what it was asked; the databases that are left end with their server.

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
