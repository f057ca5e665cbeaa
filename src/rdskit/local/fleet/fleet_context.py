"""Share the directory, addresses, endpoint process and superuser of a fleet among its instances."""

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
    """Resources that all instances of a fleet share.

    Attributes:
        store: records and directories on disk.
        addresses: loopback addresses in use.
        authority: certificate authority of the endpoints.
        endpoints: process that listens for clients.
        account: superuser on every server.
        notify: called with every event.
        engines: engines by name.
    """

    store: Store
    addresses: AddressBook
    authority: LocalAuthority
    endpoints: EndpointProcess
    account: Account
    notify: Callable[[FleetEvent], None]
    engines: Catalog

    def engine(self, record: InstanceRecord) -> Engine:
        """Return the engine of an instance."""
        return self.engines.engine(record.engine, clustered=record.cluster_id is not None)

    def server(self, record: InstanceRecord, node: NodeRecord) -> Server:
        """Return the server of a node, for the node's data directory and address."""
        data = self.store.node(record.resource_id, node.name) / "data"
        return self.engine(record).server(data, node.address, self.account, record.identifier)

    def endpoint(self, record: InstanceRecord, backend: Server | None, *, require_tls: bool) -> EndpointState:
        """Return the state of an instance's endpoint, and issue its certificate if needed.

        Args:
            record: of the instance.
            backend: server that the endpoint forwards to; None refuses clients.
            require_tls: whether sessions without TLS are refused.
        """
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
        """Delete the files of an instance and release its addresses."""
        # Addresses are released last: a new instance must not get one while the old files still claim it.
        self.store.forget(record.resource_id)
        self.authority.issue(self.store.certificates, record.resource_id, [record.endpoint.host]).remove()
        for address in record.addresses:
            self.addresses.release(address)

    def report(self, resource_id: str, kind: EventKind, message: str, *, promotion_ms: float | None = None) -> None:
        """Log an event of an instance or cluster and notify the control plane."""
        _log.info("%s: %s", resource_id, message)
        self.notify(FleetEvent(resource_id, kind, message, dt.datetime.now(dt.UTC), promotion_ms))
