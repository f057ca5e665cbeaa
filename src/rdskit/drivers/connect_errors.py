"""Error messages of connections that cannot be opened, where they do not depend on the engine: network, names, TLS."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from rdskit.errors import ConnectError, QueryError, ReadOnlyError, TLSError
from rdskit.kernel.connect_errors import AWAY, NAME, connect_error
from rdskit.kernel.failures import Failure
from rdskit.kernel.ports import DriverError
from rdskit.kernel.server_words import escaped

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint
    from rdskit.kernel.ports import ConnectOptions, Login

_UNKNOWN_AUTHORITY = "pass ca=PATH or set RDSKIT_CA to the authority that signed it"
_ANOTHER_NAME = "connect by the name that RDS gives as the endpoint; an alias or an address is not in the certificate"
_ITS_DATES = "check this machine's clock, and whether the server's certificate has to be renewed"
# By X509_V_ERR_… of OpenSSL: not yet valid, expired, mismatch of host name, e-mail and address.
_CERTIFICATE_ADVICE = {9: _ITS_DATES, 10: _ITS_DATES, 62: _ANOTHER_NAME, 63: _ANOTHER_NAME, 64: _ANOTHER_NAME}


def refused_by_network(error: Exception, options: ConnectOptions) -> DriverError:
    """Return the error for a failure of the socket or of its TLS layer; ``LOST`` is worth another attempt."""
    endpoint = options.endpoint
    if isinstance(error, ssl.SSLError):
        return DriverError(Failure.REFUSED, TLSError(_tls_message(error, endpoint)))
    if isinstance(error, socket.gaierror):
        return connect_error(NAME, endpoint, str(error.strerror))
    if isinstance(error, TimeoutError):
        message = f"{endpoint} did not answer within {options.timeout:g} s; check the security group and the network"
        return DriverError(Failure.LOST, ConnectError(message))
    return connect_error(AWAY, endpoint, error_text(error))


def unknown_database(options: ConnectOptions, login: Login) -> DriverError:
    """Return the error for a database that the server does not have; without a name, the user's was tried."""
    named = options.database or login.user
    why = "" if options.database else " (no database was named, so the one with the user's name was tried)"
    message = (
        f"database {named!r} does not exist at {options.endpoint}{why}; create it, or name another one in the target, "
        "as in …/dbname"
    )
    return DriverError(Failure.REFUSED, ConnectError(message))


def write_refused(error: DriverError, endpoint: Endpoint) -> DriverError:
    """Return the error for a write on a read-only session: it names the next step, and is no sign of a failover."""
    refusal = error.public
    message = f"{refusal}; {endpoint} was connected to read only: connect by the cluster's own endpoint to write"
    codes = (refusal.sqlstate, refusal.errno) if isinstance(refusal, QueryError) else (None, None)
    return DriverError(Failure.REFUSED, ReadOnlyError(message, sqlstate=codes[0], errno=codes[1]))


def error_text(error: BaseException) -> str:
    """Return an error's own text, escaped for terminals and logs, or its class name where it has none."""
    return escaped(str(error)) or type(error).__name__


def _tls_message(error: ssl.SSLError, endpoint: Endpoint) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = _CERTIFICATE_ADVICE.get(error.verify_code, _UNKNOWN_AUTHORITY)
        return f"the certificate of {endpoint} was refused: {error.verify_message}; {advice}"
    return f"TLS with {endpoint} failed: {error}"
