"""Register a key pair in the local IAM as an administrator's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from moto.iam.models import iam_backends

from rdskit.local.control.services import ACCOUNT

if TYPE_CHECKING:
    from rdskit.local.control.iam.keypair import KeyPair

__all__ = ["register"]

_USER = "rdskit"
_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def register(pair: KeyPair) -> None:
    """Create an IAM user with the key pair and an administrator's policy, unless it exists. Call inside the monitor."""
    iam = iam_backends[ACCOUNT]["aws"]
    # The key comes back with the saved state of IAM: this is true on every start but the first.
    if pair.access_key_id in iam.access_keys:
        return
    if _USER not in iam.users:
        iam.create_user("us-east-1", _USER)
        iam.put_user_policy(_USER, "administrator", json.dumps(_EVERYTHING))
    # moto draws the key id and the secret itself: create a key, then give it those of the pair. The user's own list and
    # the backend's table refer to the same object.
    key = iam.create_access_key(_USER)
    del iam.access_keys[key.access_key_id]
    key.access_key_id, key.secret_access_key = pair.access_key_id, pair.secret_access_key
    iam.access_keys[key.access_key_id] = key
