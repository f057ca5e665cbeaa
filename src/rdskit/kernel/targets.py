"""Parse the first argument of ``rdskit.connect``: a URL, an RDS identifier, or a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_text
from rdskit.kernel.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Engine(Enum):
    """A kind of server; MySQL and MariaDB share one protocol but differ as servers."""

    POSTGRES = "postgres"
    MYSQL = "mysql"
    MARIADB = "mariadb"


_LAST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Scheme:
    """The engine and default port behind a URL scheme.

    Attributes:
        name: its canonical name, without ``://``.
        engine: the engine; None if the RDS API must be asked.
        port: the default port; None if the URL names the identifier of a cluster or instance.
    """

    name: str
    engine: Engine | None
    port: int | None


POSTGRESQL: Final = Scheme("postgresql", Engine.POSTGRES, 5432)
MYSQL: Final = Scheme("mysql", Engine.MYSQL, 3306)
MARIADB: Final = Scheme("mariadb", Engine.MARIADB, 3306)
SERVERS: Final = {"postgresql": POSTGRESQL, "postgres": POSTGRESQL, "mysql": MYSQL, "mariadb": MARIADB}
"""The schemes of servers that speak their engine's own protocol, aliases included."""
DEFAULT_PORTS: Final = {Engine.POSTGRES: 5432, Engine.MYSQL: 3306, Engine.MARIADB: 3306}
_RDS: Final = Scheme("rds", None, None)
FORMS = (
    "postgresql://[user[:password]@]host[:port][,host[:port]…]/dbname, mysql://…, mariadb://…, "
    "rds://[user[:password]@]IDENTIFIER[/dbname], secretsmanager:ID[/dbname] or a name in rdskit.toml"
)
_SOCKETS = (
    "postgresql://user@/dbname?host=/var/run/postgresql or mysql://user@/dbname?unix_socket=/var/run/mysqld/mysqld.sock"
)
#: URL options of drivers and libpq, and the argument that replaces each.
_OPTIONS: Final = {
    "sslmode": "pass tls='verify-full', 'require' or 'off' to rdskit.connect",
    "ssl": "pass tls='verify-full', 'require' or 'off' to rdskit.connect",
    "sslrootcert": "pass ca=PATH to rdskit.connect",
    "ssl_ca": "pass ca=PATH to rdskit.connect",
    "connect_timeout": "pass connect_timeout=SECONDS to rdskit.connect",
    "application_name": "pass application_name=NAME to rdskit.connect",
    "target_session_attrs": "leave it out, rdskit finds the writer by itself",
    "charset": "leave it out, connections use utf8mb4",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ENCODE = "a password or name with ':', '/', '@', '?' or '#' must be percent-encoded"


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed target. Exactly one of ``endpoint``, ``identifier`` and ``secret`` is set.

    Attributes:
        engine: set for a URL with a host; looked up otherwise.
        endpoint: host and port of a URL, or its Unix socket; the first one where it names several.
        others: the further hosts of a URL that names several.
        identifier: the name after ``rds://``: an instance's, a cluster's or the like.
        secret: the text after ``secretsmanager:``. A secret's name may contain slashes, so only reading it shows
            whether the last part is a database name.
        user: login name, or None if the credentials provide it.
        password: password in the URL, or None.
        database: database name, or None for the engine's or the secret's own.
        scheme: the URL's scheme, ``rds`` included; None for a secret and for settings without a URL.
    """

    engine: Engine | None = None
    endpoint: Endpoint | None = None
    identifier: str | None = None
    secret: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    scheme: str | None = None
    others: tuple[Endpoint, ...] = ()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All hosts of the URL."""
        return () if self.endpoint is None else (self.endpoint, *self.others)

    def __str__(self) -> str:
        """Return the target without its password, for messages."""
        if self.secret is not None:
            return f"secretsmanager:{self.secret}"
        user = f"{self.user}@" if self.user else ""
        name = f"/{self.database}" if self.database else ""
        if self.identifier is not None:
            return f"{self.scheme or _RDS.name}://{user}{self.identifier}{name}"
        own = next((scheme.name for scheme in SERVERS.values() if scheme.engine is self.engine), "?")
        return f"{self.scheme or own}://{user}{','.join(map(_written, self.endpoints))}{name}"


def parse_target(text: str, schemes: Mapping[str, Scheme] = SERVERS) -> Target:
    """Parse a target's text.

    Args:
        text: one of the forms in ``FORMS``, or a URL of another known scheme.
        schemes: the known schemes besides ``rds``, by their names in URLs.

    Raises:
        ConfigError: the form is unknown, or a part of it is wrong. The message never contains a password.
    """
    require_text("target", text, example="postgresql://user@host/dbname")
    if text.startswith("secretsmanager:"):
        return _parse_secret(text.removeprefix("secretsmanager:"))
    scheme, separator, _ = text.partition("://")
    if not separator:
        raise ConfigError(f"target {_shown(text)!r} is not one that rdskit knows; write {FORMS}")
    known = _RDS if scheme == _RDS.name else schemes.get(scheme)
    if known is not None:
        return _parse_identifier(text, known) if known.port is None else _parse_url(text, known, known.port)
    if scheme.partition("+")[0] in SERVERS:
        plain = scheme.partition("+")[0]
        raise ConfigError(f"target scheme {scheme!r} names a driver: write {plain}://…, and rdskit uses its own")
    named = f"scheme {scheme!r}" if _is_scheme(scheme) else f"{_shown(text)!r}"
    raise ConfigError(f"target {named} is not one that rdskit knows; write {FORMS}")


def _parse_secret(rest: str) -> Target:
    if not rest:
        raise ConfigError("target 'secretsmanager:' names no secret; write secretsmanager:ID[/dbname]")
    return Target(secret=rest)


def _parse_identifier(text: str, scheme: Scheme) -> Target:
    parts, name = _split(text), scheme.name
    if not parts.hostname:
        raise ConfigError(f"target '{name}://' names no instance; write {name}://[user[:password]@]IDENTIFIER[/dbname]")
    if _port(text) is not None:
        raise ConfigError(f"target '{name}://{parts.hostname}' takes no port: the RDS API has it; leave it out")
    _refuse_options(name for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    return Target(
        scheme=name,
        engine=scheme.engine,
        identifier=parts.hostname,
        user=_decoded(parts.username),
        password=_decoded(parts.password),
        database=_decoded(parts.path.lstrip("/")),
    )


def _parse_url(text: str, scheme: Scheme, port: int) -> Target:
    parts = _split(text)
    first, *others = _endpoints(text, parts, scheme.engine, port)
    return Target(
        scheme=scheme.name,
        engine=scheme.engine,
        endpoint=first,
        user=_decoded(parts.username),
        password=_decoded(parts.password),
        database=_decoded(parts.path.lstrip("/")),
        others=tuple(others),
    )


def _endpoints(text: str, parts: SplitResult, engine: Engine | None, port: int) -> tuple[Endpoint, ...]:
    """Return the hosts of a URL: from its authority, or from options as in libpq and PyMySQL.

    Source: PostgreSQL manual, "Connection URIs": several hosts, and a socket's directory in place of a host.
    """
    hosts = parts.netloc.rpartition("@")[2]
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if engine is Engine.POSTGRES and "host" in options and not hosts:
        ports = options.pop("port", "").split(",")
        given = [_number(text, each) or port for each in ports] or [port]
        hosts_given = options.pop("host").split(",")
        given = given * len(hosts_given) if len(given) == 1 else given
        if len(given) == len(hosts_given) and all(hosts_given):
            _refuse_options(options)
            return tuple(map(Endpoint, hosts_given, given))
    elif (
        engine is not Engine.POSTGRES and not hosts.partition(":")[0] and options.get("unix_socket", "").startswith("/")
    ):
        path = options.pop("unix_socket")
        _refuse_options(options)
        return (Endpoint(path, 0),)
    if not hosts:
        raise ConfigError(f"target {_shown(text)!r} names no host; write {FORMS}; a Unix socket is {_SOCKETS}")
    _refuse_options(options)
    return tuple(_endpoint(text, host, port, engine) for host in hosts.split(","))


def _endpoint(text: str, written: str, port: int, engine: Engine | None) -> Endpoint:
    host, _, number = written.partition(":")
    if unquote(host).startswith("/"):
        return Endpoint(unquote(host), (_number(text, number) or port) if engine is Engine.POSTGRES else 0)
    try:
        parts = urlsplit(f"//{written}")
        name, given = parts.hostname, parts.port
    except ValueError:
        raise _wrong_port(text) from None  # the original message may contain a part of the password
    if not name:
        raise ConfigError(f"target {_shown(text)!r} names no host; write {FORMS}; a Unix socket is {_SOCKETS}")
    return Endpoint(name, given or port)


def _number(text: str, port: str) -> int | None:
    if not port:
        return None
    if not port.isdecimal() or not port.isascii() or int(port) > _LAST_PORT:
        raise _wrong_port(text)
    return int(port)


def _written(endpoint: Endpoint) -> str:
    return str(endpoint._replace(host=quote(endpoint.host, safe=""))) if endpoint.is_unix_socket else str(endpoint)


def _split(text: str) -> SplitResult:
    """Split a URL into its parts.

    The parser's own message may contain a part of the password, so it is dropped.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ConfigError(f"target {_shown(text)!r} is not a URL; write {FORMS}; {_ENCODE}") from None
    if "#" in text or "@" in parts.path + parts.query:  # the parser took a part of the password for the host
        raise ConfigError(f"target {_shown(text)!r} cannot be read; write {FORMS}; {_ENCODE}")
    return parts


def _port(text: str) -> int | None:
    try:
        return urlsplit(text).port
    except ValueError:
        raise _wrong_port(text) from None


def _wrong_port(text: str) -> ConfigError:
    return ConfigError(f"target {_shown(text)!r} has no valid port; write a number from 1 to 65535, or none; {_ENCODE}")


def _refuse_options(names: Iterable[str]) -> None:
    for name in names:
        instead = _OPTIONS.get(name, "pass options to rdskit.connect (tls=, ca=, timeout=, …)")
        raise ConfigError(f"target option {name!r} is not taken from the URL: {instead}")


def _is_scheme(text: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9+.-]*", text, re.IGNORECASE) is not None


def _decoded(part: str | None) -> str | None:
    """Return a part of the URL percent-decoded.

    Raises:
        ConfigError: it contains a control character. A NUL ends names in the protocols: ``app%00x`` would be ``app``.
    """
    decoded = unquote(part) if part else None
    if decoded is not None and _CONTROL.search(decoded):
        raise ConfigError("the target holds a control character, such as %00, in a name or password: leave it out")
    return decoded


def _shown(text: str) -> str:
    """Return the text without a possible password: the part before the last @, else the part after a colon."""
    scheme, separator, rest = text.partition("://")
    if not separator or not _is_scheme(scheme):
        scheme, separator, rest = "", "", text
    _, at, tail = rest.rpartition("@")
    host, colon, _ = rest.partition(":")
    shown = f"…@{tail}" if at else f"{host}:…" if colon else rest
    return f"{scheme}{separator}{shown}"
