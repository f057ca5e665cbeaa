"""Rates, distances, and what goes into the journal: plain values."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdskit.kernel.endpoints import Endpoint
from rdskit.kernel.events import (
    BreakerOpened,
    ConnectionFailed,
    ConnectionOpened,
    CredentialsRotated,
    FailoverCompleted,
    FailoverStarted,
    QueryFinished,
)
from rdskit.kernel.positions import GtidPosition, GtidSet, Lsn
from rdskit.kernel.topology import Host, Role, Topology
from rdskit.operate.top.model import Activity, Distance, Entry, HostView, Level, OldestTransaction, Reading
from rdskit.operate.top.policy import (
    JOURNAL,
    SORTS,
    changes,
    distance,
    earlier,
    entry_of,
    noted,
    ordered,
    rate,
    smoothed,
)

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


def reading(at: float) -> Reading:
    return Reading(at, 0.001, Activity())


def test_a_rate_is_made_of_readings_that_are_far_enough_apart() -> None:
    readings = [reading(at) for at in (0.0, 1.0, 1.2, 2.0)]
    assert earlier(readings) == readings[1]
    assert earlier([reading(0.0), reading(0.2)]) == reading(0.0)
    assert earlier([reading(0.0)]) is None


def test_a_counter_that_was_reset_gives_no_rate() -> None:
    assert rate(100, 150, 2.0) == 25.0
    assert rate(150, 100, 2.0) is None
    assert rate(None, 100, 2.0) is None
    assert rate(100, None, 2.0) is None
    assert rate(100, 150, 0.0) is None


@given(st.none() | st.floats(0, 10), st.floats(0, 10), st.floats(0, 100))
def test_a_smoothed_latency_lies_between_what_was_and_what_is(
    before: float | None, sample: float, elapsed: float
) -> None:
    found = smoothed(before, sample, elapsed)
    bounds = sorted((sample if before is None else before, sample))
    assert bounds[0] - 1e-9 <= found <= bounds[1] + 1e-9


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        (Lsn(5000), Lsn(1000), Distance(4000, "bytes")),
        (Lsn(1000), Lsn(5000), Distance(0, "bytes")),  # the reader was asked a moment later
        (GtidSet.parse(f"{UUID}:1-10"), GtidSet.parse(f"{UUID}:1-3:7"), Distance(6, "transactions")),
        (GtidSet.parse(f"{UUID}:1-3"), GtidSet.parse(f"{UUID}:1-10"), Distance(0, "transactions")),
        (GtidPosition.parse("0-1-90,1-1-5"), GtidPosition.parse("0-1-80"), Distance(15, "transactions")),
        (Lsn(1), GtidSet.parse(f"{UUID}:1"), None),
        (None, Lsn(1), None),
        (Lsn(1), None, None),
    ],
)
def test_what_a_reader_has_still_to_replay(writer: object, reader: object, expected: Distance | None) -> None:
    assert distance(writer, reader) == expected  # type: ignore[arg-type] # positions, or None


# -- the order of hosts ------------------------------------------------------------------------------------------------

HOSTS = (
    HostView("b", Role.READER, "b:1", latency=0.002, transactions=5.0, lag=3.0, connections=2),
    HostView("a", Role.READER, "a:1", latency=0.009, statements=50.0, oldest=OldestTransaction(9.0, 1)),
    HostView("w", Role.WRITER, "w:1", latency=0.005, transactions=20.0, connections=70),
)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("role", "wab"),
        ("name", "abw"),
        ("rate", "awb"),
        ("latency", "awb"),
        ("connections", "wba"),
        ("transaction", "awb"),
        ("lag", "bwa"),
    ],
)
def test_hosts_come_in_the_order_that_was_asked_for(sort: str, expected: str) -> None:
    assert "".join(host.identifier for host in ordered(HOSTS, sort)) == expected
    assert sort in SORTS


# -- the journal -------------------------------------------------------------------------------------------------------


def test_what_repeats_itself_is_counted_and_what_comes_late_finds_its_place() -> None:
    journal = noted(noted((), Entry(10.0, "a", "x")), Entry(11.0, "b", "y"))
    journal = noted(journal, Entry(12.0, "a", "x"))
    assert [(entry.words, entry.count) for entry in journal] == [("x", 2), ("y", 1)]
    journal = noted(journal, Entry(10.5, "a", "late"))
    assert [entry.words for entry in journal] == ["x", "late", "y"]
    journal = noted(journal, Entry(500.0, "a", "x"))
    assert [entry.count for entry in journal] == [2, 1, 1, 1]


@given(st.lists(st.tuples(st.floats(0, 1000), st.sampled_from("abc")), max_size=300))
def test_the_journal_is_bounded_and_in_order(entries: list[tuple[float, str]]) -> None:
    journal: tuple[Entry, ...] = ()
    for at, words in entries:
        journal = noted(journal, Entry(at, "host", words))
    assert len(journal) <= JOURNAL
    assert [entry.at for entry in journal] == sorted(entry.at for entry in journal)


@pytest.mark.parametrize(
    ("event", "words", "level"),
    [
        (FailoverStarted("w:1"), "the writer is lost", Level.BAD),
        (FailoverCompleted("w:1", 1.234), "1.23 s", Level.GOOD),
        (ConnectionFailed("w:1", 0.1, "ConnectError"), "ConnectError", Level.BAD),
        (BreakerOpened("w:1"), "refused at once", Level.BAD),
        (CredentialsRotated("w:1", "app"), "app", Level.INFO),
    ],
)
def test_entries_for_the_clients_events(event: object, words: str, level: Level) -> None:
    entry = entry_of(event, 7.0)  # type: ignore[arg-type] # one of the events
    assert entry is not None
    assert words in entry.words
    assert (entry.at, entry.subject, entry.level) == (7.0, "w:1", level)


def test_routine_events_have_no_entry_and_unknown_ones_have() -> None:
    assert entry_of(ConnectionOpened("w:1", 0.1), 7.0) is None
    assert entry_of(QueryFinished("select 1", 0.1, None), 7.0) is None

    @dataclass(frozen=True)
    class SomethingNew:
        what: str

    assert entry_of(SomethingNew("news"), 7.0) == Entry(7.0, "client", "SomethingNew: what news")  # type: ignore[arg-type]


def test_changes_of_the_topology() -> None:
    def host(name: str, role: Role, zone: str | None = None) -> Host:
        return Host(name, Endpoint(name, 1), role, zone)

    before = Topology((host("a", Role.WRITER), host("b", Role.READER), host("c", Role.READER, "z1")))
    after = Topology((host("b", Role.WRITER), host("a", Role.READER), host("d", Role.READER)))
    assert {(entry.subject, entry.level) for entry in changes(before, after, 1.0)} == {
        ("c", Level.BAD),
        ("b", Level.GOOD),
        ("a", Level.INFO),
        ("d", Level.GOOD),
    }
    (moved,) = changes(Topology((host("c", Role.READER, "z1"),)), Topology((host("c", Role.READER, "z2"),)), 1.0)
    assert moved.words == "is in zone z2 now, and was in z1"
    assert changes(after, after, 1.0) == []
