"""What all instances of a fleet share: its directory, its addresses, its endpoint process, its superuser."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rdskit.local.endpoints.model import EndpointState, InternalAccount
from rdskit.local.engines.postgres import PostgresServer
from rdskit.local.engines.providers import Binaries, find_postgres
from rdskit.local.fleet.model import EventKind, FleetEvent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rdskit.kernel.endpoints import Endpoint
    from rdskit.local.certificates import LocalAuthority
    from rdskit.local.endpoints.process import EndpointProcess
    from rdskit.local.engines.addresses import AddressBook
    from rdskit.local.engines.sql import Account
    from rdskit.local.fleet.store import InstanceRecord, NodeRecord, Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Site:
    """What all instances of a fleet share."""

    store: Store
    addresses: AddressBook
    authority: LocalAuthority
    endpoints: EndpointProcess
    account: Account
    notify: Callable[[FleetEvent], None]
    _binaries: dict[int | None, Binaries] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def server(self, resource_id: str, node: NodeRecord) -> PostgresServer:
        """The server of a node, as its data directory needs it."""
        directory = self.store.node(resource_id, node.name)
        data = directory / "data"
        version = data / "PG_VERSION"
        major = int(version.read_text()) if version.exists() else None
        return PostgresServer(data, node.address, self.binaries(major), self.account)

    def binaries(self, major: int | None = None) -> Binaries:
        """The programs of one major version, looked up once."""
        with self._lock:
            if major not in self._binaries:
                self._binaries[major] = find_postgres(major)
            return self._binaries[major]

    def endpoint(
        self,
        name: str,
        address: Endpoint,
        backend: Endpoint | None,
        *,
        require_tls: bool,
        iam: bool,
        sockets: Path,
    ) -> EndpointState:
        """The state of an instance's endpoint; its certificate is issued when first needed."""
        files = self.authority.issue(self.store.certificates, name, [address.host])
        return EndpointState(
            name,
            address,
            str(files.certificate),
            str(files.key),
            backend,
            require_tls,
            iam=iam,
            account=InternalAccount(self.account.user, self.account.password, iam_secret=self.store.iam_secret()),
            socket=str(sockets),
        )

    def forget(self, record: InstanceRecord) -> None:
        """Delete everything of an instance."""
        self.store.forget(record.resource_id)
        self.authority.issue(self.store.certificates, record.resource_id, [record.endpoint.host]).remove()
        for address in record.addresses:
            self.addresses.release(address)

    def tell(self, resource_id: str, kind: EventKind, message: str, *, promotion_ms: float | None = None) -> None:
        """Report something that happened to an instance."""
        _log.info("%s: %s", resource_id, message)
        self.notify(FleetEvent(resource_id, kind, message, dt.datetime.now(dt.UTC), promotion_ms))
