"""The routers of an Aurora Limitless database: which there are, and which takes the next connection.

Source: Aurora User Guide, "Aurora PostgreSQL Limitless Database functions" (``aurora_limitless_router_endpoints``);
the AWS drivers, which weigh a router by what its load leaves over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.kernel.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rdskit.kernel.ports import Row

QUESTION: Final = "select router_endpoint, load from aurora_limitless_router_endpoints()"
_LEAST: Final = 0.1  # weight of a router that is fully loaded: it is avoided, and still tried


class Router(NamedTuple):
    """One router.

    Attributes:
        endpoint: where it is; all have the port of their shard group.
        load: of its processors, from 0 to 1.
    """

    endpoint: Endpoint
    load: float


def routers_of(rows: Iterable[Row], port: int) -> tuple[Router, ...]:
    """Read an answer.

    Args:
        rows: the answer.
        port: of the shard group's endpoint.
    """
    return tuple(Router(Endpoint(str(row[0]), port), float(row[1] or 0.0)) for row in rows)


def choose(routers: Sequence[Router], uniform: float) -> Router:
    """A router at random, by what its load leaves over.

    Args:
        routers: at least one.
        uniform: a random number from [0, 1).
    """
    weights = [max(_LEAST, 1.0 - router.load) for router in routers]
    left = uniform * sum(weights)
    for router, weight in zip(routers, weights, strict=True):
        left -= weight
        if left < 0:
            return router
    return routers[-1]
