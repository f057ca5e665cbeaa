"""TLS for drivers that applications use directly: each has names of its own for the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rdskit.client.tls.authority_file import authority_file
from rdskit.client.tls.context import tls_context
from rdskit.errors import ConfigError

if TYPE_CHECKING:
    import os

_LIBPQ: Final = frozenset({"psycopg", "psycopg_async"})
_NO_CLEAR_PASSWORD: Final = {"require_auth": "!password"}  # libpq 16; an older one knows no such option, and refuses
#: Connect arguments that decide about TLS; who sets one beside ``tls=`` would not know which of them holds.
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
    """The arguments with which a driver's own ``connect`` does what ``tls=`` says.

    Args:
        driver: ``psycopg``, ``psycopg_async``, ``asyncpg``, ``pymysql`` or ``asyncmy``.
        mode: as in ``rdskit.connect``.
        ca: as in ``rdskit.connect``.
        cleartext_password: an unverified server may have the password in the clear.

    Raises:
        ConfigError: the mode is unknown, or a file cannot be read.
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
    raise ConfigError(f"TLS of driver {driver!r} is not known to rdskit")


def _libpq(mode: str, ca: str | os.PathLike[str] | None) -> dict[str, Any]:
    # With a Kerberos ticket at hand libpq would encrypt by GSS and look at no certificate.
    if mode == "verify-full":
        return {"sslmode": mode, "sslrootcert": authority_file(ca), "gssencmode": "disable"}
    return {"sslmode": "require" if mode == "require" else "disable", "gssencmode": "disable"}
