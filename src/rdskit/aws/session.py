"""boto3, imported when it is first needed and called from threads."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from typing import TYPE_CHECKING, Any

from rdskit.errors import AwsError, ConfigError, ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable

_building = threading.Lock()  # boto3's default session is not thread-safe while it makes a client


_CONFIGURED_BY = ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ACCESS_KEY_ID")


@functools.cache
def _client(service: str, _configuration: tuple[str | None, ...]) -> Any:
    try:
        import boto3  # noqa: PLC0415 - an optional and heavy dependency: loaded on first use
        from botocore.config import Config  # noqa: PLC0415 - same
    except ImportError as error:
        raise ConfigError("AWS is needed here, and boto3 is not installed: pip install 'rdskit[aws]'") from error
    config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
    make: Any = boto3.client  # its overloads list every service by a literal name
    return make(service, config=config)


def client(service: str) -> Any:
    """Give the process's boto3 client for a service, configured by the standard variables and profiles.

    Raises:
        ConfigError: boto3 is missing, or region or profile are not configured.
    """
    with _building:
        try:
            return _client(service, tuple(os.environ.get(name) for name in _CONFIGURED_BY))
        except ConfigError:
            raise
        except Exception as error:  # botocore's errors have no common base but its own, which needs the import
            raise ConfigError(f"AWS client for {service!r} cannot be made: {error}; {_HINT}") from error


async def call(service: str, operation: str, **arguments: Any) -> dict[str, Any]:
    """Call one AWS operation in a thread.

    Args:
        service: as boto3 names it.
        operation: the client's method.
        arguments: the operation's parameters.

    Returns:
        The answer.

    Raises:
        AwsError: AWS refused the call.
        ConnectError: the endpoint cannot be reached.
        ConfigError: no credentials or region are configured.
    """
    return await asyncio.to_thread(_call, lambda: getattr(client(service), operation), operation, arguments)


def _call(method: Callable[[], Any], operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    bound = method()
    from botocore import exceptions  # noqa: PLC0415 - boto3 is loaded by now

    try:
        answer: dict[str, Any] = bound(**arguments)
    except exceptions.ClientError as error:
        details = error.response.get("Error", {})
        raise AwsError(operation, details.get("Code", "Unknown"), details.get("Message", str(error))) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise ConfigError(f"AWS {operation}: {error}; {_HINT}") from error
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        raise ConnectError(f"AWS {operation} cannot reach its endpoint: {error}; check AWS_ENDPOINT_URL") from error
    return answer


_HINT = 'set AWS_DEFAULT_REGION and credentials, or run: eval "$(rdskit local env)"'
