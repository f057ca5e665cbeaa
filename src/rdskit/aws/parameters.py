"""Read parameters from Systems Manager's Parameter Store."""

from __future__ import annotations

from rdskit.aws.session import call
from rdskit.errors import AwsError, ConfigError

_NOT_FOUND = "ParameterNotFound"


async def read_parameter(name: str) -> str | None:
    """Read one parameter, decrypted; None if there is none of that name.

    Raises:
        AwsError: the Parameter Store refused.
        ConnectError: it cannot be reached.
    """
    try:
        answer = await call("ssm", "get_parameter", Name=name, WithDecryption=True)
    except AwsError as error:
        if error.code != _NOT_FOUND:
            raise
        return None
    return str(answer["Parameter"]["Value"])


async def read_parameters_below(path: str) -> dict[str, str]:
    """Read the parameters directly below a path, decrypted, by the last part of their names.

    Raises:
        ConfigError: there is none.
        AwsError: the Parameter Store refused.
        ConnectError: it cannot be reached.
    """
    found: dict[str, str] = {}
    marker: dict[str, str] = {}
    while True:
        answer = await call("ssm", "get_parameters_by_path", Path=path, WithDecryption=True, **marker)
        found.update((each["Name"].rpartition("/")[2], each["Value"]) for each in answer["Parameters"])
        if not answer.get("NextToken"):
            break
        marker = {"NextToken": answer["NextToken"]}
    if not found:
        raise ConfigError(f"parameter {path!r} does not exist in this account and region, nor any below it")
    return found
