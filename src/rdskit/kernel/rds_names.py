"""What the host names of RDS say by themselves: which kind of endpoint, of what, in which region.

Source: Aurora User Guide, "Aurora endpoint connections"; RDS User Guide, "DB instance endpoint", "RDS Proxy endpoints";
the second form is that of the China regions.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple


class EndpointKind(Enum):
    """What a name leads to."""

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
    """A host name of RDS, read.

    Attributes:
        kind: of endpoint.
        identifier: of the instance, the cluster, the custom endpoint or the proxy.
        region: as in ``eu-west-1``; ``global`` for the endpoint of a global database.
        domain: what follows an instance's identifier in its own name.
    """

    kind: EndpointKind
    identifier: str
    region: str
    domain: str

    @property
    def has_topology(self) -> bool:
        """Whether it stands for something with a writer and readers that clients may see.

        A proxy hides them, routers are all alike, and the name of a global database does not tell its regions.
        """
        return self.kind not in {EndpointKind.PROXY, EndpointKind.ROUTER, EndpointKind.GLOBAL}

    def instance(self, identifier: str) -> str:
        """The host name of an instance of the same cluster."""
        return f"{identifier}.{self.domain}"


def read_name(host: str) -> RdsName | None:
    """Read a host name; None for an address, an alias, and everything else that RDS did not name."""
    for form in _FORMS:
        if found := form.fullmatch(host.lower().rstrip(".")):
            return RdsName(EndpointKind(found["kind"]), found["identifier"], found["region"], found["domain"])
    return None
