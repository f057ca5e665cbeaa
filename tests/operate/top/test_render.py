"""A frame as lines: pure, so without a terminal."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from rdskit.client.pool.model import PoolStats
from rdskit.kernel.topology import Role
from rdskit.operate.top.columns import amount, duration
from rdskit.operate.top.keys import INTERVALS, Look, pressed
from rdskit.operate.top.model import Distance, Entry, Frame, HostView, Level, OldestTransaction
from rdskit.operate.top.policy import SORTS
from rdskit.operate.top.render import render

POOL = PoolStats("w:5432", 2, 1, 1, 0, 2, 0, 0)
WRITER = HostView(
    "orders-1",
    Role.WRITER,
    "w:5432",
    zone="eu-west-1a",
    status="available",
    latency=0.0012,
    transactions=1234.5,
    connections=85,
    max_connections=100,
    oldest=OldestTransaction(75.0, 4711, "app", "idle in transaction"),
    history=(1.0, None, 8.0),
    pool=POOL,
)
READER = HostView(
    "orders-2",
    Role.READER,
    "r:5432",
    status="rebooting",
    latency=0.25,
    transactions=3.0,
    lag=2.0,
    behind=Distance(3 * 1024 * 1024, "bytes"),
    pool=replace(POOL, breaker_is_open=True),
)
FRAME = Frame(
    1000.0,
    "rds://app@orders/shop",
    "postgres",
    1.0,
    (WRITER, READER),
    notes=('transactions of other users are hidden: grant pg_read_all_stats to "app"',),
    journal=(Entry(999.0, "orders-2", "does not respond", Level.BAD, 3),),
)


def shown(frame: Frame, look: Look | None = None, width: int = 200, height: int | None = None) -> str:
    return "\n".join(line.plain for line in render(frame, look or Look(), width, height))


def row(text: str, host: str) -> str:
    return next(line for line in text.splitlines() if f" {host} " in line)


def test_a_host_is_shown_with_everything_that_is_known_of_it() -> None:
    text = shown(FRAME)
    for words in (
        "writer",
        "eu-west-1a",
        "up",
        "1,234",
        "1.2 ms",
        "85/100",
        "1 min 15 s #4711 app idle in transaction",
    ):
        assert words in row(text, "orders-1")
    for words in ("reader", "up, rebooting", "3.0", "0.2 s", "2 s", "3.0 MiB", "open breaker"):
        assert words in row(text, "orders-2")
    assert "▂x█" in text
    assert 'grant pg_read_all_stats to "app"' in text
    assert "does not respond (3 times)" in text
    assert "writer orders-1, 1 reader" in text


def test_a_failover_heads_the_frame() -> None:
    lost = replace(WRITER, problem="no answer", since=997.5)
    text = shown(replace(FRAME, hosts=(lost, READER), failing_since=997.5))
    assert text.splitlines()[1].startswith("NO WRITER for 2.5 s")
    assert "away for 2.5 s" in row(text, "orders-1")
    assert "✗ orders-1: no answer" in text


def test_a_reader_that_is_away_is_named_and_replication_that_stands_still_is_told() -> None:
    text = shown(replace(FRAME, hosts=(WRITER, replace(READER, problem="refused"))))
    assert "no response from orders-2" in text.splitlines()[1]
    assert "stopped" in row(shown(replace(FRAME, hosts=(WRITER, replace(READER, lag=math.inf)))), "orders-2")


def test_columns_that_say_nothing_are_left_out_and_the_least_important_go_first() -> None:
    assert "stmt/s" not in shown(FRAME)
    wide, narrow = shown(FRAME, width=200).splitlines()[3], shown(FRAME, width=60).splitlines()[3]
    assert {"pool", "history"} <= set(wide.split())
    assert {"pool", "history"}.isdisjoint(narrow.split())
    assert {"role", "host", "status", "lag"} <= set(narrow.split())


@given(st.integers(20, 300), st.integers(5, 60), st.integers(0, 30), st.booleans())
def test_a_frame_fits_its_window(width: int, height: int, hosts: int, helps: bool) -> None:  # noqa: FBT001 - a flag
    readers = tuple(replace(READER, identifier=f"orders-{number}-ü日本") for number in range(hosts))
    journal = tuple(Entry(float(number), "orders", "x" * number) for number in range(50))
    frame = replace(FRAME, hosts=(WRITER, *readers), journal=journal)
    lines = render(frame, Look(help=helps), width, height)
    assert len(lines) <= height
    assert all(cell_len(line.plain) <= width for line in lines)
    assert "NO WRITER" in render(replace(frame, failing_since=1.0), Look(), width, height)[1].plain


def test_the_newest_entries_are_shown_where_there_is_no_room_for_all() -> None:
    journal = tuple(Entry(float(number), "orders", f"number {number}") for number in range(50))
    text = shown(replace(FRAME, journal=journal), height=20)
    assert "number 49" in text
    assert "number 10" not in text


def test_a_server_cannot_write_to_the_terminal_by_itself() -> None:
    wild = "evil\x1b[2J\nnext"
    host = replace(WRITER, problem=wild, oldest=OldestTransaction(9.0, 1, wild, None))
    frame = replace(FRAME, hosts=(host,), journal=(Entry(1.0, wild, wild),), notes=(wild,))
    text = shown(frame)
    assert "\x1b" not in text
    assert "evil\\x1b[2J next" in text


def test_the_state_of_the_view_is_shown() -> None:
    text = shown(FRAME, Look(sort="lag", paused=True, help=True), height=50)
    for words in ("by lag", "PAUSED", "this help", "? help"):
        assert words in text
    assert shown(FRAME, Look(sort="lag")).index("orders-2 ") < shown(FRAME, Look(sort="lag")).index("1,234")


def test_json_holds_no_infinity() -> None:
    frame = replace(FRAME, hosts=(WRITER, replace(READER, lag=math.inf)))
    told = json.loads(json.dumps(frame.as_dict(), allow_nan=False))
    writer, reader = told["hosts"]
    assert (reader["lag_seconds"], reader["replication_stopped"], reader["behind"]["unit"]) == (None, True, "bytes")
    assert {"latency", "lag", "interval"}.isdisjoint({*writer, *told})
    assert writer["latency_ms"] > 0
    assert (writer["role"], writer["oldest"]["process"], told["ok"]) == ("writer", 4711, True)
    assert told["journal"][0]["level"] == "bad"
    assert not replace(FRAME, failing_since=1.0).ok
    assert not replace(FRAME, hosts=(replace(WRITER, problem="x"),)).ok


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.00012, "0.1 ms"), (0.5, "0.5 s"), (2.0, "2 s"), (75.0, "1 min 15 s"), (7500.0, "2 h 5 min")],
)
def test_durations_are_told_for_people(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_amounts_are_told_for_people() -> None:
    assert amount(12, "bytes") == "12 B"
    assert amount(5 * 1024**3, "bytes") == "5.0 GiB"
    assert amount(12, "transactions") == "12 tx"
    assert amount(2_500_000, "transactions") == "2.5 M tx"


# -- keys --------------------------------------------------------------------------------------------------------------


def test_keys() -> None:
    assert pressed(Look(), "q").ended
    assert pressed(Look(), "").ended, "the terminal has gone"
    assert pressed(Look(), "p").paused
    assert not pressed(Look(), "pp").paused
    assert pressed(Look(), "?").help
    assert pressed(Look(), "s").sort == SORTS[1]
    assert pressed(Look(), "s" * len(SORTS)).sort == SORTS[0]
    assert pressed(Look(interval=1.0), "+").interval == 2.0
    assert pressed(Look(interval=1.0), "--").interval == 0.2
    assert pressed(Look(interval=INTERVALS[-1]), "+").interval == INTERVALS[-1]
    assert pressed(Look(interval=INTERVALS[0]), "-").interval == INTERVALS[0]
    assert pressed(Look(), "x\x1b[A\x1b[5~\x1bOq") == Look(), "arrows and the like end in letters"
    assert pressed(Look(), "\x1b[Ap").paused
