"""Read secrets from Secrets Manager."""

from __future__ import annotations

from rdskit.aws.session import call
from rdskit.errors import AwsError, ConfigError

_NOT_FOUND = "ResourceNotFoundException"


async def read_secret(identifier: str) -> str:
    """Read the current version of a secret.

    Args:
        identifier: the secret's name or ARN; an ARN is read in its own region.

    Returns:
        The secret's text.

    Raises:
        ConfigError: there is no such secret, or it holds bytes instead of text.
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


async def read_pending_secret(identifier: str) -> str | None:
    """Read the version that a running rotation has created; None if there is none. Raises as ``read_secret``."""
    try:
        return await _read(identifier, "AWSPENDING")
    except AwsError as error:
        if error.code != _NOT_FOUND:
            raise
        return None


async def _read(identifier: str, stage: str) -> str:
    region = _region_of_arn(identifier)
    answer = await call("secretsmanager", "get_secret_value", region=region, SecretId=identifier, VersionStage=stage)
    text = answer.get("SecretString")
    if not isinstance(text, str):
        raise ConfigError(f"secret {identifier!r} holds binary data; rdskit reads text: store it as a SecretString")
    return text


def _region_of_arn(identifier: str) -> str | None:
    """Return the region of ``arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME``; None for a plain name."""
    parts = identifier.split(":")
    return parts[3] if parts[0] == "arn" and len(parts) > len("PSRAKN") and parts[3] else None
