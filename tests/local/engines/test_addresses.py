"""Loopback addresses: each handed out once, none that is taken."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from rdskit.errors import LocalError
from rdskit.kernel.endpoints import Endpoint
from rdskit.local.engines.addresses import AddressBook, free_port


def test_each_address_is_handed_out_once(tmp_path: Path) -> None:
    book = AddressBook(tmp_path)
    addresses = {book.allocate() for _ in range(20)}
    assert len(addresses) == 20


def test_the_wanted_port_is_honoured(tmp_path: Path) -> None:
    book = AddressBook(tmp_path)
    first, second = book.allocate(54329), book.allocate(54329)
    assert first != second
    if sys.platform == "linux":
        assert {first.port, second.port} == {54329}


def test_a_recorded_address_is_not_handed_out_again(tmp_path: Path) -> None:
    recorded = AddressBook(tmp_path).allocate(54330)
    assert AddressBook(tmp_path, taken=[recorded]).allocate(54330) != recorded


def test_a_released_address_is_handed_out_again(tmp_path: Path) -> None:
    book = AddressBook(tmp_path)
    first = book.allocate(54331)
    book.release(first)
    assert book.allocate(54331) == first


def test_a_port_taken_everywhere_is_said_plainly() -> None:
    book = AddressBook(Path("/nowhere"))
    with socket.create_server(("0.0.0.0", 0)) as everywhere:  # noqa: S104 - the very case under test
        port = everywhere.getsockname()[1]
        with pytest.raises(LocalError, match=rf"port {port} is taken"):
            book.allocate(port)


def test_an_address_reads_as_host_and_port() -> None:
    assert str(Endpoint("127.0.0.2", 5432)) == "127.0.0.2:5432"
    assert free_port("192.0.2.1") is None
