"""What the first argument of ``rdskit.connect`` names: a URL, an RDS identifier, or a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from rdskit.errors import ConfigError
from rdskit.kernel.endpoints import Endpoint


class Engine(Enum):
    """A kind of server; MySQL and MariaDB speak one protocol and differ in what lies behind it."""

    POSTGRES = "postgres"
    MYSQL = "mysql"
    MARIADB = "mariadb"


DEFAULT_PORTS = {Engine.POSTGRES: 5432, Engine.MYSQL: 3306, Engine.MARIADB: 3306}
_SCHEMES = {
    "postgresql": Engine.POSTGRES,
    "postgres": Engine.POSTGRES,
    "mysql": Engine.MYSQL,
    "mariadb": Engine.MARIADB,
}
_SHOWN_SCHEMES = {Engine.POSTGRES: "postgresql", Engine.MYSQL: "mysql", Engine.MARIADB: "mariadb"}
FORMS = (
    "postgresql://[user[:password]@]host[:port]/dbname, mysql://…, mariadb://…, "
    "rds://[user[:password]@]IDENTIFIER[/dbname] or secretsmanager:ID[/dbname]"
)
_ENCODE = "a password or name with ':', '/', '@', '?' or '#' must be percent-encoded"


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed target. Exactly one of ``endpoint``, ``identifier`` and ``secret`` is set.

    Attributes:
        engine: known for a URL; looked up otherwise.
        endpoint: host and port of a URL.
        identifier: DB instance identifier of ``rds://``.
        secret: what follows ``secretsmanager:``. A secret's own name may hold slashes, so only whoever reads it can
            tell whether the last part is a database name.
        user: login name, or None where the credentials give it.
        password: password in the URL, or None.
        database: database name, or None for the engine's or the secret's own.
    """

    engine: Engine | None = None
    endpoint: Endpoint | None = None
    identifier: str | None = None
    secret: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None

    def __str__(self) -> str:
        """The target without its password, for messages."""
        if self.secret is not None:
            return f"secretsmanager:{self.secret}"
        user = f"{self.user}@" if self.user else ""
        name = f"/{self.database}" if self.database else ""
        if self.identifier is not None:
            return f"rds://{user}{self.identifier}{name}"
        scheme = _SHOWN_SCHEMES[self.engine] if self.engine is not None else "?"
        return f"{scheme}://{user}{self.endpoint}{name}"


def parse_target(text: str) -> Target:
    """Read a target.

    Args:
        text: one of the forms in ``FORMS``.

    Raises:
        ConfigError: the form is not known, or a part of it is wrong. The message never repeats a password.
    """
    if text.startswith("secretsmanager:"):
        return _parse_secret(text.removeprefix("secretsmanager:"))
    scheme, separator, _ = text.partition("://")
    if not separator:
        raise ConfigError(f"target {_shown(text)!r} is not one that rdskit knows; write {FORMS}")
    if scheme == "rds":
        return _parse_identifier(text)
    if scheme in _SCHEMES:
        return _parse_url(text, _SCHEMES[scheme])
    named = f"scheme {scheme!r}" if _is_scheme(scheme) else f"{_shown(text)!r}"
    raise ConfigError(f"target {named} is not one that rdskit knows; write {FORMS}")


def _parse_secret(rest: str) -> Target:
    if not rest:
        raise ConfigError("target 'secretsmanager:' names no secret; write secretsmanager:ID[/dbname]")
    return Target(secret=rest)


def _parse_identifier(text: str) -> Target:
    parts = _split(text)
    if not parts.hostname:
        raise ConfigError("target 'rds://' names no instance; write rds://[user[:password]@]IDENTIFIER[/dbname]")
    if _port(text) is not None:
        raise ConfigError(f"target 'rds://{parts.hostname}' takes no port: RDS tells it; leave it out")
    _refuse_options(parts.query)
    return Target(
        identifier=parts.hostname,
        user=_decoded(parts.username),
        password=_decoded(parts.password),
        database=_decoded(parts.path.lstrip("/")),
    )


def _parse_url(text: str, engine: Engine) -> Target:
    parts = _split(text)
    if not parts.hostname:
        raise ConfigError(f"target {_shown(text)!r} names no host; write {FORMS}")
    _refuse_options(parts.query)
    return Target(
        engine=engine,
        endpoint=Endpoint(parts.hostname, _port(text) or DEFAULT_PORTS[engine]),
        user=_decoded(parts.username),
        password=_decoded(parts.password),
        database=_decoded(parts.path.lstrip("/")),
    )


def _split(text: str) -> SplitResult:
    """The parts of a URL. The parser's own words may hold a part of the password, so they are left out."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ConfigError(f"target {_shown(text)!r} is not a URL; write {FORMS}; {_ENCODE}") from None
    if "#" in text or "@" in parts.path + parts.query:  # what came before it was taken for the host
        raise ConfigError(f"target {_shown(text)!r} cannot be read; write {FORMS}; {_ENCODE}")
    return parts


def _port(text: str) -> int | None:
    try:
        return urlsplit(text).port
    except ValueError:
        message = f"target {_shown(text)!r} has no valid port; write a number from 1 to 65535, or none; {_ENCODE}"
        raise ConfigError(message) from None


def _refuse_options(query: str) -> None:
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    if names:
        raise ConfigError(
            f"target option {names[0]!r} is not taken from the URL; pass it to rdskit.connect (tls=, ca=, timeout=, …)"
        )


def _is_scheme(text: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9+.-]*", text, re.IGNORECASE) is not None


def _decoded(part: str | None) -> str | None:
    return unquote(part) if part else None


def _shown(text: str) -> str:
    """The text without anything that could be a password: before the last @, or where there is none after a colon."""
    scheme, separator, rest = text.partition("://")
    if not separator or not _is_scheme(scheme):
        scheme, separator, rest = "", "", text
    _, at, tail = rest.rpartition("@")
    host, colon, _ = rest.partition(":")
    shown = f"…@{tail}" if at else f"{host}:…" if colon else rest
    return f"{scheme}{separator}{shown}"
