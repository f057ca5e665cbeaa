"""Create and show DB instances of a running local RDS, for the command line."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rdskit.errors import ConfigError, LocalError
from rdskit.local.lifecycle import env, status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["DEFAULT_DATABASE", "Wanted", "await_available", "create", "log_files"]

DEFAULT_DATABASE: Final = "app"
_USER: Final = "app"
_POLL: Final = 0.5  # seconds; boto3's own delay of 30 s is for servers that take minutes
_AVAILABLE_TIMEOUT: Final = 600.0  # seconds for one instance


class Wanted(NamedTuple):
    """Specification of an instance to create.

    Attributes:
        identifier: its name.
        engine: ``postgres``, ``mysql`` or ``mariadb``.
        version: of the engine; None for the default one.
        database: the initial database.
        user: the master user; RDS keeps its password in a secret.
        multi_az: whether it has a standby.
        replicas: number of read replicas, named ``IDENTIFIER-r1`` and so on.
    """

    identifier: str
    engine: str = "postgres"
    version: str | None = None
    database: str = DEFAULT_DATABASE
    user: str = _USER
    multi_az: bool = False
    replicas: int = 0

    @property
    def replica_names(self) -> list[str]:
        """Return the names of its read replicas."""
        return [f"{self.identifier}-r{number}" for number in range(1, self.replicas + 1)]


def create(data: Path, wanted: Wanted) -> list[str]:
    """Create an instance, and its read replicas once it is available; return the names of all.

    Args:
        data: the data directory of the running local RDS.
        wanted: what to create.

    Raises:
        ConfigError: the API refuses it.
        LocalError: the local RDS is not up, or the instance failed.
    """
    rds = _rds(data)
    version = {} if wanted.version is None else {"EngineVersion": wanted.version}
    _call_api(
        functools.partial(
            rds.create_db_instance,
            DBInstanceIdentifier=wanted.identifier,
            DBInstanceClass="db.t3.micro",
            Engine=wanted.engine,
            AllocatedStorage=20,
            DBName=wanted.database,
            MasterUsername=wanted.user,
            ManageMasterUserPassword=True,
            MultiAZ=wanted.multi_az,
            **version,
        )
    )
    if wanted.replicas:
        # RDS creates replicas of an available source only.
        await_available(data, wanted.identifier)
    for name in wanted.replica_names:
        _call_api(
            functools.partial(
                rds.create_db_instance_read_replica,
                DBInstanceIdentifier=name,
                SourceDBInstanceIdentifier=wanted.identifier,
            )
        )
    return [wanted.identifier, *wanted.replica_names]


def await_available(data: Path, identifier: str) -> None:
    """Wait until an instance is available.

    Raises:
        LocalError: it failed, or is not available after ten minutes.
    """
    from botocore.exceptions import WaiterError  # noqa: PLC0415 - boto3 is slow to import

    waiter = _rds(data).get_waiter("db_instance_available")
    settings = {"Delay": _POLL, "MaxAttempts": int(_AVAILABLE_TIMEOUT / _POLL)}
    try:
        waiter.wait(DBInstanceIdentifier=identifier, WaiterConfig=settings)
    except WaiterError as error:
        raise LocalError(f"instance {identifier} is not available: see `rdskit local logs {identifier}`") from error


def log_files(data: Path, identifier: str | None) -> list[Path]:
    """Return the log files of an instance's servers, or that of the local RDS itself.

    Args:
        data: the data directory.
        identifier: of the instance; None for the local RDS itself.

    Raises:
        LocalError: the local RDS is down, so that no instance is known; or there is no such instance, or no log yet.
    """
    if identifier is None:
        found = [path for path in (data / "daemon.log",) if path.exists()]
        if not found:
            raise LocalError(f"there is no local RDS in {data} yet: run `rdskit local up` first")
        return found
    known = {str(each["identifier"]): each for each in _running(data)}
    instance = known.get(identifier.lower())
    if instance is None:
        raise LocalError(
            f"there is no DB instance {identifier}: this local RDS has {', '.join(known) or 'none'}; "
            "choose one, or leave it out for the log of the local RDS itself"
        )
    files = sorted((data / "fleet/instances" / str(instance["resource_id"])).glob("*/*.log"))
    if not files:
        raise LocalError(f"instance {identifier} has no log yet: its servers have not started")
    return files


def _running(data: Path) -> Iterator[Any]:
    found = status(data)
    if not found.running:
        raise LocalError(f"the local RDS on {data} is down: run `rdskit local up` first")
    yield from found.instances


def _rds(data: Path) -> Any:
    """Return a client of the local RDS's own API.

    Regions, profiles and proxies of the environment have no effect.
    """
    import boto3  # noqa: PLC0415 - slow to import
    import botocore.session  # noqa: PLC0415 - same
    from botocore.config import Config  # noqa: PLC0415 - same

    found = status(data)
    if not found.running:
        raise LocalError(f"the local RDS on {data} is down: run `rdskit local up` first")
    variables = env(data)
    no_profile = botocore.session.Session(session_vars={"profile": (None, None, None, None)})  # ignores AWS_PROFILE
    session = boto3.session.Session(
        botocore_session=no_profile,
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_DEFAULT_REGION"],
    )
    return session.client("rds", endpoint_url=variables["AWS_ENDPOINT_URL"], config=Config(proxies={}))


def _call_api(call: functools.partial[Any]) -> Any:
    """Return the API's answer to a call.

    Raises:
        ConfigError: the API refuses the call.
    """
    from botocore.exceptions import ClientError, ParamValidationError  # noqa: PLC0415 - boto3 is slow to import

    try:
        return call()
    except ClientError as error:
        details = error.response.get("Error", {})
        raise ConfigError(f"{details.get('Message', error)} [{details.get('Code', '?')}]") from error
    except ParamValidationError as error:
        raise ConfigError(str(error)) from error
