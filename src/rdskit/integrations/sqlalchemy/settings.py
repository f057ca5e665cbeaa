"""Settings of an engine: from the URL's query, or from ``create_engine``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rdskit.client.api import MODES, TLS_NAMES, check_credentials, may_send_password
from rdskit.errors import ConfigError
from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.targets import DEFAULT_PORTS, Engine, Target, parse_target

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from sqlalchemy.engine import URL

    from rdskit.client.api import Iam
    from rdskit.kernel.ports import Credentials

#: Keys of a URL's query for the plugin; all others go to the driver.
QUERY_NAMES: Final = ("target", "credentials", "tls", "ca", "timeout", "connect_timeout", "cleartext_password")
LICENSED: Final = ("oracle", "mssql")
ENGINES: Final = {"postgresql": Engine.POSTGRES, "mysql": Engine.MYSQL, "mariadb": Engine.MARIADB}


@dataclass(frozen=True, slots=True)
class Settings:
    """Connection settings of an engine.

    Attributes:
        target: as for ``rdskit.connect``; None uses the URL itself.
        credentials: as for ``rdskit.connect``.
        tls: as for ``rdskit.connect``.
        ca: as for ``rdskit.connect``.
        timeout: seconds that one checkout may look for the writer, retries included.
        connect_timeout: seconds for one attempt to open a connection.
        cleartext_password: as for ``rdskit.connect``.
    """

    target: str | None = field(default=None, repr=False)
    credentials: str | Credentials | Iam | None = field(default=None, repr=False)
    tls: str = "verify-full"
    ca: str | os.PathLike[str] | None = None
    timeout: float = 30.0
    connect_timeout: float = 5.0
    cleartext_password: bool = False

    @property
    def sends_password(self) -> bool:
        """Whether the password may be sent to an unverified server."""
        return may_send_password(self.credentials, allowed=self.cleartext_password)

    def __post_init__(self) -> None:
        if self.tls not in MODES:
            raise ConfigError(f"tls={self.tls!r} is not a mode; choose one of {', '.join(MODES)}")
        for name in ("timeout", "connect_timeout"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}={getattr(self, name)!r} leaves no time; give seconds above 0")
        check_credentials(self.credentials, encrypted=self.tls != "off")


def settings_of(url: URL) -> Settings:
    """Parse the plugin's keys in the query of a SQLAlchemy URL.

    Raises:
        ConfigError: a value is wrong or given twice.
    """
    found: dict[str, Any] = {name: _single(url, name) for name in QUERY_NAMES if name in url.query}
    for name in {"timeout", "connect_timeout"} & found.keys():
        found[name] = _seconds(name, found[name])
    if "cleartext_password" in found:
        found["cleartext_password"] = _switch("cleartext_password", found["cleartext_password"])
    return Settings(**found)


def check_backend(url: URL) -> None:
    """Raise for an engine that rdskit does not support.

    Raises:
        ConfigError: rdskit does not support it.
    """
    if url.get_backend_name() not in {*ENGINES, *LICENSED}:
        known = ", ".join([*ENGINES, *LICENSED])
        raise ConfigError(f"plugin=rdskit in a SQLAlchemy URL for {url.get_backend_name()}: it supports {known}")


def target_of(url: URL, settings: Settings) -> Target:
    """Return the engine's target: ``target=``, else the host of the URL.

    Raises:
        ConfigError: the target's form is wrong, or both are given, or neither.
    """
    if settings.target is not None:
        if url.host or url.password is not None:
            raise ConfigError(f"target={parse_target(settings.target)} and a host or a password in the URL: give one")
        return _completed(parse_target(settings.target), url)
    if not url.host:
        raise ConfigError(
            "the SQLAlchemy URL names no host: write one, or let rdskit find it, as in "
            f"{url.drivername}://?plugin=rdskit&target=rds://IDENTIFIER/dbname"
        )
    engine = ENGINES[url.get_backend_name()]
    endpoint = Endpoint(url.host, url.port or DEFAULT_PORTS[engine])
    password = None if url.password is None else str(url.password)
    return Target(engine=engine, endpoint=endpoint, user=url.username, password=password, database=url.database)


def refuse_tls_names(names: Iterable[str]) -> None:
    """Raise for the driver's own TLS arguments: together with ``tls=`` they would be ambiguous.

    Raises:
        ConfigError: there is one.
    """
    found = sorted(TLS_NAMES & set(names))
    if found:
        raise ConfigError(f"{found[0]}= is the driver's own way to set TLS; leave it out, and use tls= and ca= instead")


def _completed(target: Target, url: URL) -> Target:
    """Return the target, completed with user and database of the URL."""
    if target.secret is not None:
        return target
    user, database = target.user or url.username, target.database or url.database
    return Target(target.engine, target.endpoint, target.identifier, None, user, target.password, database)


def _single(url: URL, name: str) -> str:
    value = url.query[name]
    if not isinstance(value, str):
        raise ConfigError(f"{name}= is in the SQLAlchemy URL {len(value)} times; give it once")
    return value


def _seconds(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{name}={text!r} in the SQLAlchemy URL is not a number of seconds") from None


def _switch(name: str, text: str) -> bool:
    if text not in {"true", "false"}:
        raise ConfigError(f"{name}={text!r} in the SQLAlchemy URL is neither true nor false")
    return text == "true"
