"""Reading from Secrets Manager."""

from __future__ import annotations

import json
from typing import Any

from rdskit.aws.session import call
from rdskit.errors import AwsError, ConfigError


async def read_secret(identifier: str, stage: str = "AWSCURRENT") -> dict[str, Any]:
    """Read a secret that holds a JSON object.

    Args:
        identifier: the secret's name or ARN.
        stage: the version's staging label.

    Returns:
        The object.

    Raises:
        ConfigError: there is no such secret, or it holds no JSON object. The message never repeats its content.
        AwsError: Secrets Manager refused.
        ConnectError: it cannot be reached.
    """
    try:
        answer = await call("secretsmanager", "get_secret_value", SecretId=identifier, VersionStage=stage)
    except AwsError as error:
        if error.code == "ResourceNotFoundException":
            message = f"secret {identifier!r} does not exist in this account and region; check its name or ARN"
            raise ConfigError(message) from error
        raise
    try:
        content = json.loads(answer["SecretString"])
    except (KeyError, ValueError):
        content = None
    if not isinstance(content, dict):
        # The parser's own error would quote the secret.
        raise ConfigError(f"secret {identifier!r} holds no JSON object; rdskit reads the shape that RDS writes")
    return content
