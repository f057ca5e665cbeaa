"""Parse RDS host names: the kind of endpoint, its resource and its region.

Source: Aurora User Guide, "Aurora endpoint connections"; RDS User Guide, "DB instance endpoint", "RDS Proxy endpoints".
The second format is that of the China regions.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple


class EndpointKind(Enum):
    """The kind of resource behind a host name."""

    INSTANCE = ""
    CLUSTER = "cluster-"
    READER = "cluster-ro-"
    CUSTOM = "cluster-custom-"
    PROXY = "proxy-"
    ROUTER = "shardgrp-"
    GLOBAL = "global-"


_KINDS: Final = "|".join(kind.value for kind in EndpointKind if kind.value)
_HASH: Final = r"(?P<hash>[a-z0-9]+)"
_REGION: Final = r"(?P<region>[a-z]{2}(?:-[a-z]+)+-\d|global)"
_FORMS: Final = tuple(
    re.compile(rf"(?P<identifier>[a-z0-9.-]+?)\.(?P<kind>{_KINDS}|)(?P<domain>{_HASH}\.{place})")
    for place in (rf"{_REGION}\.rds\.amazonaws\.com(?:\.cn)?", rf"rds\.{_REGION}\.amazonaws\.com\.cn")
)


class RdsName(NamedTuple):
    """A parsed RDS host name.

    Attributes:
        kind: the kind of endpoint.
        identifier: the identifier of the instance, cluster, custom endpoint or proxy.
        region: such as ``eu-west-1``; ``global`` for the endpoint of a global database.
        domain: the part after the identifier in the host names of the cluster's instances.
    """

    kind: EndpointKind
    identifier: str
    region: str
    domain: str

    @property
    def has_topology(self) -> bool:
        """Whether the resource has a writer and readers that clients can see.

        A proxy hides them, all routers are equal, and the name of a global database does not contain its regions.
        """
        return self.kind not in {EndpointKind.PROXY, EndpointKind.ROUTER, EndpointKind.GLOBAL}

    def instance(self, identifier: str) -> str:
        """Return the host name of an instance of the same cluster."""
        return f"{identifier}.{self.domain}"


def read_name(host: str) -> RdsName | None:
    """Parse a host name; None for an address, an alias, and any other name that is not from RDS."""
    for form in _FORMS:
        if found := form.fullmatch(host.lower().rstrip(".")):
            return RdsName(EndpointKind(found["kind"]), found["identifier"], found["region"], found["domain"])
    return None
