"""Translate ``tls=`` into the connect arguments of the drivers that applications use directly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rdskit.client.tls.authority_file import authority_file
from rdskit.client.tls.context import tls_context
from rdskit.errors import ConfigError

if TYPE_CHECKING:
    import os

_LIBPQ: Final = frozenset({"psycopg", "psycopg_async"})
# libpq 16 and later. An older libpq refuses the unknown option, which is safer than to send the password.
_NO_CLEAR_PASSWORD: Final = {"require_auth": "!password"}
#: Connect arguments that configure TLS. Together with ``tls=`` it would be unclear which one takes precedence.
TLS_NAMES: Final = frozenset(
    {
        *("sslmode", "sslrootcert", "sslnegotiation", "gssencmode"),
        *(
            "ssl",
            "ssl_ca",
            "ssl_capath",
            "ssl_disabled",
            "ssl_verify_cert",
            "ssl_verify_identity",
            "ssl_check_hostname",
        ),
        *("ssl_context", "protocol", "encrypt", "encryption", "TrustServerCertificate", "Encrypt"),
    }
)


def tls_arguments(
    driver: str, mode: str, ca: str | os.PathLike[str] | None = None, *, cleartext_password: bool
) -> dict[str, Any]:
    """Return the arguments for a driver's own ``connect`` that implement ``tls=``.

    Args:
        driver: ``psycopg``, ``psycopg_async``, ``asyncpg``, ``pymysql`` or ``asyncmy``.
        mode: as in ``rdskit.connect``.
        ca: as in ``rdskit.connect``.
        cleartext_password: whether an unverified server may get the password in the clear.

    Raises:
        ConfigError: the mode or driver is unknown, or a file cannot be read.
    """
    context = tls_context(mode, ca)
    if driver in _LIBPQ:
        return _libpq(mode, ca) | ({} if cleartext_password or mode == "verify-full" else _NO_CLEAR_PASSWORD)
    if driver == "asyncpg":
        return {"ssl": context or False}
    if driver == "pymysql":
        return {"ssl": context} if context else {"ssl_disabled": True}
    if driver == "asyncmy":
        return {"ssl": context} if context else {}
    raise ConfigError(f"tls= is not supported for the driver {driver!r}: configure TLS in the driver's own arguments")


def _libpq(mode: str, ca: str | os.PathLike[str] | None) -> dict[str, Any]:
    # With a Kerberos ticket, libpq would prefer GSS encryption, and check no certificate.
    if mode == "verify-full":
        return {"sslmode": mode, "sslrootcert": authority_file(ca), "gssencmode": "disable"}
    return {"sslmode": "require" if mode == "require" else "disable", "gssencmode": "disable"}
