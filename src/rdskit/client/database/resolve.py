"""From a target and options to what a connection needs: driver, credentials, TLS, and where the topology comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.aws.rds import describe_instance
from rdskit.client.credentials import (
    SecretContent,
    SecretStore,
    StoredCredentials,
    check_credentials,
    choose_credentials,
    read_content,
)
from rdskit.client.failover import InstanceSource, Source, StaticSource
from rdskit.client.failover.cluster import Access
from rdskit.client.tls import tls_context
from rdskit.errors import ConfigError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.sql import Dialect
from rdskit.kernel.targets import DEFAULT_PORTS, Engine, Target, parse_target

if TYPE_CHECKING:
    from rdskit.client.database.options import Options
    from rdskit.kernel.ports import Credentials, Driver
    from rdskit.runtime.tasks import TaskOwner

_ENGINES = {
    "postgres": Engine.POSTGRES,
    "postgresql": Engine.POSTGRES,
    "aurora-postgresql": Engine.POSTGRES,
    "mysql": Engine.MYSQL,
    "aurora": Engine.MYSQL,
    "aurora-mysql": Engine.MYSQL,
    "mariadb": Engine.MARIADB,
}
_DIALECTS = {Engine.POSTGRES: Dialect.POSTGRES, Engine.MYSQL: Dialect.MYSQL, Engine.MARIADB: Dialect.MYSQL}


@dataclass(frozen=True, slots=True)
class Resolved:
    """A target, looked up."""

    target: Target
    engine: Engine
    dialect: Dialect
    source: Source
    access: Access


async def resolve(text: str, options: Options, owner: TaskOwner) -> Resolved:
    """Look a target up; nothing is connected yet.

    Args:
        text: the target.
        options: how to connect.
        owner: keeps background work, such as reading a secret for many callers at once.

    Raises:
        ConfigError: the target or an option is wrong, or names something that does not exist.
        RdskitError: AWS could not be asked.
    """
    target = parse_target(text)
    tls = tls_context(options.tls, options.ca)
    check_credentials(options.credentials, encrypted=tls is not None)
    credentials: Credentials | None = None
    if target.secret is not None:
        target, credentials = await _from_secret(target.secret, owner)
    engine, database, source = await _located(target)
    if credentials is None or options.credentials is not None:
        credentials = choose_credentials(options.credentials, target, engine, owner)
    access = Access(
        _driver(engine),
        credentials,
        database=target.database or database,
        tls=tls,
        connect_timeout=options.limits.connect_timeout,
        application_name=options.application_name,
    )
    return Resolved(target, engine, _DIALECTS[engine], source, access)


async def _located(target: Target) -> tuple[Engine, str | None, Source]:
    if target.identifier is None:
        assert target.engine is not None, target
        assert target.endpoint is not None, target
        return target.engine, None, StaticSource(target.endpoint)
    instance = await describe_instance(target.identifier)
    return _engine(instance.engine), instance.database, InstanceSource(target.identifier)


async def _from_secret(identifier: str, owner: TaskOwner) -> tuple[Target, Credentials]:
    """A target that comes from a secret as a whole; the last part is a database name if no secret is called so."""
    database = None
    try:
        secret = await read_content(identifier)
    except ConfigError:
        identifier, slash, database = identifier.rpartition("/")
        if not slash or not identifier:
            raise
        secret = await read_content(identifier)
    target = _target_of(secret, identifier, database)
    return target, StoredCredentials(SecretStore(identifier), target.user, owner)


def _target_of(secret: SecretContent, identifier: str, database: str | None) -> Target:
    name = database or secret.database
    if secret.instance:
        return Target(identifier=secret.instance, user=secret.user, database=name)
    if not secret.host:
        keys = ", ".join(secret.keys) or "none"
        raise ConfigError(
            f"secret {identifier!r} names no host (its keys are: {keys}); give the target as "
            f"rds://IDENTIFIER with credentials='secretsmanager:{identifier}'"
        )
    engine = _engine(secret.engine or "postgres")
    endpoint = Endpoint(secret.host, secret.port or DEFAULT_PORTS[engine])
    return Target(engine=engine, endpoint=endpoint, user=secret.user, database=name)


def _engine(name: str) -> Engine:
    engine = _ENGINES.get(name)
    if engine is None:
        raise ConfigError(f"engine {name!r} is not supported yet; rdskit connects to: {', '.join(sorted(_ENGINES))}")
    return engine


def _driver(engine: Engine) -> Driver:
    return _postgres_driver() if engine is Engine.POSTGRES else _mysql_driver()


def _postgres_driver() -> Driver:
    try:
        from rdskit.drivers.postgres import AsyncpgDriver  # noqa: PLC0415 - an optional driver, loaded on first use
    except ImportError as error:
        raise ConfigError("PostgreSQL needs asyncpg, which is not installed: pip install 'rdskit[postgres]'") from error
    return AsyncpgDriver()


def _mysql_driver() -> Driver:
    try:
        from rdskit.drivers.mysql import AsyncmyDriver  # noqa: PLC0415 - an optional driver, loaded on first use
    except ImportError as error:
        raise ConfigError(
            "MySQL and MariaDB need asyncmy, which is not installed: pip install 'rdskit[mysql]'"
        ) from error
    return AsyncmyDriver()
