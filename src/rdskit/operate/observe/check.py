"""Diagnose a connection step by step, from the target's name to its replicas."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rdskit.client.api import Options, PoolLimits, Resolved, parse, resolve
from rdskit.errors import AuthenticationError, ConfigError, RdskitError, TLSError
from rdskit.kernel.ports import DriverError
from rdskit.kernel.sql import Dialect
from rdskit.kernel.topology import Host, Role
from rdskit.operate.observe.diagnosis import Diagnosis, Finding, Obstacle, Status, Step
from rdskit.operate.observe.probes import probe_dns, probe_tcp, probe_tls
from rdskit.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Connection, Credentials, ReaderProgress

STEPS = ("target", "dns", "tcp", "tls", "login", "role", "replicas")
LAG_WORTH_A_WARNING = 5.0  # seconds

_WHO_AM_I = {
    Dialect.POSTGRES: "select current_user::text, current_database()::text",
    Dialect.MYSQL: "select current_user(), database()",
}
_VERSION = {Dialect.POSTGRES: "show server_version", Dialect.MYSQL: "select version()"}

_ADVICE: dict[type[RdskitError], str] = {
    AuthenticationError: "check user and password; an RDS-managed password: --credentials secretsmanager:SECRET",
    TLSError: "look at the step tls",
    ConfigError: "correct the target or its options",
}


async def check(
    target: str,
    *,
    credentials: str | Credentials | None = None,
    tls: str = "verify-full",
    ca: str | os.PathLike[str] | None = None,
    cleartext_password: bool = False,
    timeout: float = 15.0,
) -> Diagnosis:
    """Take the steps of a connection one by one and report the findings.

    Args:
        target: as for ``rdskit.connect``.
        credentials: as for ``rdskit.connect``.
        tls: as for ``rdskit.connect``.
        ca: as for ``rdskit.connect``.
        cleartext_password: as for ``rdskit.connect``.
        timeout: seconds for all steps together.

    Returns:
        Every step; those after a failure are ``skipped``. No finding contains a password.

    Raises:
        ConfigError: an option is wrong.
    """
    options = Options(
        credentials=credentials,
        tls=tls,
        ca=ca,
        cleartext_password=cleartext_password,
        topology="off",  # a URL's host is probed step by step; nothing connects to it before DNS
        timeout=timeout,
        limits=PoolLimits(min_size=0, connect_timeout=timeout),
        application_name="rdskit check",
    )
    walk = _Walk(target, options, timeout)
    try:
        await walk.go()
    finally:
        await walk.close()
    return Diagnosis(walk.shown, tuple(walk.steps))


class _Walk:
    """Take the steps, and keep what they have found so far."""

    def __init__(self, target: str, options: Options, timeout: float) -> None:
        self.steps: list[Step] = []
        self.shown = "?"
        self._target = target
        self._options = options
        self._end = asyncio.get_running_loop().time() + timeout
        self._tasks = TaskOwner("check")
        self._resolved: Resolved
        self._hosts: tuple[Host, ...] = ()
        self._writer: Host
        self._connection: Connection | None = None

    async def go(self) -> None:
        """Take each step until one fails."""
        takes = (
            self._look_up,
            lambda: probe_dns(self._endpoint),
            lambda: probe_tcp(self._endpoint),
            lambda: probe_tls(self._endpoint, self._resolved.engine, self._resolved.access.tls),
            self._log_in,
            self._ask_role,
            self._ask_replicas,
        )
        for name, take in zip(STEPS, takes, strict=True):
            if any(step.status is Status.FAIL for step in self.steps):
                self.steps.append(Step(name, Status.SKIPPED, "not reached", None, 0.0))
            else:
                self.steps.append(await self._timed(name, take))

    async def close(self) -> None:
        """Close the connection and end the tasks."""
        if self._connection is not None:
            await self._connection.close(1.0)
        await self._tasks.close()

    @property
    def _endpoint(self) -> Endpoint:
        return self._writer.endpoint

    async def _timed(self, name: str, take: Callable[[], Awaitable[Finding]]) -> Step:
        loop = asyncio.get_running_loop()
        started = loop.time()
        status = Status.FAIL
        advice: str | None
        try:
            async with asyncio.timeout_at(self._end):
                found = await take()
        except Obstacle as obstacle:
            finding, advice = obstacle.finding, obstacle.next_step
        except DriverError as error:
            finding, advice = _finding_and_advice(error.public)
        except RdskitError as error:
            finding, advice = _finding_and_advice(error)
        except TimeoutError:
            finding, advice = _timeout_advice(name)
        else:
            status, finding, advice = Status.WARN if found.advice else Status.OK, found.words, found.advice
        return Step(name, status, finding, advice, round((loop.time() - started) * 1000, 1))

    async def _look_up(self) -> Finding:
        self.shown = str(parse(self._target))
        self._resolved = await resolve(self._target, self._options, self._tasks)
        self.shown = str(self._resolved.target)
        topology = await self._resolved.source.topology()
        writer = topology.writer or topology.entry
        assert writer is not None, topology
        self._writer, self._hosts = writer, topology.hosts
        zone = f" in {self._writer.zone}" if self._writer.zone else ""
        return Finding(f"{self.shown} → {self._resolved.engine.value} at {self._writer.endpoint}{zone}")

    async def _log_in(self) -> Finding:
        # As a reader, which is accepted in any role: this step only checks the login, the next one the role.
        self._connection = await self._resolved.access.open(self._writer._replace(role=Role.READER))
        user, database = await self._ask(_WHO_AM_I[self._resolved.dialect])
        return Finding(f"logged in as {user} to {f'database {database}' if database else 'no database'}")

    async def _ask_role(self) -> Finding:
        assert self._connection is not None
        (version,) = await self._ask(_VERSION[self._resolved.dialect])
        found = f"{_product(self._resolved.dialect, version)} {version}, {self._connection.role.value}"
        if self._connection.role is Role.WRITER:
            return Finding(f"{found}: accepts writes")
        advice = "connect to the writer; while a failover is under way, try again in a few seconds"
        return Finding(f"{found}: refuses writes", advice)

    async def _ask_replicas(self) -> Finding:
        readers = [host for host in self._hosts if host.role is Role.READER]
        if not readers:
            known = "the target names one host" if self._resolved.target.identifier is None else "the instance has none"
            return Finding(f"{known}: all reads go to {self._endpoint}")
        answers = await asyncio.gather(*(self._ask_replica(reader) for reader in readers))
        advice = next((answer.advice for answer in answers if answer.advice), None)
        return Finding("; ".join(answer.words for answer in answers), advice)

    async def _ask_replica(self, host: Host) -> Finding:
        try:
            connection = await self._resolved.access.open(host)
        except DriverError as error:
            return Finding(f"{host.identifier}: {error.public}", "reads go elsewhere; look at that instance's events")
        try:
            return _of_replica(host, await connection.reader_progress(None))
        finally:
            await connection.close(1.0)

    async def _ask(self, sql: str) -> tuple[Any, ...]:
        assert self._connection is not None
        row = await self._connection.fetch_one(sql, (), None)
        assert row is not None, sql
        return tuple(row)


def _product(dialect: Dialect, version: str) -> str:
    """Return the product that runs there, whatever the target calls it."""
    if dialect is Dialect.POSTGRES:
        return "PostgreSQL"
    return "MariaDB" if "mariadb" in version.lower() else "MySQL"


def _finding_and_advice(error: Exception) -> tuple[str, str | None]:
    """Split an error's message into the finding and the next step, which follows the last semicolon."""
    words = str(error)
    for kind, advice in _ADVICE.items():
        if isinstance(error, kind):
            return words, advice
    finding, _, advice = words.rpartition("; ")
    return (finding, advice) if finding else (words, None)


def _of_replica(host: Host, progress: ReaderProgress) -> Finding:
    if not progress.replays:
        return Finding(
            f"{host.identifier} is not a replica any more", "it was promoted: remove it from the application's targets"
        )
    words = f"{host.identifier} at {host.endpoint} replays, {progress.lag * 1000:.0f} ms behind"
    slow = progress.lag > LAG_WORTH_A_WARNING
    return Finding(words, "look for long transactions and a too small class on the replica" if slow else None)


def _timeout_advice(step: str) -> tuple[str, str]:
    if step in {"dns", "tcp"}:
        return (
            "no answer in time: packets are dropped on the way",
            (
                "let this machine in: the security group's inbound rule for the database port, routes, VPC peering; "
                "an instance without public access is reached from inside its VPC only"
            ),
        )
    return "no answer in time", "the server is reachable but hangs: look at its load and events, or raise --timeout"
