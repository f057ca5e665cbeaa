"""Store the fleet's instances on disk: one small file an instance, replaced atomically."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rdskit.kernel.endpoints import Endpoint
from rdskit.local.engines import privilege
from rdskit.local.engines.files import write_whole
from rdskit.local.fleet.model import FailoverRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """Record of one server of an instance: its directory's name, its address and its availability zone."""

    name: str
    address: Endpoint
    zone: str


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """Record of an instance: all that a new daemon needs to bring it back after a crash.

    Attributes:
        resource_id: its key.
        engine: its name in RDS.
        master_user: user whose password may be set.
        endpoint: where clients connect.
        zones: the two availability zones it was created for.
        primary: the server whose data counts. Changed on disk before a new primary takes its first client.
        standby: the server that follows the primary; None without Multi-AZ.
        parameters: of its parameter group.
        proven: parameters with which its primary last started.
        source_id: of a read replica: its source.
        stopped: whether it was stopped on request.
        failovers: the latest ones.
        iam: whether IAM users may log in.
        cluster_id: of an instance of a DB cluster. The cluster's record says which instance writes.
        identifier: its name in RDS, which its SQL functions report.
        tier: its promotion tier.
    """

    resource_id: str
    engine: str
    master_user: str
    endpoint: Endpoint
    zones: tuple[str, str]
    primary: NodeRecord
    standby: NodeRecord | None
    parameters: dict[str, str]
    proven: dict[str, str]
    source_id: str | None = None
    stopped: bool = False
    failovers: tuple[FailoverRecord, ...] = ()
    iam: bool = False
    cluster_id: str | None = None
    identifier: str = ""
    tier: int = 1

    @property
    def addresses(self) -> list[Endpoint]:
        """Addresses that the instance uses: its endpoint's and its servers'."""
        return [self.endpoint, self.primary.address, *([self.standby.address] if self.standby else [])]


class Store:
    """Directory of a fleet.

    Args:
        root: holds everything; created for its owner only.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.instances = self.root / "instances"
        self.templates = self.root / "templates"
        self.certificates = self.root / "endpoints"

    def ensure(self) -> None:
        """Create the directories that are missing."""
        for directory in (self.root, self.instances, self.templates, self.certificates):
            directory.mkdir(mode=privilege.current().directory_mode, parents=True, exist_ok=True)

    def admin_password(self) -> str:
        """Return the password of the fleet's own superuser; generate it the first time."""
        return self._secret("rdsadmin.secret")

    def iam_secret(self) -> str:
        """Return the password that every IAM user of a MySQL or MariaDB server has there; generate it the first time.

        The endpoint logs in with it after it has verified the user's token.
        """
        return self._secret("iam.secret")

    def node(self, resource_id: str, name: str) -> Path:
        """Return the directory of one server of an instance; create it if it is missing."""
        directory = self.instances / resource_id / name
        # Each level by itself: ``mkdir(parents=True)`` ignores the mode for parents, and the server's user must enter
        # both.
        for each in (directory.parent, directory):
            each.mkdir(mode=privilege.current().directory_mode, exist_ok=True)
        return directory

    def save(self, record: InstanceRecord) -> None:
        """Save an instance durably: when this returns, the record survives a crash."""
        fields = {"format": _FORMAT, **asdict(record)}
        write_whole(self._file(record.resource_id), json.dumps(fields, indent=1, default=_text))

    def load(self) -> Iterator[InstanceRecord]:
        """Yield every saved instance; delete directories that have no record.

        A directory without a record is left over from a creation or a deletion that a crash interrupted.
        """
        for directory in sorted(self.instances.iterdir()):
            if self._file(directory.name).exists():
                yield _record(json.loads(self._file(directory.name).read_text(encoding="utf-8")))
            else:
                self.forget(directory.name)

    def forget(self, resource_id: str) -> None:
        """Delete the record and then the files of an instance."""
        # The record first: after a crash in between, load() finds a directory without a record and removes the rest.
        self._file(resource_id).unlink(missing_ok=True)
        shutil.rmtree(self.instances / resource_id, ignore_errors=True)

    def _secret(self, name: str) -> str:
        """Return a stored secret; generate it the first time."""
        file = self.root / name
        if not file.exists():
            write_whole(file, secrets.token_urlsafe(24))
        return file.read_text(encoding="utf-8")

    def _file(self, resource_id: str) -> Path:
        return self.instances / resource_id / "instance.json"


def _text(value: object) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be stored")


def _record(fields: dict[str, Any]) -> InstanceRecord:
    return InstanceRecord(
        resource_id=fields["resource_id"],
        engine=fields.get("engine", "postgres"),  # records of the first release name none
        master_user=fields["master_user"],
        endpoint=Endpoint(*fields["endpoint"]),
        zones=(fields["zones"][0], fields["zones"][1]),
        primary=_node(fields["primary"]),
        standby=_node(fields["standby"]) if fields["standby"] else None,
        parameters=fields["parameters"],
        proven=fields["proven"],
        source_id=fields["source_id"],
        stopped=fields["stopped"],
        failovers=tuple(_failover(each) for each in fields["failovers"]),
        iam=fields.get("iam", False),
        cluster_id=fields.get("cluster_id"),
        identifier=fields.get("identifier", ""),
        tier=fields.get("tier", 1),
    )


def _node(fields: dict[str, Any]) -> NodeRecord:
    return NodeRecord(fields["name"], Endpoint(*fields["address"]), fields["zone"])


def _failover(fields: dict[str, Any]) -> FailoverRecord:
    return FailoverRecord(**{**fields, "at": dt.datetime.fromisoformat(fields["at"])})
