"""A file of authorities that changes while a database is open counts for its next connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rdskit
from rdskit.client.tls import CurrentContext, tls_context
from rdskit.local.certificates import LocalAuthority

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.plugins.postgres import TestDatabase


def serials(current: CurrentContext) -> set[object]:
    context = current()
    assert context is not None
    return {entry["serialNumber"] for entry in context.get_ca_certs()}


def test_a_new_file_counts_and_a_broken_one_does_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = (LocalAuthority(tmp_path / name) for name in ("first", "second"))
    path = tmp_path / "ca.pem"
    path.write_bytes(first.ensure().read_bytes())
    current = CurrentContext("verify-full", path)
    before = serials(current)
    assert serials(current) == before
    (tmp_path / "new.pem").write_bytes(second.ensure().read_bytes())
    (tmp_path / "new.pem").rename(path)
    after = serials(current)
    assert len(after - before) == len(before - after) == 1
    path.write_text("no certificate")
    assert serials(current) == after
    assert "stay in use" in caplog.text
    path.unlink()
    assert serials(current) == after


def test_without_tls_there_is_no_context() -> None:
    assert CurrentContext("off", None)() is None


async def test_an_open_database_asks_for_the_context_at_each_connection(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    ask = CurrentContext.__call__

    def asking(self: CurrentContext) -> object:
        asked.append(self)
        return ask(self)

    monkeypatch.setattr(CurrentContext, "__call__", asking)
    async with rdskit.connect(database.url, tls="off", min_size=1, max_size=2) as db:
        before = len(asked)
        async with db.transaction() as one, db.transaction() as two:
            assert await one.fetch_value("select pg_backend_pid()") != await two.fetch_value("select pg_backend_pid()")
        assert len(asked) > before
    assert tls_context("off") is None
