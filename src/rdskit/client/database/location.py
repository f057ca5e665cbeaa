"""Where a target is, and who logs in to it: what every way of connecting needs, whatever the driver."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.aws.custom_endpoints import describe_custom_endpoint
from rdskit.aws.global_clusters import configured_region, describe_global_cluster
from rdskit.aws.rds import describe_cluster, describe_instance
from rdskit.client.credentials import (
    Iam,
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
from rdskit.errors import AwsError, ConfigError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.targets import DEFAULT_PORTS, Engine, Target

if TYPE_CHECKING:
    from rdskit.kernel.ports import Credentials
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


@dataclass(frozen=True, slots=True)
class Located:
    """A target, looked up.

    Attributes:
        target: what was asked for; for a secret, what the secret says.
        engine: the kind of server.
        database: the target's own, else the instance's initial one.
        source: tells the topology.
        credentials: who logs in.
    """

    target: Target
    engine: Engine
    database: str | None
    source: Source
    credentials: Credentials


async def locate(target: Target, option: str | Credentials | Iam | None, owner: TaskOwner) -> Located:
    """Look a target up; nothing is connected yet.

    Args:
        target: as parsed.
        option: ``credentials=`` of ``rdskit.connect``, checked.
        owner: keeps background work, such as reading a secret for many callers at once.

    Raises:
        ConfigError: the target names something that does not exist.
        RdskitError: AWS could not be asked.
    """
    credentials: Credentials | None = None
    if target.secret is not None:
        target, credentials = await _from_secret(target.secret, owner)
    engine, database, source = await _topology(target)
    if credentials is None or option is not None:
        credentials = choose_credentials(option, target, engine, owner)
    return Located(target, engine, target.database or database, source, credentials)


async def _topology(target: Target) -> tuple[Engine, str | None, Source]:
    if target.identifier is None:
        assert target.engine is not None, target
        assert target.endpoint is not None, target
        return target.engine, None, StaticSource(target.endpoint)
    try:
        instance = await describe_instance(target.identifier)
    except ConfigError as no_instance:
        for look_up in (_of_cluster, _of_global_cluster, _of_custom_endpoint):
            with contextlib.suppress(AwsError, ConfigError):  # the first refusal says most: it names what there is
                return await look_up(target.identifier)
        raise no_instance from None
    if instance.cluster is not None:
        return await _of_cluster(instance.cluster)
    return _engine(instance.engine), instance.database, InstanceSource(target.identifier)


async def _of_cluster(identifier: str) -> tuple[Engine, str | None, Source]:
    cluster = await describe_cluster(identifier)
    return _engine(cluster.engine), cluster.database, ClusterSource(identifier, aurora=cluster.is_aurora)


async def _of_custom_endpoint(identifier: str) -> tuple[Engine, str | None, Source]:
    custom = await describe_custom_endpoint(identifier)
    engine, database, source = await _of_cluster(custom.cluster)
    return engine, database, selected(source, custom.selection, custom.endpoint)


async def _of_global_cluster(identifier: str) -> tuple[Engine, str | None, Source]:
    found = await describe_global_cluster(identifier)
    return _engine(found.engine), found.database, NearReaders(GlobalSource(identifier), await configured_region())


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
