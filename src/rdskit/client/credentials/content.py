"""Parse the text of a secret or parameter, in every format that RDS writes.

RDS's managed secrets hold ``username`` and ``password``. Those of the console and of the rotation functions add
``engine``, ``host``, ``port``, ``dbname``, ``dbInstanceIdentifier`` or ``dbClusterIdentifier``, and ``masterarn`` if a
second user rotates them. Secrets of other tools use ``database`` instead of ``dbname``. A text that is not a JSON
object is a bare password.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from rdskit.errors import ConfigError
from rdskit.kernel.ports import Login


@dataclass(frozen=True, slots=True)
class SecretContent:
    """The content of one secret.

    Attributes:
        name: name of the secret, for messages.
        user: login name, or None.
        password: its password, or None.
        engine: as RDS names it (``postgres``, ``aurora-mysql``…), or None.
        host: host name of the server, or None.
        port: port of the server, or None.
        database: initial database, or None.
        instance: DB instance identifier, or None.
        cluster: DB cluster identifier, or None.
        keys: all keys of the JSON object, for messages; empty for a bare password.
    """

    name: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    engine: str | None = None
    host: str | None = None
    port: int | None = None
    database: str | None = None
    instance: str | None = None
    cluster: str | None = None
    keys: tuple[str, ...] = ()

    def login(self, user: str | None = None) -> Login:
        """Return user and password.

        Args:
            user: login name to use if the secret has none.

        Raises:
            ConfigError: one of them is missing. The message lists the keys, never a value.
        """
        chosen = self.user or user
        # A JSON object must hold both; a bare password (no keys) takes its user from the target.
        if self.password is None or (not chosen and self.keys):
            found = ", ".join(self.keys) or "none"
            raise ConfigError(f"{self.name} has no 'username' and 'password'; its keys are: {found}")
        if not chosen:
            raise ConfigError(
                f"{self.name} is a password only; name its user in the target, as in rds://USER@IDENTIFIER"
            )
        return Login(chosen, self.password)


def parse_content(text: str, name: str) -> SecretContent:
    """Parse a secret's text.

    Args:
        text: a JSON object in one of RDS's formats, or a bare password.
        name: name of the secret, for messages.

    Raises:
        ConfigError: it looks like JSON but is invalid, or a value has the wrong type. The message never quotes the
            text.
    """
    given = _object_in(text, name)
    if given is None:
        return SecretContent(name, password=text)
    return SecretContent(
        name,
        user=_text(given, "username", name),
        password=_text(given, "password", name),
        engine=_text(given, "engine", name),
        host=_text(given, "host", name),
        port=_port(given, name),
        database=_text(given, "dbname", name) or _text(given, "database", name),
        instance=_text(given, "dbInstanceIdentifier", name),
        cluster=_text(given, "dbClusterIdentifier", name),
        keys=tuple(sorted(given)),
    )


def _object_in(text: str, name: str) -> dict[str, Any] | None:
    """Return the text's JSON object; None for a bare password."""
    # Only braces make it JSON: a bare password may look like a JSON number or string.
    stripped = text.strip()
    if not (stripped.startswith("{") and stripped.endswith("}")):
        return None
    try:
        found = json.loads(stripped)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        # Without the parser's error, which holds the text.
        raise ConfigError(f"{name} looks like a JSON object but is not valid JSON: store it again")
    return found


def _text(given: dict[str, Any], key: str, name: str) -> str | None:
    value = given.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ConfigError(f"{name} has a {key!r} of type {type(value).__name__}: store it as text")
    return value


def _port(given: dict[str, Any], name: str) -> int | None:
    value = given.get("port")
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not str(value).isdecimal():
        raise ConfigError(f"{name} has a 'port' that is not a number: correct it")
    return int(value)
