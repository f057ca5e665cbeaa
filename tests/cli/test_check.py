"""``rdskit check`` on the command line: what it prints, and its exit status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from rdskit.cli.main import app

if TYPE_CHECKING:
    from tests.plugins.postgres import TestDatabase


def test_a_good_target_ends_with_0_and_a_line_for_each_step(database: TestDatabase) -> None:
    result = CliRunner().invoke(app, ["check", database.url, "--tls", "off"])
    assert result.exit_code == 0, result.stdout
    for name in ("target", "dns", "tcp", "tls", "login", "role", "replicas"):
        assert f" {name}" in result.stdout
    assert "→ use --tls verify-full" in result.stdout
    assert database.password not in result.stdout


def test_a_bad_target_ends_with_1_and_says_so_in_json() -> None:
    result = CliRunner().invoke(app, ["check", "postgresql://u:s3cret@no-such-host.invalid/x", "--json"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["ok"] is False
    assert [step["status"] for step in told["steps"]][:3] == ["ok", "fail", "skipped"]
    assert "s3cret" not in result.stdout


def test_an_option_that_cannot_be_is_wrong_use() -> None:
    result = CliRunner().invoke(app, ["check", "postgresql://u@127.0.0.1:1/x", "--tls", "maybe"])
    assert result.exit_code == 2
    assert "verify-full" in result.stderr
