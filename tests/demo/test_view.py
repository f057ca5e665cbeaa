"""The views show what they are given, in a terminal and in a log."""

from __future__ import annotations

import io

from rich.console import Console

from rdskit.demo.model import Failover, Member, Pulse
from rdskit.demo.view import LiveView, PlainView, bar, view_for

MEMBERS = (
    Member("shop", "writer", "eu-west-1a", "available"),
    Member("shop-reader", "reader", "eu-west-1a", "available", lag_ms=3.0),
)


def pulse(elapsed: float, rate: float = 500) -> Pulse:
    return Pulse(elapsed, rate, 900, 4.0, 9.5, 1234, unknown=2, failed=0, stale_reads=0)


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=160), out


def test_a_log_gets_one_line_a_second_and_no_control_characters() -> None:
    target, out = console(terminal=False)
    view = view_for(target)
    assert isinstance(view, PlainView)
    with view:
        view.say("load begins")
        for tenth in range(25):
            view.show(pulse(tenth / 10), MEMBERS)
        view.mark(Failover(2.4, 0.13), ("eu-west-1a", "eu-west-1b"))
    lines = out.getvalue().splitlines()
    assert len(lines) == 5
    assert "orders   500/s" in lines[1]
    assert "unknown 2" in lines[1]
    assert "shop-reader eu-west-1a available 3 ms behind" in lines[1]
    assert "promoted in 130 ms" in lines[4]
    assert "\x1b" not in out.getvalue()


def test_a_terminal_gets_the_live_view_with_the_failover_marked() -> None:
    target, out = console(terminal=True)
    view = view_for(target)
    assert isinstance(view, LiveView)
    with view:
        view.show(pulse(1.0), MEMBERS)
        view.mark(Failover(1.2, 0.13), ("eu-west-1a", "eu-west-1b"))
        view.show(pulse(1.5, rate=20), MEMBERS)
    assert "shop-reader" in out.getvalue()
    assert "eu-west-1a → eu-west-1b, promoted in 130 ms" in out.getvalue()


def test_a_rate_that_is_not_zero_is_always_seen() -> None:
    assert [bar(share) for share in (0, 0.001, 0.5, 1, 7)] == [" ", "▁", "▄", "█", "█"]
