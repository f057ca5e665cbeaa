"""Run the engine's own client, ``psql``, ``mysql`` or ``mariadb``, with rdskit's target, credentials and TLS."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rdskit.client.api import MODES, Destination, authority_file, check_credentials, may_send_password, parse
from rdskit.errors import ConfigError
from rdskit.kernel.targets import Engine

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import Login

_PROGRAMS: Final = {
    Engine.POSTGRES: ("psql",),
    Engine.MYSQL: ("mysql", "mariadb"),
    Engine.MARIADB: ("mariadb", "mysql"),
}
_SSL_MODES: Final = {"verify-full": "VERIFY_IDENTITY", "require": "REQUIRED", "off": "DISABLED"}


class Program(NamedTuple):
    """A program to execute.

    Attributes:
        arguments: its path and its arguments; no secret is among them, because every user can see them.
        environment: variables to add, the password among them.
    """

    arguments: list[str]
    environment: dict[str, str]

    def __repr__(self) -> str:
        """Return the arguments only, because the environment has the password."""
        return f"Program({self.arguments!r})"


async def native_program(target: str, options: dict[str, Any], statements: str | None) -> Program:
    """Return the command of the engine's own client, connected to the writer of a target.

    Args:
        target: as for ``rdskit.connect``.
        options: ``credentials``, ``tls``, ``ca`` and ``cleartext_password`` of ``rdskit.connect``, where given.
        statements: the statements to run; None for an interactive prompt.

    Raises:
        ConfigError: no client is installed, or an option is wrong.
        RdskitError: the target cannot be looked up.
    """
    tls, credentials = options.get("tls", MODES[0]), options.get("credentials")
    check_credentials(credentials, encrypted=tls != "off")
    destination = Destination(parse(target), credentials)
    located = await destination.located()
    program = next(filter(None, map(shutil.which, _PROGRAMS[located.engine])), None)
    if program is None:
        names = " or ".join(_PROGRAMS[located.engine])
        raise ConfigError(f"{names} is not installed: install it, or leave --native out")
    topology = await destination.topology()
    host = topology.writer or topology.entry
    if host is None:
        raise ConfigError(f"{target} leads to no host that could be the writer")
    login = await destination.login(host.endpoint)
    further = [] if statements is None else ["-c" if located.engine is Engine.POSTGRES else "-e", statements]
    ca = authority_file(options.get("ca")) if tls == "verify-full" else None
    if located.engine is Engine.POSTGRES:
        return _psql(program, host.endpoint, login, located.database, tls, ca, further)
    clear = may_send_password(credentials, allowed=options.get("cleartext_password", False))
    return _mysql(program, host.endpoint, login, located.database, tls, ca, [*_cleartext(program, clear), *further])


def _psql(
    program: str, endpoint: Endpoint, login: Login, database: str | None, tls: str, ca: str | None, further: list[str]
) -> Program:
    variables = {
        "PGHOST": endpoint.host,
        "PGPORT": str(endpoint.port),
        "PGUSER": login.user,
        "PGPASSWORD": login.password or "",
        "PGDATABASE": database or login.user,
        "PGSSLMODE": "disable" if tls == "off" else tls,
        "PGAPPNAME": "rdskit shell",
    }
    return Program([program, *further], variables | ({"PGSSLROOTCERT": ca} if ca else {}))


def _mysql(
    program: str, endpoint: Endpoint, login: Login, database: str | None, tls: str, ca: str | None, further: list[str]
) -> Program:
    tcp = ["--host", endpoint.host, "--port", str(endpoint.port)]
    where = ["--socket", endpoint.host] if endpoint.is_unix_socket else tcp
    if program.endswith("mariadb"):
        ssl = ["--skip-ssl"] if tls == "off" else ["--ssl", *(["--ssl-verify-server-cert"] if ca else [])]
    else:
        ssl = [f"--ssl-mode={_SSL_MODES[tls]}"]
    authority = ["--ssl-ca", ca] if ca else []
    arguments = [program, *where, "--user", login.user, *ssl, *authority, *further, *([database] if database else [])]
    return Program(arguments, {"MYSQL_PWD": login.password or ""})


def _cleartext(program: str, allowed: bool) -> list[str]:  # noqa: FBT001 - the one flag, named by the parameter
    """Return the option that lets MySQL's client send a token in the clear; MariaDB's does so over TLS by itself."""
    return ["--enable-cleartext-plugin"] if allowed and not program.endswith("mariadb") else []
