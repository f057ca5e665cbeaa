"""Start an endpoint process in front of real servers, with a token verifier that the test controls."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pymysql
import pytest

from rdskit.local.certificates import LocalAuthority
from rdskit.local.endpoints.model import EndpointState, InternalAccount
from rdskit.local.endpoints.process import EndpointProcess
from rdskit.local.engines.addresses import AddressBook
from rdskit.local.engines.postgres.throwaway import ThrowawayPostgres, throwaway_postgres
from rdskit.local.engines.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.engines.mysql.throwaway import ThrowawayFamilyServer

IAM_SECRET = "the password of those who have none"
TESTER = "tester"  # a second superuser: endpoints refuse the supervisor's
TOKEN = "token-" + "0123456789abcdef" * 80  # as long as those of temporary credentials


class StubVerifier:
    """Accepts one token and refuses all others, once ``open`` is set."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.open = threading.Event()
        self.open.set()

    def __call__(self, name: str, user: str, token: str) -> str:
        self.asked.append((name, user, token))
        self.open.wait(20)
        return "" if token == TOKEN else "that is a password, not a token"


def is_cancelled(connection: psycopg.Connection, other: psycopg.Connection) -> bool:
    """Return whether a cancel request through the endpoint ends the query on a connection."""
    pid = connection.info.backend_pid
    failures: list[BaseException] = []

    def wait_long() -> None:
        try:
            connection.execute("select pg_sleep(60)")
        except psycopg.errors.QueryCanceled as error:
            failures.append(error)

    thread = threading.Thread(target=wait_long)
    thread.start()
    sql = "select count(*) from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
    assert poll(lambda: other.execute(sql, (pid,)).fetchone() == (1,), timeout=60)
    connection.cancel_safe(timeout=10)
    thread.join(20)
    return len(failures) == 1


class Server(Protocol):
    """The common attributes of throw-away servers."""

    @property
    def address(self) -> Endpoint: ...

    @property
    def superuser(self) -> str: ...

    @property
    def password(self) -> str: ...


@dataclass(frozen=True)
class Bench:
    """An endpoint, the process that serves it and the server behind it."""

    process: EndpointProcess
    state: EndpointState
    server: ThrowawayPostgres
    ca: Path

    @property
    def address(self) -> Endpoint:
        return self.state.address

    def connect(self, **options: str) -> psycopg.Connection:
        """Connect through the endpoint, verifying its certificate by default."""
        settings = {
            "user": TESTER if self.state.account else self.server.superuser,
            "password": self.server.password,
            "sslmode": "verify-full",
            "sslrootcert": str(self.ca),
            "gssencmode": "disable",
            **options,
        }
        return psycopg.connect(
            f"host={self.address.host} port={self.address.port} dbname=postgres connect_timeout=10",
            autocommit=True,
            **settings,  # type: ignore[arg-type]  # libpq takes any option as text
        )

    def set(self, *, cut: bool = False, **changes: object) -> None:
        """Change the endpoint; settings that are not named get their first values again."""
        self.process.set(replace(self.state, **changes), cut=cut)  # type: ignore[arg-type]  # fields by name


@dataclass(frozen=True)
class FamilyBench:
    """An endpoint that speaks MySQL, the process that serves it and the server behind it."""

    process: EndpointProcess
    state: EndpointState
    server: ThrowawayFamilyServer
    ca: Path

    @property
    def address(self) -> Endpoint:
        return self.state.address

    def connect(self, *, tls: bool = True, **options: Any) -> Any:
        """Connect through the endpoint with PyMySQL, verifying its certificate if there is TLS."""
        encrypted = {"ssl_ca": str(self.ca), "ssl_verify_cert": True, "ssl_verify_identity": True}
        return pymysql.connect(
            **{
                "host": self.address.host,
                "port": self.address.port,
                "user": TESTER,
                "password": self.server.password,
                "connect_timeout": 10,
                "read_timeout": 30,
                "autocommit": True,
                **(encrypted if tls else {"ssl_disabled": True}),
                **options,
            }
        )

    def ask(self, sql: str, *values: object, **options: Any) -> Any:
        """Return the first value of a query's answer, on a new connection."""
        with self.connect(**options) as connection, connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            row = cursor.fetchone()
        return row and row[0]

    def set(self, *, cut: bool = False, **changes: object) -> None:
        """Change the endpoint; settings that are not named get their first values again."""
        self.process.set(replace(self.state, **changes), cut=cut)  # type: ignore[arg-type]  # fields by name


class LoginRefused(Exception):  # noqa: N818 - the error that a client received
    """The endpoint or the server refused a login."""


@dataclass
class IamEndpoint:
    """An endpoint with IAM users, on any engine.

    ``jane`` logs in with a token, ``bob`` with his password.
    """

    engine: str
    bench: Bench | FamilyBench
    verifier: StubVerifier
    password: str = field(default="bob's password", repr=False)

    def enter(self, user: str, password: str, *, tls: bool = True) -> Any:
        """Log in and return the connection."""
        try:
            if isinstance(self.bench, Bench):
                sslmode = "verify-full" if tls else "disable"
                return self.bench.connect(user=user, password=password, sslmode=sslmode)
            return self.bench.connect(user=user, password=password, tls=tls)
        except (psycopg.OperationalError, pymysql.OperationalError) as error:
            raise LoginRefused(str(error)) from error

    def whoami(self, user: str, password: str, *, tls: bool = True) -> str:
        """Log in and return the user's name on the server."""
        with self.enter(user, password, tls=tls) as connection, connection.cursor() as cursor:
            cursor.execute("select current_user")
            return str(cursor.fetchone()[0]).partition("@")[0]

    def sessions(self, user: str) -> int:
        """Return the number of sessions that a user has on the server."""
        sql = "select count(*) from information_schema.processlist where user = %s"
        if self.engine == "postgres":
            sql = "select count(*) from pg_stat_activity where usename = $1"
        with self.bench.server.connect() as session:
            return int(session.execute(sql, user)[0][0] or 0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayPostgres]:
    with throwaway_postgres(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def verifier() -> Iterator[StubVerifier]:
    verifier = StubVerifier()
    yield verifier
    verifier.open.set()


@pytest.fixture
def process(verifier: StubVerifier) -> Iterator[EndpointProcess]:
    process = EndpointProcess(verifier)
    process.start()
    yield process
    process.close()


def make_state(directory: Path, server: Server, port: int) -> EndpointState:
    """Return an endpoint with a new address and certificate in front of a server."""
    address = AddressBook(directory, taken=[server.address]).allocate(port)
    files = LocalAuthority(directory).issue(directory, "orders", [address.host])
    return EndpointState("orders", address, str(files.certificate), str(files.key), server.address)


@pytest.fixture
def bench(tmp_path: Path, server: ThrowawayPostgres, process: EndpointProcess) -> Bench:
    state = make_state(tmp_path, server, 5432)
    process.set(state)
    return Bench(process, state, server, LocalAuthority(tmp_path).ensure())


def make_family_bench(directory: Path, server: ThrowawayFamilyServer, process: EndpointProcess) -> FamilyBench:
    account = InternalAccount(server.superuser, server.password, iam_secret=IAM_SECRET)
    state = replace(make_state(directory, server, 3306), protocol="mysql", iam=True, account=account)
    process.set(state)
    with server.connect() as session:
        session.execute(f"create user if not exists {TESTER}@'%%' identified by %s", server.password)
        session.execute(f"grant all on *.* to {TESTER}@'%' with grant option")
    return FamilyBench(process, state, server, LocalAuthority(directory).ensure())


@pytest.fixture(params=["mysql", "mariadb"])
def family_bench(request: pytest.FixtureRequest, tmp_path: Path, process: EndpointProcess) -> FamilyBench:
    return make_family_bench(tmp_path, request.getfixturevalue(request.param), process)


@pytest.fixture(params=["postgres", "mysql", "mariadb"])
def endpoint(
    request: pytest.FixtureRequest, tmp_path: Path, process: EndpointProcess, verifier: StubVerifier
) -> Iterator[IamEndpoint]:
    if request.param == "postgres":
        with postgres_endpoint(tmp_path, request.getfixturevalue("server"), process, verifier) as opened:
            yield opened
        return
    bench = make_family_bench(tmp_path, request.getfixturevalue(request.param), process)
    opened = IamEndpoint(request.param, bench, verifier)
    bench.ask("create user jane identified with AWSAuthenticationPlugin as 'RDS'")
    bench.ask("create user bob identified by %s", opened.password)
    yield opened
    with bench.server.connect() as session:
        session.execute("drop user jane, bob")


@contextlib.contextmanager
def postgres_endpoint(
    directory: Path, server: ThrowawayPostgres, process: EndpointProcess, verifier: StubVerifier
) -> Iterator[IamEndpoint]:
    account = InternalAccount(server.superuser, server.password, database="postgres")
    state = replace(make_state(directory, server, 5432), iam=True, account=account, socket=str(server.sockets))
    process.set(state)
    opened = IamEndpoint("postgres", Bench(process, state, server, LocalAuthority(directory).ensure()), verifier)
    with server.connect() as session:
        session.execute("create role rds_iam nologin")
        session.execute(f"create role {TESTER} superuser login password " + session.literal(server.password))
        session.execute("create role jane login in role rds_iam")
        session.execute("create role bob login password " + session.literal(opened.password))
    yield opened
    with server.connect() as session:
        session.execute(f"drop role jane, bob, rds_iam, {TESTER}")
