"""Store the fleet's clusters on disk: one small file a cluster, replaced atomically."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rdskit.kernel.endpoints import Endpoint
from rdskit.local.engines import privilege
from rdskit.local.engines.files import write_whole
from rdskit.local.fleet.model import CustomEndpoint, FailoverRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """Record of a cluster: all that a new daemon needs to bring it back after a crash.

    Attributes:
        resource_id: its key.
        engine: its name in RDS.
        endpoint: routes to the writer.
        reader_endpoint: routes to the readers in turn.
        writer_id: the instance whose data count. Changed on disk before a new writer takes its first client.
        failovers: the latest ones.
        custom: its custom endpoints, and where they listen.
    """

    resource_id: str
    engine: str
    endpoint: Endpoint
    reader_endpoint: Endpoint
    writer_id: str | None = None
    failovers: tuple[FailoverRecord, ...] = ()
    custom: tuple[tuple[CustomEndpoint, Endpoint], ...] = ()

    @property
    def addresses(self) -> list[Endpoint]:
        """Addresses of all its endpoints."""
        return [self.endpoint, self.reader_endpoint, *(address for _, address in self.custom)]


class ClusterStore:
    """Clusters of a fleet on disk.

    Args:
        root: of the fleet.
    """

    def __init__(self, root: Path) -> None:
        self._directory = root.absolute() / "clusters"

    def save(self, record: ClusterRecord) -> None:
        """Save a cluster durably: when this returns, the record survives a crash."""
        self._directory.mkdir(mode=privilege.current().directory_mode, exist_ok=True)
        text = json.dumps(asdict(record), indent=1, default=dt.datetime.isoformat)
        write_whole(self._directory / f"{record.resource_id}.json", text)

    def load(self) -> Iterator[ClusterRecord]:
        """Yield every saved cluster."""
        for file in sorted(self._directory.glob("*.json")):
            yield _record(json.loads(file.read_text(encoding="utf-8")))

    def forget(self, resource_id: str) -> None:
        """Delete the record of a cluster."""
        (self._directory / f"{resource_id}.json").unlink(missing_ok=True)


def _record(fields: dict[str, Any]) -> ClusterRecord:
    failovers = [{**each, "at": dt.datetime.fromisoformat(each["at"])} for each in fields["failovers"]]
    return ClusterRecord(
        resource_id=fields["resource_id"],
        engine=fields["engine"],
        endpoint=Endpoint(*fields["endpoint"]),
        reader_endpoint=Endpoint(*fields["reader_endpoint"]),
        writer_id=fields["writer_id"],
        failovers=tuple(FailoverRecord(**each) for each in failovers),
        custom=tuple((_custom(each), Endpoint(*address)) for each, address in fields.get("custom", ())),
    )


def _custom(fields: dict[str, Any]) -> CustomEndpoint:
    return CustomEndpoint(
        fields["name"], fields["readers_only"], static=tuple(fields["static"]), excluded=tuple(fields["excluded"])
    )
