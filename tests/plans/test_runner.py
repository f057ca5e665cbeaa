"""What the runner does with steps that fail, are interrupted, have an unknown outcome, or are stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from rdskit.errors import ConfigError, ConnectError, FailoverError, PlanError
from rdskit.plans import (
    FileJournal,
    JobState,
    Progress,
    Step,
    StepContext,
    StepState,
    Stop,
    apply,
    done,
    not_done,
    resume,
    running,
    undo,
    unknown,
)
from tests.plans.memory import World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def journal(tmp_path: Path) -> FileJournal:
    return FileJournal(tmp_path / "jobs")


@pytest.fixture
def world() -> World:
    return World()


async def test_a_plan_runs_in_order_and_can_be_undone(journal: FileJournal, world: World) -> None:
    plan = world.plan(*map(world.step, "abc"))
    job = await apply(plan, journal, job="j")
    assert job.state is JobState.DONE
    assert world.there == {"a", "b", "c"}
    assert list(await journal.jobs()) == ["j"]
    with pytest.raises(PlanError, match="is done: there is nothing to resume"):
        await resume(plan, journal, "j")

    undone = await undo(plan, journal, "j")
    assert undone.state is JobState.UNDONE
    assert world.there == set()
    assert world.calls == ["a", "b", "c", "undo c", "undo b", "undo a"]
    with pytest.raises(PlanError, match="is undone already"):
        await undo(plan, journal, "j")


async def test_a_failed_step_stops_the_job_which_can_be_resumed(journal: FileJournal, world: World) -> None:
    world.errors["b"] = [ConfigError("no room")]
    plan = world.plan(*map(world.step, "abc"))
    with pytest.raises(PlanError, match="step 'b' failed: ConfigError: no room; `rdskit jobs resume j`") as failed:
        await apply(plan, journal, job="j")
    assert (failed.value.job, failed.value.step) == ("j", "b")
    assert (await resume(plan, journal, "j")).state is JobState.DONE
    assert world.calls == ["a", "b", "b", "c"]


@pytest.mark.parametrize("error", [ConnectError("away"), FailoverError("lost"), OSError("reset")])
async def test_a_lost_connection_is_tried_again(journal: FileJournal, world: World, error: Exception) -> None:
    world.errors["a"] = [error]
    assert (await apply(world.plan(world.step("a")), journal)).state is JobState.DONE
    assert world.calls == ["a", "a"]


async def test_a_step_whose_answer_was_lost_is_not_repeated(journal: FileJournal, world: World) -> None:
    async def takes_effect(context: StepContext) -> None:
        del context
        world.there.add("a")

    world.hooks["a"] = takes_effect
    world.errors["a"] = [FailoverError("lost")]
    job = await apply(world.plan(world.step("a")), journal)
    assert job.steps["a"].result == {"made": "a"}
    assert world.calls == ["a"]


async def test_words_of_foreign_errors_stay_out_of_the_journal(journal: FileJournal, world: World) -> None:
    world.errors["a"] = [ValueError("row 7: Ada")]
    with pytest.raises(PlanError, match="it raised ValueError") as failed:
        await apply(world.plan(world.step("a")), journal, job="j")
    assert "Ada" not in str(failed.value)
    assert not any("Ada" in str(entry.body) for entry in await journal.read("j"))


async def interrupted(plan: Any, journal: FileJournal) -> None:
    with pytest.raises(asyncio.CancelledError):
        await apply(plan, journal, job="j")


async def test_an_interrupted_step_is_asked_about(journal: FileJournal, world: World) -> None:
    world.errors["b"] = [asyncio.CancelledError()]
    plan = world.plan(*map(world.step, "abc"))
    await interrupted(plan, journal)
    world.there.add("b")
    assert (await resume(plan, journal, "j")).state is JobState.DONE
    assert world.calls == ["a", "b", "c"]


async def test_an_interrupted_step_that_nothing_can_tell_about_is_never_repeated(
    journal: FileJournal, world: World
) -> None:
    world.errors["b"] = [asyncio.CancelledError()]
    plan = world.plan(world.step("a"), world.step("b", done=None), world.step("c"))
    await interrupted(plan, journal)
    for again in (resume, undo):
        with pytest.raises(PlanError, match="what became of step 'b' is unknown"):
            await again(plan, journal, "j")
    assert world.calls == ["a", "b"]


async def test_a_step_that_changes_nothing_is_simply_run_again(journal: FileJournal, world: World) -> None:
    world.errors["b"] = [asyncio.CancelledError()]
    plan = world.plan(world.step("a"), world.step("b", done=None, undo=None, changes=False))
    await interrupted(plan, journal)
    assert (await resume(plan, journal, "j")).state is JobState.DONE
    assert (await undo(plan, journal, "j")).state is JobState.UNDONE


async def test_an_attempt_that_is_still_under_way_is_waited_for(journal: FileJournal, world: World) -> None:
    answers = [running("the ALTER runs"), done({"made": "b"})]
    seen: list[Progress] = []

    async def is_done(context: StepContext) -> Any:
        del context
        return answers.pop(0)

    world.errors["b"] = [asyncio.CancelledError()]
    plan = world.plan(world.step("b", done=is_done))
    await interrupted(plan, journal)
    assert (await resume(plan, journal, "j", progress=seen.append)).state is JobState.DONE
    assert world.calls == ["b"]
    assert "the ALTER runs" in [each.text for each in seen]


async def test_a_probe_that_cannot_tell_stops_the_job_and_says_why(journal: FileJournal, world: World) -> None:
    async def is_done(context: StepContext) -> Any:
        del context
        return unknown("the table has been renamed")

    world.errors["b"] = [asyncio.CancelledError()]
    plan = world.plan(world.step("b", done=is_done))
    await interrupted(plan, journal)
    with pytest.raises(PlanError, match="the table has been renamed"):
        await resume(plan, journal, "j")
    assert (await journal.read("j"))[-1].body == JobState.UNKNOWN.value


async def test_checkpoints_reach_the_next_attempt(journal: FileJournal, world: World) -> None:
    seen: list[Any] = []

    async def work(context: StepContext) -> None:
        seen.append(context.checkpoint)
        await context.save((context.checkpoint or 0) + 1)

    world.hooks["a"] = work
    world.errors["a"] = [asyncio.CancelledError(), asyncio.CancelledError()]
    plan = world.plan(world.step("a"))
    await interrupted(plan, journal)
    with pytest.raises(asyncio.CancelledError):
        await resume(plan, journal, "j")
    await resume(plan, journal, "j")
    assert seen == [None, 1, 2]


async def test_a_step_done_in_part_is_undone(journal: FileJournal, world: World) -> None:
    async def work(context: StepContext) -> None:
        await context.save(1)

    world.hooks["a"] = work
    world.errors["a"] = [asyncio.CancelledError()]
    plan = world.plan(world.step("a"), world.step("b"))
    await interrupted(plan, journal)
    assert (await undo(plan, journal, "j")).state is JobState.UNDONE
    assert world.calls == ["a", "undo a"], "b was never begun"


async def test_a_plan_with_a_step_that_has_no_way_back_is_not_undone_in_part(
    journal: FileJournal, world: World
) -> None:
    plan = world.plan(world.step("a"), world.step("b", undo=None))
    await apply(plan, journal, job="j")
    with pytest.raises(PlanError, match="step 'b' \\(done\\) has no way back"):
        await undo(plan, journal, "j")
    assert world.there == {"a", "b"}


async def test_an_undo_that_failed_goes_on_where_it_was(journal: FileJournal, world: World) -> None:
    plan = world.plan(*map(world.step, "abc"))
    await apply(plan, journal, job="j")
    world.errors["undo b"] = [ConfigError("in use")]
    with pytest.raises(PlanError, match="step 'b' could not be undone: ConfigError: in use"):
        await undo(plan, journal, "j")
    assert (await undo(plan, journal, "j")).state is JobState.UNDONE
    assert world.calls[3:] == ["undo c", "undo b", "undo b", "undo a"]


async def test_always_steps_run_after_a_failure_and_at_each_end(journal: FileJournal, world: World) -> None:
    world.errors["a"] = [ConfigError("no room")]
    plan = world.plan(world.step("clean", always=True), world.step("a"))
    with pytest.raises(PlanError, match="step 'a' failed"):
        await apply(plan, journal, job="j")
    await resume(plan, journal, "j")
    assert world.calls == ["a", "clean", "a", "clean"]


async def test_a_clean_up_that_fails_as_well_is_told(journal: FileJournal, world: World) -> None:
    world.errors["a"] = [ConfigError("no room")]
    world.errors["clean"] = [ConfigError("no way")]
    plan = world.plan(world.step("a"), world.step("clean", always=True))
    with pytest.raises(PlanError, match="step 'a' failed") as failed:
        await apply(plan, journal, job="j")
    assert failed.value.__notes__ == ["besides, step 'clean' failed: ConfigError: no way"]


async def test_a_group_runs_in_parallel_and_its_members_end_before_a_failure_is_told(
    journal: FileJournal, world: World
) -> None:
    meeting = asyncio.Barrier(3)
    names = ["x", "y", "z"]

    async def meet(context: StepContext) -> None:
        del context
        await meeting.wait()

    world.hooks = dict.fromkeys(names, meet)
    world.errors["y"] = [ConfigError("no room")]
    plan = world.plan(*(world.step(name, group="g") for name in names), world.step("after"))
    with pytest.raises(PlanError, match="step 'y' failed"):
        await apply(plan, journal, job="j")
    assert world.there == {"x", "z"}


async def test_a_stop_ends_the_job_between_two_steps(journal: FileJournal, world: World) -> None:
    stop = Stop()

    async def ask(context: StepContext) -> None:
        del context
        stop.request()

    world.hooks["b"] = ask
    plan = world.plan(*map(world.step, "abc"))
    job = await apply(plan, journal, job="j", stop=stop)
    assert job.state is JobState.STOPPED
    assert job.steps["b"].state is StepState.DONE
    assert (await resume(plan, journal, "j")).state is JobState.DONE


async def test_a_plan_is_refused_when_what_it_was_made_from_has_changed(journal: FileJournal, world: World) -> None:
    async def read() -> dict[str, str]:
        return {"table users": "3 columns"}

    plan = world.plan(world.step("a"), facts={"table users": "2 columns"}, read=read)
    with pytest.raises(PlanError, match="it was 2 columns, it is 3 columns; make the plan again"):
        await apply(plan, journal)
    assert world.calls == []
    assert not await journal.jobs()


async def test_a_job_has_one_live_owner(journal: FileJournal, world: World) -> None:
    async def second(context: StepContext) -> None:
        assert await journal.is_owned("j")
        with pytest.raises(PlanError, match="is being run by another process"):
            await resume(world.plan(world.step("a")), FileJournal(journal._directory), context.job)

    world.hooks["a"] = second
    plan = world.plan(world.step("a"))
    assert (await apply(plan, journal, job="j")).state is JobState.DONE
    assert not await journal.is_owned("j")


async def test_other_steps_than_those_of_the_journal_are_refused(journal: FileJournal, world: World) -> None:
    world.errors["a"] = [ConfigError("no room")]
    with pytest.raises(PlanError):
        await apply(world.plan(world.step("a"), world.step("b")), journal, job="j")
    with pytest.raises(PlanError, match="was begun with other steps"):
        await resume(world.plan(world.step("a"), world.step("c")), journal, "j")


async def test_a_line_torn_by_a_crash_is_dropped(journal: FileJournal, world: World, tmp_path: Path) -> None:
    world.errors["b"] = [asyncio.CancelledError()]
    plan = world.plan(*map(world.step, "ab"))
    await interrupted(plan, journal)
    file = tmp_path / "jobs/j.jsonl"
    with file.open("a") as lines:
        lines.write('{"event": "done", "at": "2026')
    assert (await resume(plan, journal, "j")).state is JobState.DONE
    assert all(line.startswith("{") and line.endswith("}") for line in file.read_text().splitlines())


async def test_an_unknown_job_and_an_id_that_is_none_are_named(journal: FileJournal, world: World) -> None:
    plan: Any = world.plan(world.step("a"))
    await apply(plan, journal, job="j")
    with pytest.raises(PlanError, match=r"there is no job 'k' in .*; the jobs there are: j"):
        await journal.read("k")
    with pytest.raises(ConfigError, match="is not the id of a job"):
        await journal.read("../etc/passwd")


async def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path, world: World) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written: .*; choose another place with --journal"):
        await apply(world.plan(world.step("a")), FileJournal(tmp_path / "file/jobs"))


def test_probes_say_what_they_mean() -> None:
    assert [probe.state.value for probe in (done(), not_done(), running("r"), unknown("u"))] == [
        "done",
        "not done",
        "still running",
        "unknown",
    ]
    assert Step("s", "s", run=None, changes=False).reversible  # type: ignore[arg-type]
