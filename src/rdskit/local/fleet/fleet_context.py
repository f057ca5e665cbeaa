"""What all instances of a fleet share: its directory, its addresses, its endpoint process, its superuser."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdskit.local.endpoints.model import EndpointState, InternalAccount
from rdskit.local.fleet.model import EventKind, FleetEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.local.certificates import LocalAuthority
    from rdskit.local.endpoints.process import EndpointProcess
    from rdskit.local.engines.addresses import AddressBook
    from rdskit.local.engines.session import Account
    from rdskit.local.fleet.catalog import Catalog
    from rdskit.local.fleet.engine import Engine, Server
    from rdskit.local.fleet.store import InstanceRecord, NodeRecord, Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FleetContext:
    """What all instances of a fleet share."""

    store: Store
    addresses: AddressBook
    authority: LocalAuthority
    endpoints: EndpointProcess
    account: Account
    notify: Callable[[FleetEvent], None]
    engines: Catalog

    def engine(self, record: InstanceRecord) -> Engine:
        """The engine of an instance."""
        return self.engines.engine(record.engine, clustered=record.cluster_id is not None)

    def server(self, record: InstanceRecord, node: NodeRecord) -> Server:
        """The server of a node."""
        data = self.store.node(record.resource_id, node.name) / "data"
        return self.engine(record).server(data, node.address, self.account, record.identifier)

    def endpoint(self, record: InstanceRecord, backend: Server | None, *, require_tls: bool) -> EndpointState:
        """The state of an instance's endpoint, which leads to ``backend``; its certificate is issued when needed."""
        files = self.authority.issue(self.store.certificates, record.resource_id, [record.endpoint.host])
        return EndpointState(
            name=record.resource_id,
            address=record.endpoint,
            certificate=str(files.certificate),
            key=str(files.key),
            backend=backend.address if backend else None,
            require_tls=require_tls,
            protocol=self.engine(record).protocol,
            iam=record.iam,
            account=InternalAccount(self.account.user, self.account.password, iam_secret=self.store.iam_secret()),
            socket=backend.socket if backend else "",
        )

    def forget(self, record: InstanceRecord) -> None:
        """Delete everything of an instance."""
        self.store.forget(record.resource_id)
        self.authority.issue(self.store.certificates, record.resource_id, [record.endpoint.host]).remove()
        for address in record.addresses:
            self.addresses.release(address)

    def report(self, resource_id: str, kind: EventKind, message: str, *, promotion_ms: float | None = None) -> None:
        """Report something that happened to an instance."""
        _log.info("%s: %s", resource_id, message)
        self.notify(FleetEvent(resource_id, kind, message, dt.datetime.now(dt.UTC), promotion_ms))
