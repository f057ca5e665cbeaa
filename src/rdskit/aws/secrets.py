"""Reading from Secrets Manager."""

from __future__ import annotations

import json
from typing import Any

from rdskit.aws.session import call
from rdskit.errors import AwsError, ConfigError

_NOT_FOUND = "ResourceNotFoundException"


async def read_secret(identifier: str) -> dict[str, Any]:
    """Read the current version of a secret that holds a JSON object.

    Args:
        identifier: the secret's name or ARN.

    Raises:
        ConfigError: there is no such secret, or it holds no JSON object. The message never repeats its content.
        AwsError: Secrets Manager refused.
        ConnectError: it cannot be reached.
    """
    try:
        return await _read(identifier, "AWSCURRENT")
    except AwsError as error:
        if error.code != _NOT_FOUND:
            raise
        message = f"secret {identifier!r} does not exist in this account and region; check its name or ARN"
        raise ConfigError(message) from error


async def read_pending_secret(identifier: str) -> dict[str, Any] | None:
    """Read the version that a rotation under way has made; None if there is none. Raises as ``read_secret`` does."""
    try:
        return await _read(identifier, "AWSPENDING")
    except AwsError as error:
        if error.code != _NOT_FOUND:
            raise
        return None


async def _read(identifier: str, stage: str) -> dict[str, Any]:
    answer = await call("secretsmanager", "get_secret_value", SecretId=identifier, VersionStage=stage)
    try:
        content = json.loads(answer["SecretString"])
    except (KeyError, ValueError):
        content = None
    if not isinstance(content, dict):
        # The parser's own error would quote the secret.
        raise ConfigError(f"secret {identifier!r} holds no JSON object; rdskit reads the shape that RDS writes")
    return content
