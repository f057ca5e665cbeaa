"""Authentication plug-ins of MySQL and MariaDB that reveal the password to the server."""

from __future__ import annotations

from typing import Final

NATIVE: Final = "mysql_native_password"
CLEAR_LOGINS: Final = frozenset({"mysql_clear_password", "dialog", "mysql_old_password"})
"""These send the password itself, or a form that is equivalent to it."""
KEY_LOGINS: Final = frozenset({"sha256_password", "caching_sha2_password"})
"""These send it over TLS, or encrypted with a public key that the server sends."""
KEY_REQUESTS: Final = frozenset({b"\x01", b"\x02"})
REFUSED: Final = 2061  # CR_AUTH_PLUGIN_ERR
REFUSAL: Final = (
    "the server asks by {plugin} for the password in the clear, or encrypted by a key of its own, and its certificate "
    "is not verified: pass tls='verify-full', the default, or cleartext_password=True"
)
