"""``rdskit jobs`` lists, shows, resumes and undoes jobs; a plan of an unknown kind is named."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from rdskit.cli import jobs
from rdskit.errors import ConfigError, PlanError
from rdskit.plans import FileJournal, Plan, apply
from tests.plans.memory import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WORLD = World()


@contextlib.asynccontextmanager
async def rebuild(arguments: dict[str, Any], options: dict[str, Any]) -> AsyncIterator[Plan]:
    assert arguments == {"n": 1}
    assert options == {}
    yield WORLD.plan(*map(WORLD.step, "abc"))


@pytest.fixture
def failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a job whose second step failed; return the name of its journal."""
    monkeypatch.setitem(jobs.KINDS, "sample", f"{__name__}:rebuild")
    for held in (WORLD.there, WORLD.calls, WORLD.errors):
        held.clear()
    WORLD.errors["b"] = [ConfigError("no room")]
    place = str(tmp_path / "jobs")
    with pytest.raises(PlanError):
        asyncio.run(apply(WORLD.plan(*map(WORLD.step, "abc")), FileJournal(tmp_path / "jobs"), job="j"))
    return place


def run(*words: str, status: int = 0) -> str:
    result = CliRunner().invoke(jobs.app, list(words))
    assert result.exit_code == status, (result.output, result.exception)
    return result.output


def test_a_failed_job_is_listed_shown_and_resumed(failed: str) -> None:
    assert "j  failed       1/3  Make a few things" in run("list", "--journal", failed)
    listed = json.loads(run("list", "--journal", failed, "--json"))["jobs"]
    assert [step["state"] for step in listed[0]["steps"]] == ["done", "failed", "pending"]
    assert "✗ b: make b  [ConfigError: no room]" in run("show", "j", "--journal", failed)
    assert json.loads(run("show", "j", "--journal", failed, "--json"))["state"] == "failed"

    assert "job j: done" in run("resume", "j", "--journal", failed)
    assert WORLD.there == {"a", "b", "c"}


def test_nothing_is_undone_without_yes(failed: str) -> None:
    shown = run("undo", "j", "--journal", failed)
    assert "nothing is changed without --yes" in shown
    assert shown.index("b: make b") < shown.index("a: make a")
    assert WORLD.there == {"a"}
    assert "job j: undone" in run("undo", "j", "--journal", failed, "--yes")
    assert WORLD.there == set()


def test_an_empty_journal_and_a_kind_that_is_not_known_are_named(
    failed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no jobs in" in run("list", "--journal", str(tmp_path / "other"))
    monkeypatch.delitem(jobs.KINDS, "sample")
    result = CliRunner().invoke(jobs.app, ["resume", "j", "--journal", failed])
    assert isinstance(result.exception, PlanError)
    assert "jobs of kind 'sample' are not known here" in str(result.exception)
