"""Tokens of one database: its cluster, its key, and the clock."""

from __future__ import annotations

import os
import secrets
import time
from typing import TYPE_CHECKING, Final

from rdskit.client.replicas.token import LIFETIME, Claim, cluster_digest, position_to_see, sign, verify
from rdskit.errors import ConfigError
from rdskit.kernel.arguments import require_text
from rdskit.kernel.positions import START

if TYPE_CHECKING:
    from rdskit.kernel.positions import Position

VARIABLE: Final = "RDSKIT_TOKEN_KEY"
_SHORTEST: Final = 16  # characters of a key
# Where nobody gives a key: of this process, and of the workers that are forked from it.
_own_key: Final = secrets.token_bytes(32)


class Tokens:
    """Makes and reads tokens.

    Args:
        cluster: the cluster's name; the same in every process that shall understand the tokens.
        key: a secret text of 16 characters at least; None takes ``RDSKIT_TOKEN_KEY``, and without that a key of this
            process.

    Raises:
        ConfigError: the key is too short.
    """

    def __init__(self, cluster: str, key: str | None) -> None:
        self._cluster = cluster_digest(cluster)
        self._key = _key_from(os.environ.get(VARIABLE) if key is None else key)

    def issue(self, position: Position | None) -> str:
        """Make a token; a position of None will send its reads to the writer."""
        return sign(Claim(self._cluster, position, int(time.time()) + LIFETIME), self._key)

    def read(self, token: str | None) -> Position | None:
        """What a read must see; None where only the writer surely shows it.

        Raises:
            ConfigError: the token is not one of ours, or about another cluster.
        """
        if token is None:
            return START
        return position_to_see(verify(require_text("after", token), self._key), self._cluster, time.time())


def _key_from(key: str | None) -> bytes:
    if not key:
        return _own_key
    if len(key) < _SHORTEST:
        raise ConfigError(
            f"the key for tokens has {len(key)} characters and can be guessed: give token_key= or {VARIABLE} at "
            f"least {_SHORTEST}, as `python -c 'import secrets; print(secrets.token_urlsafe(32))'` makes them"
        )
    return key.encode()
