"""``.env`` as editors on other systems write it, and with passwords that hold what Python takes for line breaks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from rdskit.client.credentials.environment import parse_env, read_env_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_byte_order_mark_and_windows_line_ends_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfPGUSER=app\r\nPGPASSWORD=one two\r\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    assert read_env_file() == {"PGUSER": "app", "PGPASSWORD": "one two"}


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_only_line_ends_end_a_line(mark: str) -> None:
    assert parse_env(f"PGPASSWORD='a{mark}PGUSER=x'\nPGUSER=app") == {"PGPASSWORD": f"a{mark}PGUSER=x", "PGUSER": "app"}
