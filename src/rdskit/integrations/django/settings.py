"""Parse the entries of ``DATABASES``, beyond what Django itself reads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured

from rdskit.client.api import TLS_NAMES, check_credentials, may_send_password
from rdskit.errors import ConfigError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.targets import DEFAULT_PORTS, Engine, Target, parse_target
from rdskit.kernel.topology import Role

if TYPE_CHECKING:
    import os

    from rdskit.client.api import Iam
    from rdskit.kernel.ports import Credentials

#: Keys of ``OPTIONS`` for rdskit; all others go to the driver.
OPTION_NAMES: Final = frozenset(
    {"credentials", "tls", "ca", "cleartext_password", "timeout", "connect_timeout", "reader_of"}
)
_SHARED: Final = ("HOST", "PORT", "NAME", "USER", "PASSWORD")


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """One entry of ``DATABASES``.

    Attributes:
        target: the parsed HOST.
        credentials: as for ``rdskit.connect``.
        tls: as for ``rdskit.connect``.
        ca: as for ``rdskit.connect``.
        cleartext_password: as for ``rdskit.connect``.
        timeout: seconds to wait for an unreachable host.
        connect_timeout: seconds for one attempt to connect.
        role: the role of the hosts that serve this entry.
    """

    target: Target
    credentials: str | Credentials | Iam | None = field(default=None, repr=False)
    tls: str = "verify-full"
    ca: str | os.PathLike[str] | None = None
    timeout: float = 30.0
    connect_timeout: float = 5.0
    role: Role = Role.WRITER
    cleartext_password: bool = False

    @property
    def sends_password(self) -> bool:
        """Whether the password may be sent to an unverified server."""
        return may_send_password(self.credentials, allowed=self.cleartext_password)


def read_settings(given: dict[str, Any], engine: Engine) -> DatabaseSettings:
    """Parse an entry of ``DATABASES``.

    Args:
        given: the entry.
        engine: the backend's.

    Raises:
        ImproperlyConfigured: a value is not valid.
    """
    options = {name: value for name, value in given["OPTIONS"].items() if name in OPTION_NAMES}
    _refuse_others(given["OPTIONS"])
    role = Role.READER if options.pop("reader_of", None) else Role.WRITER
    try:
        settings = DatabaseSettings(_target(given, engine), role=role, **options)
        check_credentials(settings.credentials, encrypted=settings.tls != "off")
    except ConfigError as error:
        raise ImproperlyConfigured(str(error)) from error
    return settings


def complete(given: dict[str, Any], others: dict[str, dict[str, Any]]) -> None:
    """Fill an entry that has ``reader_of`` with the values of its writer. Doing so twice changes nothing.

    Args:
        given: the entry.
        others: all entries, by alias.

    Raises:
        ImproperlyConfigured: there is no such writer.
    """
    alias = given["OPTIONS"].get("reader_of")
    if alias is None:
        return
    writer = others.get(alias)
    if writer is None or "reader_of" in writer.get("OPTIONS", {}):
        raise ImproperlyConfigured(f"OPTIONS['reader_of'] = {alias!r} names no writer in DATABASES")
    for name in _SHARED:
        given[name] = given.get(name) or writer.get(name, "")
    given["OPTIONS"] = {**writer.get("OPTIONS", {}), **given["OPTIONS"]}
    if not given["TEST"].get("MIRROR"):
        given["TEST"]["MIRROR"] = alias


def _target(given: dict[str, Any], engine: Engine) -> Target:
    host: str = given["HOST"]
    user, password = given["USER"] or None, given["PASSWORD"] or None
    if host.startswith(("rds://", "secretsmanager:")):
        target = parse_target(host)
        return replace(target, user=user or target.user, password=password or target.password)
    if not host or host.startswith("/") or "://" in host:
        raise ImproperlyConfigured(
            f"HOST = {host!r} is not a host: give a host name, rds://IDENTIFIER or secretsmanager:ID; "
            "for a server behind a Unix socket use Django's own backend"
        )
    endpoint = Endpoint(host, int(given["PORT"] or DEFAULT_PORTS[engine]))
    return Target(engine=engine, endpoint=endpoint, user=user, password=password)


def _refuse_others(options: dict[str, Any]) -> None:
    if options.get("pool"):
        raise ImproperlyConfigured(
            "OPTIONS['pool'] would keep connections to a former writer after a failover; leave it out and set "
            "CONN_MAX_AGE, whose connections this backend verifies"
        )
    clashes = sorted(TLS_NAMES.intersection(options))
    if clashes:
        raise ImproperlyConfigured(f"OPTIONS[{clashes[0]!r}] is decided by OPTIONS['tls'] and OPTIONS['ca']: use these")
