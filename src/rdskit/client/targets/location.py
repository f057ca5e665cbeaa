"""Look up a target's engine, hosts and credentials, for all drivers and frameworks."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.aws.custom_endpoints import describe_custom_endpoint
from rdskit.aws.global_clusters import configured_region, describe_global_cluster
from rdskit.aws.rds import InstanceDescription, describe_cluster, describe_instance
from rdskit.client.credentials import (
    EnvironmentCredentials,
    Iam,
    MasterUserCredentials,
    SecretContent,
    SecretStore,
    StoredCredentials,
    choose_credentials,
    read_content,
)
from rdskit.client.failover import (
    ClusterSource,
    GlobalSource,
    InstanceSource,
    NearReaders,
    Source,
    StaticSource,
    selected,
)
from rdskit.drivers.greeting import engine_at
from rdskit.errors import AwsError, ConfigError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.targets import DEFAULT_PORTS, Engine, Target

if TYPE_CHECKING:
    from rdskit.kernel.ports import Credentials
    from rdskit.runtime.tasks import TaskOwner

_ANY: Final = Endpoint("", 0)  # the environment has the same login for every host
_ENGINES = {
    "postgres": Engine.POSTGRES,
    "postgresql": Engine.POSTGRES,
    "aurora-postgresql": Engine.POSTGRES,
    "mysql": Engine.MYSQL,
    "aurora": Engine.MYSQL,
    "aurora-mysql": Engine.MYSQL,
    "mariadb": Engine.MARIADB,
}


class _Found(NamedTuple):
    """The server of a target, without its credentials.

    Attributes:
        engine: the kind of server.
        database: the initial database, or None.
        source: the source of the topology.
        secret: ARN of the master user's secret, if RDS manages it.
    """

    engine: Engine
    database: str | None
    source: Source
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """A target that has been looked up.

    Attributes:
        target: the given target; for a secret, the target that the secret describes.
        engine: the kind of server.
        database: the target's database, else the instance's initial one.
        source: the source of the topology.
        credentials: the source of logins.
    """

    target: Target
    engine: Engine
    database: str | None
    source: Source
    credentials: Credentials


async def locate(target: Target, option: str | Credentials | Iam | None, owner: TaskOwner) -> Located:
    """Look a target up, without connecting to it.

    Args:
        target: the parsed target.
        option: ``credentials=`` of ``rdskit.connect``, checked.
        owner: owns background work, such as reading a secret for many callers at once.

    Raises:
        ConfigError: the target names something that does not exist.
        RdskitError: a request to AWS failed.
    """
    credentials: Credentials | None = None
    if target.secret is not None:
        target, credentials = await _from_secret(target.secret, owner)
    found = await _look_up_target(target)
    if credentials is None or option is not None:
        credentials = choose_credentials(option, target, found.engine, owner)
    # The master user is the last resort: any user that the target, the environment or credentials= names comes first.
    if option is None and found.secret is not None and await _names_no_user(credentials):
        assert target.identifier is not None, target
        credentials = MasterUserCredentials(target.identifier, found.secret, credentials, owner)
    return Located(target, found.engine, target.database or found.database, found.source, credentials)


async def _names_no_user(credentials: Credentials) -> bool:
    """Return whether neither the target nor the environment names a user."""
    if not isinstance(credentials, EnvironmentCredentials):
        return False
    try:
        await credentials.login(_ANY)
    except ConfigError:
        return True
    return False


async def _look_up_target(target: Target) -> _Found:
    if target.identifier is None:
        assert target.engine is not None, target
        return _Found(target.engine, None, StaticSource(*target.endpoints))
    try:
        instance = await describe_instance(target.identifier)
    except ConfigError as no_instance:
        for look_up in (_of_cluster, _of_global_cluster, _of_custom_endpoint):
            # Of several failures, raise that of the instance: its message lists the existing identifiers.
            with contextlib.suppress(AwsError, ConfigError):
                return await look_up(target.identifier)
        raise no_instance from None
    # A member of a cluster may become writer or reader at any time: use the whole cluster.
    if instance.cluster is not None:
        return await _of_cluster(instance.cluster)
    source = InstanceSource(target.identifier)
    return _Found(_engine(instance.engine), instance.database, source, await _secret_of(instance))


async def _secret_of(instance: InstanceDescription) -> str | None:
    """Return the ARN of the master user's secret; for a read replica that of its source, whose users it has."""
    if instance.secret is None and instance.source is not None and not instance.source.startswith("arn:"):
        with contextlib.suppress(AwsError, ConfigError):  # optional: the target or the environment may name a user
            return (await describe_instance(instance.source)).secret
    return instance.secret


async def _of_cluster(identifier: str) -> _Found:
    cluster = await describe_cluster(identifier)
    source = ClusterSource(identifier, aurora=cluster.is_aurora)
    return _Found(_engine(cluster.engine), cluster.database, source, cluster.secret)


async def _of_custom_endpoint(identifier: str) -> _Found:
    custom = await describe_custom_endpoint(identifier)
    whole = await _of_cluster(custom.cluster)
    return whole._replace(source=selected(whole.source, custom.selection, custom.endpoint))


async def _of_global_cluster(identifier: str) -> _Found:
    found = await describe_global_cluster(identifier)
    source = NearReaders(GlobalSource(identifier), await configured_region())
    return _Found(_engine(found.engine), found.database, source)


async def _from_secret(identifier: str, owner: TaskOwner) -> tuple[Target, Credentials]:
    """Return the target that a secret describes; ``ID/DBNAME`` names a database unless there is such a secret."""
    database = None
    try:
        secret = await read_content(identifier)
    except ConfigError:
        identifier, slash, database = identifier.rpartition("/")
        if not slash or not identifier:
            raise
        secret = await read_content(identifier)
    target = await _target_of(secret, identifier, database)
    return target, StoredCredentials(SecretStore(identifier), target.user, owner)


async def _target_of(secret: SecretContent, identifier: str, database: str | None) -> Target:
    name = database or secret.database
    if secret.instance:
        return Target(identifier=secret.instance, user=secret.user, database=name)
    if not secret.host:
        keys = ", ".join(secret.keys) or "none"
        raise ConfigError(
            f"secret {identifier!r} names no host (its keys are: {keys}); give the target as "
            f"rds://IDENTIFIER with credentials='secretsmanager:{identifier}'"
        )
    engine = _engine(secret.engine) if secret.engine else await _guessed_engine(secret.host, secret.port, identifier)
    endpoint = Endpoint(secret.host, secret.port or DEFAULT_PORTS[engine])
    return Target(engine=engine, endpoint=endpoint, user=secret.user, database=name)


async def _guessed_engine(host: str, port: int | None, secret: str) -> Engine:
    """Return the engine of a secret that does not name it, by its port or by its server's greeting.

    Raises:
        ConfigError: neither identifies the engine.
    """
    for engine in (Engine.POSTGRES, Engine.MYSQL):
        if port == DEFAULT_PORTS[engine]:
            return engine
    # MySQL and MariaDB share a default port, so there are fewer ports than engines.
    ports = (port,) if port else dict.fromkeys(DEFAULT_PORTS.values())
    for each in ports:
        found = await engine_at(Endpoint(host, each))
        if found is not None:
            return found
    where = f"{host}:{port}" if port else host
    raise ConfigError(
        f"secret {secret!r} names no engine, and {where} does not answer as one of them: add the key 'engine' with "
        "'postgres', 'mysql' or 'mariadb' to the secret"
    )


def _engine(name: str) -> Engine:
    engine = _ENGINES.get(name)
    if engine is None:
        raise ConfigError(f"engine {name!r} is not supported yet; rdskit connects to: {', '.join(sorted(_ENGINES))}")
    return engine
