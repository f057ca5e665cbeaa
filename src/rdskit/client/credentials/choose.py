"""Choose the implementation for the ``credentials=`` of ``rdskit.connect``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdskit.client.credentials.environment import MYSQL_NAMES, POSTGRES_NAMES, EnvironmentCredentials
from rdskit.client.credentials.iam import Iam, IamCredentials
from rdskit.client.credentials.static import StaticCredentials
from rdskit.client.credentials.stored import ParameterStore, SecretStore, StoredCredentials
from rdskit.errors import ConfigError
from rdskit.kernel.targets import Engine

if TYPE_CHECKING:
    from rdskit.kernel.ports import Credentials
    from rdskit.kernel.targets import Target
    from rdskit.runtime.tasks import TaskOwner


_KINDS = ("secretsmanager", "ssm")
_VARIABLES = {Engine.POSTGRES: POSTGRES_NAMES}


def check_credentials(option: str | Credentials | Iam | None, *, encrypted: bool) -> None:
    """Refuse an unknown option, or one that does not fit the others, before anything is sent.

    Args:
        option: as in ``rdskit.connect``.
        encrypted: whether connections use TLS, without which a token is never sent.

    Raises:
        ConfigError: it cannot be used.
    """
    if (isinstance(option, Iam) or option == "iam") and not encrypted:
        raise ConfigError(
            "credentials='iam' with tls='off' would send the token in the clear, and RDS refuses it; "
            "leave tls= at 'verify-full'"
        )
    if isinstance(option, str) and option not in {"env", "iam"}:
        kind, _, rest = option.partition(":")
        if kind not in _KINDS or not rest.strip("/"):
            raise ConfigError(
                f"credentials={kind!r} is not known; "
                "choose 'env', 'iam', 'secretsmanager:ID', 'ssm:/path', or an object with a login() method"
            )


def may_send_password(option: str | Credentials | Iam | None, *, allowed: bool) -> bool:
    """Return whether an unverified server may get the password in the clear, as an IAM token is always sent.

    Args:
        option: as in ``rdskit.connect``.
        allowed: ``cleartext_password`` of ``rdskit.connect``.

    Raises:
        ConfigError: ``allowed`` is not a bool; the text "false" must not count as true.
    """
    if not isinstance(allowed, bool):
        raise ConfigError(f"cleartext_password={allowed!r} is not a bool: give True or False")
    return allowed or isinstance(option, Iam) or option == "iam"


def choose_credentials(
    option: str | Credentials | Iam | None, target: Target, engine: Engine, owner: TaskOwner
) -> Credentials:
    """Return the credentials object for a checked option.

    Args:
        option: as in ``rdskit.connect``.
        target: its user and password apply where the option leaves them open.
        engine: decides which environment variables apply.
        owner: owns background work, such as reading a secret for many callers at once.
    """
    if option == "iam":
        return IamCredentials(Iam(), target.user, owner)
    if isinstance(option, Iam):
        return IamCredentials(option, target.user, owner)
    if option is not None and not isinstance(option, str):
        return option
    if option is None and target.user and target.password is not None:
        return StaticCredentials(target.user, target.password)
    # A target with a user but no password takes the password from the environment.
    if option is None or option == "env":
        return EnvironmentCredentials(target.user, _VARIABLES.get(engine, MYSQL_NAMES))
    kind, _, rest = option.partition(":")
    store = ParameterStore(rest) if kind == "ssm" else SecretStore(rest)
    return StoredCredentials(store, target.user, owner)
