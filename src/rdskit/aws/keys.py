"""The AWS keys to sign with: from the environment without loading anything, else as boto3 finds them."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rdskit.aws.session import HINT, call, configuration, hushed
from rdskit.errors import ConfigError

if TYPE_CHECKING:
    import datetime as dt

_resolving = threading.Lock()
_PROCESS = "custom-process"


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """What a request to AWS is signed with.

    Attributes:
        access_key_id: names the key.
        secret_access_key: signs.
        session_token: of temporary keys, as an assumed role has them; else None.
        expires: when temporary keys end, with a time zone; None if that is not known.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class _Resolved:
    configuration: int
    session: Any
    credentials: Any


_latest: _Resolved | None = None


def _begin_anew() -> None:
    """In a forked child: a thread that is not here may hold our lock, or the one with which botocore renews keys."""
    global _resolving, _latest  # noqa: PLW0603 - a lock cannot be released by whoever does not hold it
    _resolving = threading.Lock()
    _latest = None


os.register_at_fork(after_in_child=_begin_anew)


async def resolve_keys(*, anew: bool = False) -> AwsKeys:
    """Find the keys of this process by the standard chain: variables, profile, process, container, instance.

    Args:
        anew: look everything up again instead of using what was found before; keys that end are renewed in any case.

    Raises:
        ConfigError: there are none, or what should give them failed.
    """
    at_hand = _from_environment()
    if at_hand is not None:
        return at_hand
    with hushed():
        return await asyncio.to_thread(_from_chain, anew)


async def assume_role(
    role_arn: str, *, session_name: str, external_id: str | None = None, region: str | None = None
) -> AwsKeys:
    """Get temporary keys of a role (STS AssumeRole), signed with the keys of this process.

    Args:
        role_arn: the role.
        session_name: shows in CloudTrail.
        external_id: where the role's trust policy asks for one.
        region: whose STS to ask; by default the configured one.

    Raises:
        AwsError: the role may not be assumed.
        ConnectError: STS cannot be reached.
        ConfigError: no credentials or region are configured.
    """
    optional = {"ExternalId": external_id} if external_id else {}
    answer = await call("sts", "assume_role", region=region, RoleArn=role_arn, RoleSessionName=session_name, **optional)
    given = answer["Credentials"]
    return AwsKeys(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], given["Expiration"])


async def configured_region() -> str | None:
    """The region that the environment or the profile names; None if neither does."""
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named or await asyncio.to_thread(_region_of_profile)


def _from_environment() -> AwsKeys | None:
    # boto3 looks here first too; where a function has its keys in the environment, it need not be loaded for a token.
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret or "AWS_CREDENTIAL_EXPIRATION" in os.environ:
        return None
    return AwsKeys(key, secret, os.environ.get("AWS_SESSION_TOKEN") or None)


def _from_chain(anew: bool) -> AwsKeys:  # noqa: FBT001 - the one argument, through to_thread
    with _resolving:
        credentials = _resolve(anew=anew).credentials
    if credentials is None:
        raise ConfigError(f"no AWS credentials were found; {HINT}")
    frozen = _guarded(credentials.get_frozen_credentials)
    # botocore tells the end of refreshable keys nowhere else.
    expires = getattr(credentials, "_expiry_time", None)
    return AwsKeys(frozen.access_key, frozen.secret_key, frozen.token, expires)


def _resolve(*, anew: bool) -> _Resolved:
    global _latest  # noqa: PLW0603 - one chain for the process, as in boto3 itself
    configured = configuration()
    if anew or _latest is None or _latest.configuration != configured:
        session = _new_session()
        _latest = _Resolved(configured, session, _guarded(session.get_credentials))
    return _latest


def _region_of_profile() -> str | None:
    with _resolving:
        session = _latest.session if _latest and _latest.configuration == configuration() else _new_session()
        region: str | None = _guarded(lambda: session.get_config_variable("region"))
    return region


def _new_session() -> Any:
    try:
        from botocore.session import Session  # noqa: PLC0415 - an optional and heavy dependency: loaded on first use
    except ImportError as error:
        raise ConfigError("AWS is needed here, and boto3 is not installed: pip install 'rdskit[aws]'") from error
    return Session()


def _guarded(step: Any) -> Any:
    """Run a step of botocore's chain; its errors may quote what a credentials process printed, so they end here."""
    from botocore import exceptions  # noqa: PLC0415 - loaded by now

    try:
        return step()
    except exceptions.CredentialRetrievalError as error:
        provider = str(error.kwargs.get("provider"))
        reason = "run it by hand to see why" if provider == _PROCESS else str(error.kwargs.get("error_msg"))
    except exceptions.ClientError as error:  # the role that a profile names may not be assumed
        provider, reason = error.operation_name, str(error)
    except (exceptions.BotoCoreError, OSError) as error:
        provider, reason = type(error).__name__, str(error)
    except ValueError as error:  # what the process printed is not JSON
        provider, reason = _PROCESS, f"its output is not JSON ({type(error).__name__})"
    raise ConfigError(f"AWS credentials cannot be had from {provider}: {reason}; or {HINT}")
