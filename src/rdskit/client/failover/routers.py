"""Read the routers of an Aurora Limitless database, and choose one for the next connection.

Source: Aurora User Guide, "Aurora PostgreSQL Limitless Database functions" (``aurora_limitless_router_endpoints``);
the AWS drivers, which weight a router by its free capacity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rdskit.kernel.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rdskit.kernel.ports import Row

ROUTERS_QUERY: Final = "select router_endpoint, load from aurora_limitless_router_endpoints()"
_MIN_WEIGHT: Final = 0.1  # weight of a fully loaded router: it is avoided, but still tried


class Router(NamedTuple):
    """One router of a shard group.

    Attributes:
        endpoint: its address; all routers have the port of their shard group.
        load: its CPU load, from 0 to 1.
    """

    endpoint: Endpoint
    load: float


def routers_of(rows: Iterable[Row], port: int) -> tuple[Router, ...]:
    """Build the routers from the rows of `ROUTERS_QUERY`.

    Args:
        rows: the rows.
        port: port of the shard group's endpoint.
    """
    return tuple(Router(Endpoint(str(row[0]), port), float(row[1] or 0.0)) for row in rows)


def choose_router(routers: Sequence[Router], uniform: float) -> Router:
    """Choose a router at random, weighted by its free capacity.

    Args:
        routers: at least one.
        uniform: a random number from [0, 1).
    """
    weights = [max(_MIN_WEIGHT, 1.0 - router.load) for router in routers]
    left = uniform * sum(weights)
    for router, weight in zip(routers, weights, strict=True):
        left -= weight
        if left < 0:
            return router
    return routers[-1]  # rounding may leave a remainder of zero
