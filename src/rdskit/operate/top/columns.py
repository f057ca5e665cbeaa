"""The columns of the host table, and the formatting of figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.text import Text

from rdskit.kernel.server_words import escaped
from rdskit.kernel.topology import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdskit.operate.top.model import HostView

_BARS: Final = "▁▂▃▄▅▆▇█"
_LAGGING: Final = 1.0  # seconds from which a lag is colored
_BUSY: Final = 0.8  # share of the connections from which their number is colored
_SHORT: Final = 0.1  # seconds below which a transaction is not shown
_LONG: Final = 60.0  # seconds from which a transaction is colored
_UNITS: Final = {"bytes": ("B", "KiB", "MiB", "GiB", "TiB"), "transactions": (" tx", "k tx", "M tx")}
_MINUTE, _HOUR = 60.0, 3600.0


class Column(NamedTuple):
    """One column.

    Attributes:
        heading: its name.
        rank: on a narrow terminal the columns with the highest rank are dropped first.
        right: whether it is aligned to the right.
        cell: returns the cell of a host, for a time in seconds since 1970.
    """

    heading: str
    rank: int
    right: bool
    cell: Callable[[HostView, float], Text]


def duration(seconds: float) -> str:
    """Format a duration with about three digits."""
    if seconds < 0.1:  # noqa: PLR2004 - below it, milliseconds read better
        return f"{seconds * 1e3:.1f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"


def amount(number: float, unit: str) -> str:
    """Format an amount of bytes or transactions with a suitable unit."""
    units = _UNITS[unit]
    step = 1024.0 if unit == "bytes" else 1000.0
    power = 0
    while number >= step and power < len(units) - 1:
        number, power = number / step, power + 1
    return f"{number:.0f} {units[power].strip()}" if power == 0 else f"{number:.1f} {units[power].strip()}"


def history(rates: tuple[float | None, ...]) -> Text:
    """Draw rates as bars relative to the largest; a failed poll is a red x."""
    most = max((rate for rate in rates if rate is not None), default=0.0) or 1.0
    bars = Text()
    for rate in rates:
        if rate is None:
            bars.append("x", "bold red")
        else:
            bars.append(_BARS[round(rate / most * (len(_BARS) - 1))], "blue")
    return bars


def _role(host: HostView, _: float) -> Text:
    return Text(host.role.value, "bold" if host.role is Role.WRITER else "")


def _status(host: HostView, now: float) -> Text:
    if host.problem is not None:
        since = f" for {duration(max(0.0, now - host.since))}" if host.since else ""
        return Text(f"away{since}", "bold red")
    if host.latency is None:
        return Text("asked", "dim")
    if host.status not in {None, "available"}:
        return Text(f"up, {escaped(host.status)}", "yellow")
    return Text("up", "green")


def _latency(host: HostView, _: float) -> Text:
    return Text(duration(host.latency) if host.latency is not None else "")


def _per_second(rate: float | None) -> Text:
    return Text("" if rate is None else f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}")  # noqa: PLR2004 - for the eye


def _connections(host: HostView, _: float) -> Text:
    if host.connections is None:
        return Text()
    share = host.connections / host.max_connections if host.max_connections else 0.0
    return Text(f"{host.connections}/{host.max_connections or '?'}", "bold red" if share > _BUSY else "")


def _oldest(host: HostView, _: float) -> Text:
    oldest = host.oldest
    if oldest is None or oldest.seconds < _SHORT:
        return Text()
    words = (duration(oldest.seconds), f"#{oldest.process}", oldest.user, oldest.state)
    return Text(escaped(" ".join(word for word in words if word)), "yellow" if oldest.seconds >= _LONG else "")


def _lag(host: HostView, _: float) -> Text:
    if host.lag is None:
        return Text()
    if math.isinf(host.lag):
        return Text("stopped", "bold red")
    return Text(duration(host.lag) if host.lag else "0", "yellow" if host.lag >= _LAGGING else "")


def _behind(host: HostView, _: float) -> Text:
    return Text(amount(host.behind.amount, host.behind.unit) if host.behind else "")


def _pool(host: HostView, _: float) -> Text:
    pool = host.pool
    if pool is None:
        return Text()
    words = Text(f"{pool.in_use}/{pool.size}")
    return words.append(" open breaker", "bold red") if pool.breaker_is_open else words


COLUMNS: Final = (
    Column("role", 0, False, _role),
    Column("host", 0, False, lambda host, _: Text(escaped(host.identifier))),
    Column("zone", 6, False, lambda host, _: Text(escaped(host.zone or ""))),
    Column("status", 1, False, _status),
    Column("tx/s", 2, True, lambda host, _: _per_second(host.transactions)),
    Column("stmt/s", 3, True, lambda host, _: _per_second(host.statements)),
    Column("latency", 2, True, _latency),
    Column("conn", 3, True, _connections),
    Column("lag", 1, True, _lag),
    Column("behind", 5, True, _behind),
    Column("oldest", 4, False, _oldest),
    Column("pool", 8, True, _pool),
    Column("history", 7, False, lambda host, _: history(host.history)),
)
