"""Build TLS contexts, and cache one per mode and set of authorities: reading the bundle takes over 10 ms."""

from __future__ import annotations

import functools
import logging
import os
import ssl
from pathlib import Path

from rdskit.errors import ConfigError
from rdskit.kernel.choices import TLS_MODES

MODES = TLS_MODES
_log = logging.getLogger("rdskit.tls")


def tls_context(mode: str, ca: str | os.PathLike[str] | None = None) -> ssl.SSLContext | None:
    """Return the TLS context for connections to a database.

    Args:
        mode: ``verify-full`` checks the certificate and the host name; ``require`` encrypts without checking the
            server's identity; ``off`` sends everything in the clear.
        ca: path of a PEM file with further authorities; the file that ``RDSKIT_CA`` names is added too.

    Returns:
        The context, shared by all callers with the same arguments; None for ``off``.

    Raises:
        ConfigError: the mode is unknown, or a file cannot be read.
    """
    if mode not in MODES:
        raise ConfigError(f"tls={mode!r} is not a mode; choose one of {', '.join(MODES)}")
    if mode == "off":
        _log.warning(
            "tls='off': nothing is encrypted, neither passwords nor data, and the identity of the database server is "
            "not verified: use it for a server on this machine only"
        )
        return None
    if mode == "require":
        _log.warning("tls='require': the identity of the database server is not verified")
    return _build(mode, further_authorities(ca))


class CurrentContext:
    """The TLS context for new connections of an open database, rebuilt when a file of authorities changes.

    Args:
        mode: as for `tls_context`.
        ca: as for `tls_context`.

    Raises:
        ConfigError: the mode is unknown, or a file cannot be read.
    """

    def __init__(self, mode: str, ca: str | os.PathLike[str] | None) -> None:
        self._mode, self._ca = mode, ca
        self._context = tls_context(mode, ca)

    def __call__(self) -> ssl.SSLContext | None:
        """Return the context; while a file is missing or broken, return the last one."""
        if self._context is None:
            return None
        try:
            # `_build` is cached: while no file changes, this costs one stat for each file and connection.
            self._context = _build(self._mode, further_authorities(self._ca))
        except ConfigError as error:
            _log.warning("the authorities read before stay in use: %s", error)
        return self._context


def further_authorities(ca: str | os.PathLike[str] | None) -> tuple[tuple[str, int], ...]:
    """Return the files trusted in addition to the shipped bundle, each with a number that changes with the file.

    Args:
        ca: path of a PEM file; the file that ``RDSKIT_CA`` names is added.

    Raises:
        ConfigError: a file cannot be read.
    """
    extra = tuple(str(path) for path in (ca, os.environ.get("RDSKIT_CA")) if path)
    return tuple((path, _stamp(path)) for path in extra)


@functools.lru_cache(maxsize=16)
def _build(mode: str, extra: tuple[tuple[str, int], ...]) -> ssl.SSLContext:
    # With cadata the ssl module does not load the authorities of the system.
    context = ssl.create_default_context(cadata=authorities())
    for path, _ in extra:
        try:
            context.load_verify_locations(cafile=path)
        except ssl.SSLError as error:
            raise ConfigError(f"the authority file {path!r} is not a PEM certificate: {error}") from error
    if mode == "require":
        # In this order: the ssl module refuses CERT_NONE while check_hostname is set.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def authorities() -> str:
    """Return the shipped bundle as PEM: the certificate authorities of RDS in every region."""
    return Path(__file__).with_name("rds-ca-bundle.pem").read_text(encoding="utf-8")


def _stamp(path: str) -> int:
    # A replaced file keeps its path, so the modification time and the inode are part of the cache's key.
    try:
        found = Path(path).stat()
        return found.st_mtime_ns << 64 | found.st_ino
    except OSError as error:
        raise ConfigError(
            f"the authority file {path!r} cannot be read: {error.strerror}; correct ca= or RDSKIT_CA"
        ) from error
