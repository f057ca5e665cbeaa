"""Define ``rdskit.connect`` and the object that it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from rdskit.client.database.arguments import ConnectArguments
from rdskit.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterable, Mapping
    from types import TracebackType

    from rdskit.client.credentials import Iam
    from rdskit.client.database.database import Database
    from rdskit.kernel.choices import Consistency, Pinning, Pipelining, TlsMode, TopologyMode
    from rdskit.kernel.codecs import Codec
    from rdskit.kernel.events import Observer
    from rdskit.kernel.ports import Credentials


class Connecting:
    """A database that is being connected: await it, or use it in ``async with``."""

    def __init__(self, target: str, given: ConnectArguments) -> None:
        self._target = target
        self._given = given
        self._database: Database | None = None

    def __await__(self) -> Generator[Any, None, Database]:
        return self._open().__await__()

    if not TYPE_CHECKING:  # a type checker reports a missing await by itself

        def __getattr__(self, name: str) -> NoReturn:
            """Explain a missing ``await`` to a caller that uses a method of the database on this object.

            Raises:
                ConfigError: the database has such a method.
                AttributeError: it has none.
            """
            from rdskit.client.database.database import Database  # noqa: PLC0415 - see `_open`

            # Private names are asked for by copy, pickle and inspect, which expect an AttributeError.
            if name.startswith("_") or not hasattr(Database, name):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            raise _not_awaited(f".{name}")

        def __enter__(self) -> NoReturn:
            raise _not_awaited(" in a plain `with`")

        def __exit__(self, *_: object) -> None: ...

    async def __aenter__(self) -> Database:
        self._database = await self._open()
        return self._database

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._database is not None:
            await self._database.close()

    async def _open(self) -> Database:
        # Imported here, so that `import rdskit` alone stays cheap, which matters for short-lived processes.
        from rdskit.client.database.named import expanded  # noqa: PLC0415
        from rdskit.client.database.opening import checked, open_target  # noqa: PLC0415

        target, given = expanded(self._target, self._given)
        return await open_target(target, checked(given))


def _not_awaited(use: str) -> ConfigError:
    return ConfigError(
        f"rdskit.connect(…){use}: the connection is not open yet; write `db = await rdskit.connect(…)` or `async with "
        "rdskit.connect(…) as db`, and without asyncio `with rdskit.sync.connect(…) as db`"
    )


def connect(
    target: str,
    *,
    credentials: str | Credentials | Iam | None = None,
    tls: TlsMode = "verify-full",
    ca: str | os.PathLike[str] | None = None,
    cleartext_password: bool = False,
    consistency: Consistency = "session",
    readers: str | Iterable[str] = "auto",
    readable: Iterable[str] = (),
    topology: TopologyMode = "auto",
    timeout: float | None = 30.0,
    min_size: int | None = None,
    max_size: int = 10,
    max_waiting: int | None = None,
    connect_timeout: float = 5.0,
    application_name: str = "rdskit",
    settings: Mapping[str, str | int | float] | None = None,
    codecs: Mapping[str, Codec] | None = None,
    observers: Iterable[Observer] = (),
    processes: int | None = None,
    pinning: Pinning = "auto",
    pipeline: Pipelining = "off",
    spill: float | None = None,
    token_key: str | None = None,
) -> Connecting:
    """Connect to a database: ``async with rdskit.connect(…) as db`` or ``db = await rdskit.connect(…)``.

    Args:
        target: ``postgresql://[user[:password]@]host[:port][,host…]/dbname``, ``mysql://…``, ``mariadb://…``,
            ``rds://[user[:password]@]IDENTIFIER[/dbname]``, ``secretsmanager:ID[/dbname]``; a name in ``rdskit.toml``.
        credentials: ``"env"``, ``"iam"``, ``"secretsmanager:ID"``, ``"ssm:/path"``, ``rdskit.credentials.Iam(…)`` or an
            object with ``login()``; None: the target's user, the environment's, or the managed master user.
        tls: ``"verify-full"``, ``"require"`` or ``"off"``; a Unix socket needs none.
        ca: a PEM file with an authority to trust besides those of RDS; ``RDSKIT_CA`` adds another.
        cleartext_password: send the password to an unverified server in the clear, or encrypted by a key it sends.
        consistency: of reads: ``"session"`` (sees own writes), ``"strong"`` (the writer) or ``"eventual"`` (any host).
        readers: ``"auto"`` uses the topology's replicas, ``"off"`` only the writer; a list names hosts (``host:port``).
        readable: functions that only read besides those that the catalog declares so, as in ``shop.price``.
        topology: ``"auto"`` looks up the cluster of an RDS host (any, with ``AWS_ENDPOINT_URL``), ``"off"`` does not.
        timeout: default deadline of a call in seconds, retries included; None for no limit.
        min_size: connections kept open to each host; None for 2, or ``max_size`` where that is less.
        max_size: connections open at most to each host.
        max_waiting: callers that may wait for one at most; ten for each connection if None.
        connect_timeout: seconds for one attempt to open a connection.
        application_name: name of these connections in the server's views.
        settings: server settings of these connections, as in ``{"statement_timeout": "5s"}``; a reset returns to them.
        codecs: how types are written and read, as in ``{"json": rdskit.Codec(orjson.dumps, orjson.loads)}``.
        observers: called with each event of ``rdskit.events`` on the event loop; must return at once.
        processes: number of processes like this one, for the connection budget; None: ``WEB_CONCURRENCY``, else 1.
        pinning: ``"avoid"`` uses no session state, which RDS Proxy would pin; ``"auto"`` only at a proxy; ``"allow"``.
        pipeline: ``"auto"`` lets quick reads of many tasks share connections (docs/pipelining.md); ``"off"``: none do.
        spill: largest share of reads (0 to 1) for the writer; others raise ``StaleReadError``. None: no limit.
        token_key: signs ``token()``: 16 characters or more, the same everywhere; None: ``RDSKIT_TOKEN_KEY``, or random.

    Raises:
        RdskitError: when the result is awaited or entered: an option is invalid, or the writer cannot be used.
    """
    given = ConnectArguments(credentials, tls, ca, cleartext_password, consistency)._replace(
        readers=readers,
        readable=readable,
        topology=topology,
        timeout=timeout,
        min_size=min_size,
        max_size=max_size,
        max_waiting=max_waiting,
        connect_timeout=connect_timeout,
        application_name=application_name,
        settings=settings,
        codecs=codecs,
        observers=observers,
        processes=processes,
        pinning=pinning,
        pipeline=pipeline,
        spill=spill,
        token_key=token_key,
    )
    return Connecting(target, given)
