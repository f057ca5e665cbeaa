"""Open one asyncmy connection and set its session up: for a new connection, and again after an abandoned call."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from asyncmy import connection as asyncmy_connection
from asyncmy.constants import CLIENT
from asyncmy.errors import MySQLError

from rdskit.drivers.mysql.codecs import decoders
from rdskit.drivers.mysql.failures import number_of, settings_refused
from rdskit.drivers.mysql.passwords import Abrupt, Guarded
from rdskit.drivers.mysql.values import CONVERSIONS, Arguments
from rdskit.errors import QueryError
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.session_settings import as_assignments
from rdskit.kernel.topology import Role
from rdskit.runtime.keepalive import keep_alive

if TYPE_CHECKING:
    from rdskit.drivers.mysql.codecs import Decoders
    from rdskit.kernel.ports import ConnectOptions, Login

_COM_RESET_CONNECTION: Final = 0x1F
_GONE: Final = frozenset({1094, 1095})  # ER_NO_SUCH_THREAD; ER_KILL_DENIED_ERROR: the id is another user's by now
# rdskit's SQL compiler expects the default lexical modes (no ANSI_QUOTES, no NO_BACKSLASH_ESCAPES). A value that does
# not fit is an error and never truncated: STRICT_TRANS_TABLES alone truncates from the second row on in a table without
# transactions. Without NO_AUTO_VALUE_ON_ZERO a 0 for an AUTO_INCREMENT column is stored as the next number.
# ONLY_FULL_GROUP_BY is a default of MySQL, not of MariaDB.
_STRICT: Final = (
    "STRICT_ALL_TABLES,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,NO_AUTO_VALUE_ON_ZERO,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)
_LARGEST_LIMIT: Final = 2**30  # bytes: the largest max_allowed_packet, until the server's own is known
_MOST_BYTES_OF_A_CHARACTER: Final = 4
_PACKET_TOO_LARGE: Final = 1153
_Connection: Any = asyncmy_connection.Connection
_execute_command: Final = _Connection._execute_command  # noqa: SLF001 - all commands go through this method
_log = logging.getLogger("rdskit.drivers.mysql")


@dataclass(frozen=True, slots=True)
class Flavor:
    """The statements of a session that differ between MySQL and MariaDB.

    Attributes:
        is_mariadb: the server is MariaDB.
        version: major, minor, patch.
    """

    is_mariadb: bool
    version: tuple[int, ...]

    @classmethod
    def of(cls, version: str) -> Flavor:
        """Parse the version of the handshake; MariaDB may put ``5.5.5-`` before its own."""
        numbers = version.removeprefix("5.5.5-").partition("-")[0]
        return cls("mariadb" in version.lower(), tuple(int(part) for part in numbers.split(".") if part.isdecimal()))

    @property
    def set_up(self) -> str:
        """The statement that sets character set, time zone, autocommit and SQL mode."""
        mode = _STRICT if self.is_mariadb else f"ONLY_FULL_GROUP_BY,{_STRICT}"
        return f"set names utf8mb4, time_zone = '+00:00', autocommit = 1, sql_mode = '{mode}'"

    @property
    def read_only(self) -> str:
        """The addition to ``set_up`` for a read-only session; MariaDB kept the older variable name."""
        return f", session {'tx_read_only' if self.is_mariadb else 'transaction_read_only'} = 1"

    @property
    def identify(self) -> str:
        """The query for the server's role, identity, current database role and packet limit."""
        if self.is_mariadb:
            # MariaDB has no super_read_only, and no id of its own before 11.
            reads, server, role = "", "concat_ws('/', @@hostname, @@server_id, @@datadir)", "current_role()"
        else:
            reads, server, role = "or @@global.super_read_only", "@@server_uuid", "null"
        columns = f"@@global.read_only {reads} or @@innodb_read_only, {server}, {role}, @@max_allowed_packet"
        return f"select {columns}"

    def reset_role(self, role: str | None) -> str:
        """Return the statement that restores the roles that the session had after the login.

        Args:
            role: MariaDB's ``current_role()`` after the login; MySQL has ``DEFAULT`` for it.
        """
        if not self.is_mariadb:
            return "set role default"
        return "set role none" if role is None else f"set role `{role.replace('`', '``')}`"


@dataclass(frozen=True, slots=True)
class PreparedSession:
    """A connected session that was set up.

    Attributes:
        raw: asyncmy's connection; untyped, because its stubs lack half of the members used here.
        flavor: the engine's differences.
        role: the role that the server reported.
        server: identifies this server among others behind the same name.
        set_up: the statement that sets the session up again after a reset.
        reset_role: the statement that restores the roles of the login.
        settings: the statement for the application's settings, to run after ``set_up``; or empty.
    """

    raw: Any
    flavor: Flavor
    role: Role
    server: str
    set_up: str
    reset_role: str
    settings: str = field(default="", repr=False)

    async def kill(self, other: PreparedSession) -> None:
        """Kill another session on the same server, and with it the statement that it may still run.

        KILL ends the session, not just its statement: a KILL QUERY that arrives late would hit the next statement.
        """
        if other.server != self.server:
            return  # the name leads to another server now, where the same id is another client's session
        try:
            await self.raw.query(f"kill {other.raw.thread_id()}")
        except MySQLError as error:
            if number_of(error) not in _GONE:
                _log.warning("could not kill the session of an abandoned call on the server: %s", error)

    async def reset(self, database: str | None) -> None:
        """Undo every change that a caller made; the server drops prepared statements with it."""
        await self.raw._execute_command(_COM_RESET_CONNECTION, b"")  # noqa: SLF001 - asyncmy has no call for it
        await self.raw._read_ok_packet()  # noqa: SLF001 - same
        await self.raw.query(self.reset_role)  # COM_RESET_CONNECTION leaves it (MariaDB 11.8)
        await self.raw.query(self.set_up)
        if self.settings:
            await self.raw.query(self.settings)
        if database is not None:
            await self.raw.select_db(database)


async def open_session(raw: Any, options: ConnectOptions) -> PreparedSession:
    """Connect and set up a session; close the connection if that fails.

    Args:
        raw: asyncmy's connection, not connected yet.
        options: whether the session is read only, and its settings.

    Raises:
        Exception: asyncmy's or the socket's.
    """
    try:
        await raw.connect()
        keep_alive(raw._transport.get_extra_info("socket"))  # noqa: SLF001 - asyncmy leaves the intervals as they are
        flavor = Flavor.of(raw.server_version)
        set_up = f"{flavor.set_up}{flavor.read_only if options.read_only else ''}"
        settings = as_assignments(options.settings)
        await raw.query(set_up)
        await _apply_settings(raw, settings)
        await raw.query(flavor.identify)
        (reads, server, role, raw.max_allowed_packet), *_ = raw._result.rows  # noqa: SLF001 - where `query` leaves it
    except BaseException:
        raw.close()
        raise
    reset_role = flavor.reset_role(None if role is None else str(role))
    return PreparedSession(
        raw, flavor, Role.READER if reads else Role.WRITER, str(server), set_up, reset_role, settings
    )


async def _apply_settings(raw: Any, settings: str) -> None:
    """Apply the application's settings to a session.

    Raises:
        SettingsRefusedError: the server does not know one, or refuses its value.
    """
    if not settings:
        return
    try:
        await raw.query(settings)
    except MySQLError as error:
        raise settings_refused(error) from error


class _Raw(Abrupt):
    """asyncmy's connection that refuses commands larger than the server accepts.

    Attributes:
        max_allowed_packet: a command, its command byte included, must have fewer bytes. A server that receives more
            closes the connection in the middle of sending, which looks like a failover.
        arguments: converts the arguments of statements.
        decoders: by type number, the decoders of columns.
    """

    max_allowed_packet = _LARGEST_LIMIT
    arguments: Arguments
    decoders: Decoders
    on_loopback = False

    def _execute_command(self, command: int, content: str | bytes) -> Any:
        size = len(content)
        if size * _MOST_BYTES_OF_A_CHARACTER >= self.max_allowed_packet:
            self._require_room(content)
        return _execute_command(self, command, content)

    def _require_room(self, content: str | bytes) -> None:
        size = len(content.encode() if isinstance(content, str) else content) + 1
        if size >= self.max_allowed_packet:
            message = (
                f"a statement with its parameters takes {size} bytes, and the server takes {self.max_allowed_packet} "
                "(max_allowed_packet): send less at once, or raise the limit in the parameter group"
            )
            raise DriverError(Failure.REFUSED, QueryError(message, sqlstate="08S01", errno=_PACKET_TOO_LARGE))


class _GuardedRaw(Guarded, _Raw):
    """The connection for unverified servers: it also guards the password."""


def new_connection(options: ConnectOptions, login: Login) -> Any:
    """Return an asyncmy connection that is not connected yet."""
    # A Unix socket never leaves the machine: no TLS, and a password may be sent in the clear.
    local = options.endpoint.is_unix_socket
    encrypted = options.tls is not None and not local
    verified = encrypted and options.tls is not None and options.tls.verify_mode is ssl.CERT_REQUIRED
    kind = _Raw if verified or local or options.cleartext_password else _GuardedRaw
    raw: Any = kind(
        host="localhost" if local else options.endpoint.host,
        port=options.endpoint.port,
        unix_socket=options.endpoint.host if local else None,
        user=login.user,
        password=(login.password or "").encode(),
        database=options.database,
        ssl=options.tls if encrypted else None,
        connect_timeout=options.timeout,
        autocommit=None,  # set up with everything else in one statement
        client_flag=CLIENT.FOUND_ROWS,  # rows that matched, as PostgreSQL counts, not rows that changed
        conv=CONVERSIONS,
        program_name=options.application_name,
    )
    raw.on_loopback = options.endpoint.is_loopback
    raw.arguments, raw.decoders = Arguments(options.codecs), decoders(options.codecs)
    # asyncmy always requests MULTI_STATEMENTS. Without it, text injected after a semicolon cannot run.
    raw._client_flag &= ~CLIENT.MULTI_STATEMENTS  # noqa: SLF001 - no option for it
    return raw


def offers_tls(raw: Any) -> bool:
    """Return whether the server's greeting, if it has arrived, offers TLS."""
    return bool(getattr(raw, "server_capabilities", CLIENT.SSL) & CLIENT.SSL)
