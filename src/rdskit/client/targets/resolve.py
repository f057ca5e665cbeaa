"""Resolve a target and options to a driver, credentials, TLS settings and a source of the topology."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.client.credentials import check_credentials, may_send_password
from rdskit.client.failover import ListedHosts, ListedReaders, discovered, prefer_sql
from rdskit.client.failover.access import Access
from rdskit.client.failover.limitless import LimitlessAccess
from rdskit.client.targets.drivers import driver_for, parse
from rdskit.client.targets.location import locate
from rdskit.client.tls import CurrentContext
from rdskit.kernel.endpoints import parse_endpoint
from rdskit.kernel.rds_names import EndpointKind, read_name
from rdskit.kernel.session_settings import refuse_reserved
from rdskit.kernel.targets import DEFAULT_PORTS
from rdskit.runtime.observers import Observers

if TYPE_CHECKING:
    from rdskit.client.failover import Source
    from rdskit.client.targets.location import Located
    from rdskit.client.targets.options import Options
    from rdskit.kernel.sql import Dialect
    from rdskit.kernel.targets import Engine, Target
    from rdskit.runtime.tasks import TaskOwner


@dataclass(frozen=True, slots=True)
class Resolved:
    """A resolved target: everything that is needed to connect."""

    target: Target
    engine: Engine
    dialect: Dialect
    source: Source
    access: Access


async def resolve(text: str, options: Options, owner: TaskOwner) -> Resolved:
    """Resolve a target, without connecting to it.

    Args:
        text: the target.
        options: how to connect.
        owner: owns background work, such as reading a secret for many callers at once.

    Raises:
        ConfigError: the target or an option is invalid, or names something that does not exist.
        RdskitError: a request to AWS failed.
    """
    target = parse(text)
    current_tls = CurrentContext(options.tls, options.ca)
    tls = current_tls()
    check_credentials(options.credentials, encrypted=tls is not None)
    located = await locate(target, options.credentials, owner)
    refuse_reserved(options.settings, located.engine)
    driver, dialect = driver_for(located.target, located.engine)
    access = _access(located)(
        driver.loaded(),
        located.credentials,
        database=located.database,
        tls=tls,
        current_tls=current_tls,
        connect_timeout=options.limits.connect_timeout,
        application_name=options.application_name,
        settings=options.settings,
        codecs=options.codecs,
        pinning=options.pinning,
        pipeline=options.pipeline,
        cleartext_password=may_send_password(options.credentials, allowed=options.cleartext_password),
    )
    source = _chosen_source(located, access, options)
    source = _with_readers(source, options.readers, DEFAULT_PORTS[located.engine])
    return Resolved(located.target, located.engine, dialect, source, access)


def _access(located: Located) -> type[Access]:
    """Return the class that opens connections; a shard group's endpoint has routers to choose from."""
    name = located.target.endpoint and read_name(located.target.endpoint.host)
    return LimitlessAccess if name and name.kind is EndpointKind.ROUTER else Access


def _chosen_source(located: Located, access: Access, options: Options) -> Source:
    """Return the source of the topology: the servers themselves if possible; for a URL, its discovered cluster."""
    endpoint = located.target.endpoint
    # The application lists the hosts itself, so they need no discovery.
    if located.target.others:
        return ListedHosts(located.target.endpoints, access)
    if endpoint is None or located.source.changes:
        return prefer_sql(located.source, access, located.engine)
    if options.topology == "off":
        return located.source
    return discovered(endpoint, access, located.engine, Observers(options.observers))


def _with_readers(source: Source, readers: str | tuple[str, ...], port: int) -> Source:
    return source if isinstance(readers, str) else ListedReaders(source, [parse_endpoint(r, port) for r in readers])
