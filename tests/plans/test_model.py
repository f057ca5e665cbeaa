"""A job's state follows from its journal; journals keep no secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rdskit.errors import ConfigError, PlanError
from rdskit.plans import JobState, StepState
from rdskit.plans.journal import decode, encode
from rdskit.plans.model import Entry, Event, created, replay
from tests.plans.memory import World

AT = "2026-11-30T12:00:00.000+00:00"


def test_a_step_name_that_cannot_be_kept_is_refused() -> None:
    world = World()
    with pytest.raises(ConfigError, match="cannot be kept"):
        world.plan(world.step("trailing blank "))
    with pytest.raises(ConfigError, match="occurs twice"):
        world.plan(world.step("a"), world.step("a"))


def test_neighbours_of_one_group_run_together_and_always_steps_come_last() -> None:
    world = World()
    plan = world.plan(
        world.step("a"),
        world.step("clean", always=True),
        world.step("b", group="g"),
        world.step("c", group="g"),
        world.step("d", group="h"),
        world.step("e"),
    )
    assert [[step.name for step in group] for group in plan.groups()] == [["a"], ["b", "c"], ["d"], ["e"]]
    assert [step.name for step in plan.last()] == ["clean"]


def test_the_journal_tells_what_became_of_each_step() -> None:
    world = World()
    plan = world.plan(*map(world.step, "abcd"))
    entries = [
        created(plan, "j", AT),
        Entry(Event.STARTED, AT, "a"),
        Entry(Event.DONE, AT, "a", {"made": "a"}),
        Entry(Event.STARTED, AT, "b"),
        Entry(Event.CHECKPOINT, AT, "b", 7),
        Entry(Event.FAILED, AT, "b", "no room"),
        Entry(Event.ENDED, AT, body="failed"),
        Entry(Event.STARTED, AT, "b"),
        Entry(Event.UNKNOWN, AT, "b", "cannot tell"),
        Entry(Event.ENDED, AT, body="unknown"),
    ]
    job = replay("j", [decode(encode(entry), "j") for entry in entries])
    assert job.state is JobState.UNKNOWN
    assert (job.kind, job.title, job.arguments) == ("sample", "Make a few things", {"n": 1})
    assert [step.state for step in job.steps.values()] == [
        StepState.DONE,
        StepState.UNKNOWN,
        StepState.PENDING,
        StepState.PENDING,
    ]
    assert job.steps["b"].attempts == 2
    assert job.steps["b"].checkpoint == 7
    assert job.steps["b"].detail == "cannot tell"
    assert replay("j", entries[:6]).state is JobState.OPEN


@pytest.mark.parametrize(
    "body",
    [
        {"password": "x"},
        {"nested": [{"MasterUserPassword": "x"}]},
        {"url": "postgresql://app:x@db/shop"},
        ["mysql://app:x@db/shop"],
        {"session_token": "x"},
    ],
)
def test_a_secret_never_reaches_a_journal(body: Any) -> None:
    with pytest.raises(ConfigError, match="journal") as refused:
        encode(Entry(Event.DONE, AT, "a", body))
    assert ":x@" not in str(refused.value)


def test_names_of_secrets_and_urls_without_password_are_kept() -> None:
    body = {"secret_arn": "arn:aws:…", "target": "postgresql://app@db/shop", "password": None, "credentials": "iam"}
    assert decode(encode(Entry(Event.DONE, AT, "a", body)), "j").body == body


@pytest.mark.parametrize("body", [{1, 2}, float("nan"), object()])
def test_what_json_cannot_hold_is_refused(body: Any) -> None:
    with pytest.raises(ConfigError, match="the journal cannot keep what 'a' gave"):
        encode(Entry(Event.DONE, AT, "a", body))


@pytest.mark.parametrize("line", ["", "{", "[]", '{"event": "nope", "at": ""}', '{"at": ""}', "null"])
def test_a_damaged_entry_is_named(line: str) -> None:
    with pytest.raises(PlanError, match="the journal of job 'j' is damaged"):
        decode(line, "j")


def test_a_journal_of_another_version_is_refused() -> None:
    world = World()
    entry = created(world.plan(world.step("a")), "j", AT)
    later = Entry(entry.event, entry.at, body=json.loads(json.dumps({**entry.body, "version": 99})))
    with pytest.raises(PlanError, match="version 99"):
        replay("j", [later])
    with pytest.raises(PlanError, match="no beginning"):
        replay("j", [])
