"""Issue and read the position tokens of one database."""

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
# The default key: created at import, so that workers forked later share it.
_own_key: Final = secrets.token_bytes(32)


class Tokens:
    """Issues and reads tokens.

    Args:
        cluster: the cluster's name; the same in all processes that exchange tokens.
        key: a secret text of 16 characters at least; None takes ``RDSKIT_TOKEN_KEY``, or else a random key of this
            process.

    Raises:
        ConfigError: the key is too short.
    """

    def __init__(self, cluster: str, key: str | None) -> None:
        self._cluster = cluster_digest(cluster)
        self._key = _key_from(os.environ.get(VARIABLE) if key is None else key)

    def issue(self, position: Position | None) -> str:
        """Return a token for a position; None sends the reads with this token to the writer."""
        return sign(Claim(self._cluster, position, int(time.time()) + LIFETIME), self._key)

    def read(self, token: str | None) -> Position | None:
        """Return the position that a read must see; None if only the writer is sure to show it.

        Raises:
            ConfigError: the token's signature is wrong, or it is about another cluster.
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
            f"least {_SHORTEST}, such as the output of `python -c 'import secrets; print(secrets.token_urlsafe(32))'`"
        )
    return key.encode()
