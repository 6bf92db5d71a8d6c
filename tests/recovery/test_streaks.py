"""Consecutive breaches, seen in the search attributes of real runs."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import WorkflowHandle

from activities.open_streaks import longest_open_streaks
from domain.ids import manual_run_id
from domain.notices import BreachKind
from domain.sla import SlaStatus
from domain.task import Task
from tests.activities.server import http
from tests.recovery.harness import TAKEN, Recovery
from tests.starter.harness import eventually_async

AGO = timedelta(hours=3)


class Line:
    """Runs of one task, a minute apart, that end when the test says so."""

    def __init__(self, recovery: Recovery, task: Task) -> None:
        self.recovery, self.task = recovery, task
        self.begin = datetime.now(UTC) - AGO
        self.runs: list[WorkflowHandle[Any, Any]] = []

    async def start(self, count: int) -> None:
        """So many more, all open."""
        for _ in range(count):
            number = len(self.runs)
            at = self.begin + timedelta(minutes=number)
            self.runs.append(await self.recovery.start_run(self.task, str(number), at=at))

    async def end(self, number: int, status: SlaStatus) -> None:
        """One ends; a breach raises its notice."""
        handle = self.runs[number]
        if status in (SlaStatus.MET, SlaStatus.WARNED):
            await handle.signal("end", status)
            await handle.result()
            return
        notice = self.recovery.notice(
            self.task, BreachKind.FINISH, key=str(number), order=False, streak=True
        )
        await self.recovery.raise_all(notice)  # before it ends, as a run does
        await handle.signal("end", status)
        await self.recovery.ended(notice.breach.breach_id)

    def told(self) -> list[str]:
        """The breach ids of consecutive breaches that the service was told."""
        return [
            request.headers["idempotency-key"]
            for request in self.recovery.sent()
            if request.body["kind"] == "CONSECUTIVE"
        ]

    async def all_told(self, count: int) -> None:
        """Return when there are so many."""

        async def look() -> bool:
            return len(self.told()) >= count

        await eventually_async(look)

    def name(self, after: str) -> str:
        """The id of a streak."""
        return f"consecutive/{self.task.tenant_id}/{self.task.task_id}/{after}"

    def run_id(self, number: int) -> str:
        """The id of a run."""
        return manual_run_id(self.task.tenant_id, self.task.task_id, str(number))


async def test_the_third_in_a_row_is_told_and_the_fourth_is_not(recovery: Recovery) -> None:
    """Under an id of the task's and the streak's own, counted once; two in a row are nothing."""
    line = Line(recovery, recovery.task())
    await line.start(4)
    await line.end(0, SlaStatus.FINISH_BREACHED)
    await line.end(1, SlaStatus.START_BREACHED)
    assert line.told() == []
    await line.end(2, SlaStatus.BREACHED)
    await line.all_told(1)
    await line.end(3, SlaStatus.BREACHED)
    assert line.told() == [line.name("first")]
    assert recovery.counted(BreachKind.CONSECUTIVE) == 1
    [request] = recovery.sent(line.name("first"))
    assert request.body["run_id"] == line.run_id(2)
    assert request.body["expected_by"] is None
    assert request.body["message"].startswith("3 runs in a row broke their SLA")


async def test_a_run_that_ended_well_begins_anew(recovery: Recovery) -> None:
    """A warning is no breach; the next streak is called after the run before it."""
    line = Line(recovery, recovery.task())
    await line.start(8)
    for number in (0, 1):
        await line.end(number, SlaStatus.BREACHED)
    await line.end(2, SlaStatus.WARNED)
    for number in (3, 4):
        await line.end(number, SlaStatus.BREACHED)
    assert line.told() == []
    await line.end(5, SlaStatus.BREACHED)
    await line.all_told(1)
    await line.end(6, SlaStatus.MET)
    await line.end(7, SlaStatus.BREACHED)
    assert line.told() == [line.name(line.run_id(2))]
    assert recovery.counted(BreachKind.CONSECUTIVE) == 1


async def test_runs_that_end_at_once_in_any_order_are_told_once(recovery: Recovery) -> None:
    """Six overlap, with one that ended well in front; the last of them comes first."""
    line = Line(recovery, recovery.task())
    await line.start(7)
    await line.end(0, SlaStatus.MET)
    await line.end(6, SlaStatus.BREACHED)
    await asyncio.gather(*(line.end(n, SlaStatus.BREACHED) for n in (4, 2, 1, 5, 3)))
    await line.all_told(1)
    assert line.told() == [line.name(line.run_id(0))]
    assert recovery.counted(BreachKind.CONSECUTIVE) == 1


async def test_a_run_in_front_that_ends_well_later_makes_no_second_one(
    recovery: Recovery,
) -> None:
    """It was open when the streak was told, and gives it another name now."""
    line = Line(recovery, recovery.task())
    await line.start(6)
    await line.end(0, SlaStatus.MET)
    for number in (2, 3, 4):
        await line.end(number, SlaStatus.BREACHED)
    await line.all_told(1)
    await line.end(1, SlaStatus.MET)
    await line.end(5, SlaStatus.BREACHED)
    assert line.told() == [line.name(line.run_id(0))]
    assert recovery.counted(BreachKind.CONSECUTIVE) == 1


async def test_other_tasks_and_tenants_have_streaks_of_their_own(recovery: Recovery) -> None:
    """Two each are not three."""
    lines = [Line(recovery, recovery.task()) for _ in range(2)]
    for line in lines:
        await line.start(2)
        for number in (0, 1):
            await line.end(number, SlaStatus.BREACHED)
    assert [line.told() for line in lines] == [[], []]


async def test_runs_far_apart_are_in_a_row_too(recovery: Recovery) -> None:
    """A task that runs once a week."""
    task = recovery.task()
    line = Line(recovery, task)
    now = datetime.now(UTC)
    for number, weeks in enumerate((9, 3, 2, 1)):
        at = now - timedelta(weeks=weeks)
        line.runs.append(await recovery.start_run(task, str(number), at=at))
    await line.end(0, SlaStatus.MET)
    for number in (1, 2, 3):
        await line.end(number, SlaStatus.BREACHED)
    await line.all_told(1)
    assert line.told() == [line.name(line.run_id(0))]
    assert recovery.counted(BreachKind.CONSECUTIVE) == 1


async def test_a_breach_of_a_run_that_never_was_leads_to_no_look(recovery: Recovery) -> None:
    """It is told, and that is all."""
    notice = recovery.notice(recovery.task(), BreachKind.START, order=False, streak=True)
    await recovery.told(notice)
    assert [request.body["kind"] for request in recovery.sent()] == ["START"]


async def test_a_service_that_is_down_keeps_no_streak_from_being_seen(
    recovery: Recovery,
) -> None:
    """The look does not wait for what cannot be told."""
    line = Line(recovery, recovery.task())
    await line.start(3)
    for number in (0, 1):
        await line.end(number, SlaStatus.BREACHED)
    recovery.server.answer = http("503 Service Unavailable")
    ending = asyncio.create_task(line.end(2, SlaStatus.BREACHED))

    async def counted() -> bool:
        return recovery.counted(BreachKind.CONSECUTIVE) == 1

    await eventually_async(counted)
    assert not ending.done()
    recovery.server.answer = TAKEN
    await ending
    await line.all_told(1)


async def test_a_streak_that_goes_on_is_seen_until_a_run_ends_well(recovery: Recovery) -> None:
    """As metrics show it: the longest of a tenant's tasks, whatever their runs were before."""
    line, other = Line(recovery, recovery.task()), Line(recovery, recovery.task())
    await line.start(5)
    await other.start(1)
    await line.end(0, SlaStatus.MET)
    for number in (1, 2, 3):
        await line.end(number, SlaStatus.BREACHED)
    await other.end(0, SlaStatus.BREACHED)

    async def longest(runs: int) -> bool:
        return (await longest_open_streaks(recovery.client)).get(recovery.tenant) == runs

    await eventually_async(lambda: longest(3))
    await line.end(4, SlaStatus.WARNED)
    await eventually_async(lambda: longest(1))
