"""Map each protocol to its negotiation and to its lookup of IAM users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rdskit.local.endpoints import mysql_session, postgres_session

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from rdskit.local.endpoints.iam_users import IamUsers
    from rdskit.local.endpoints.model import EndpointState, Protocol
    from rdskit.local.endpoints.negotiation import Negotiation

NEGOTIATIONS: Final[Mapping[Protocol, type[Negotiation]]] = {
    "postgresql": postgres_session.PostgresNegotiation,
    "mysql": mysql_session.MySQLNegotiation,
    "aurora-mysql": mysql_session.AuroraMySQLNegotiation,
}


def iam_users(loop: asyncio.AbstractEventLoop, state: EndpointState) -> IamUsers | None:
    """Return the lookup of the backend's IAM users; None without a backend or an internal account."""
    if state.backend is None or state.account is None:
        return None
    if state.protocol == "postgresql":
        return postgres_session.iam_users(loop, state.backend, state.account)
    return mysql_session.iam_users(loop, state.backend, state.account)
