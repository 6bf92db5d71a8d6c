"""What a real server makes of compiled specs: exactly the wanted times, and the jitter foretold.

`TASKFLOW_SWEEP=2000` tries that many tasks instead of a sample, over all zones.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleSpec,
    ScheduleState,
)

from domain.calendars import compile_cron
from domain.compiled import compile_task
from domain.cron import parse_cron
from domain.jitter import jitter_seed, stagger_offset, trigger_time
from domain.repair import TooManyEntries
from domain.task import CronTrigger, EventTrigger, IntervalTrigger, OneOffTrigger, Task
from domain.temporal_model import CompiledSpec, Instant, fires
from domain.triggers import task_times
from shared.compiled import compiled_spec, schedule_spec
from shared.errors import NotFound
from starter.verify import PAGE, Difference, matching_times, verify
from tests.domain.clocks import (
    NOW,
    ZONES,
    changes_of,
    cron_task,
    random_cron,
    task_with,
    wanted_in,
    windows_of,
)

_SWEEP = int(os.environ.get("TASKFLOW_SWEEP", "0"))
_SAMPLE = len(ZONES)
_DAY = timedelta(days=1)


@asynccontextmanager
async def _scheduled(client: Client, name: str, spec: ScheduleSpec) -> AsyncIterator[str]:
    """A paused schedule, for as long as the block runs."""
    action = ScheduleActionStartWorkflow("none", id=name, task_queue="compiled")
    schedule = Schedule(action=action, spec=spec, state=ScheduleState(paused=True))
    handle = await client.create_schedule(name, schedule)
    try:
        yield name
    finally:
        await handle.delete()


async def _differences(
    client: Client, task: Task, shift: timedelta, random: Random
) -> list[Difference]:
    spec = compile_task(task, shift=shift, now=NOW)
    windows = list(windows_of(task, spec, shift, random))
    async with _scheduled(client, f"compiled-{random.random()}", schedule_spec(spec)) as name:
        return await verify(client, name, wanted_in(task, shift, windows), windows)


@pytest.mark.fault(25)
@pytest.mark.parametrize("number", range(_SWEEP or _SAMPLE))
async def test_the_server_fires_as_crontab_says(temporal: Client, number: int) -> None:
    """Around each change of two years, any expression in any zone, moved or not: no difference."""
    random = Random(number)  # noqa: S311 - a case, not a secret
    task = cron_task(random_cron(random), ZONES[number % len(ZONES)])
    shift = timedelta(seconds=random.choice([0, 0, random.randint(1, 4000)]))
    assert await _differences(temporal, task, shift, random) == []


@pytest.mark.parametrize("number", range(_SWEEP // 10 or 4))
async def test_triggers_of_several_zones_fire_as_wanted(temporal: Client, number: int) -> None:
    """Crons of two zones, an interval and a one-off in one schedule: no difference."""
    random = Random(number)  # noqa: S311
    crons = [CronTrigger(cron=random_cron(random), timezone=random.choice(ZONES)) for _ in range(2)]
    every = IntervalTrigger(every=timedelta(hours=7), offset=timedelta(minutes=11))
    once = OneOffTrigger(at=datetime(2027, 3, 14, 7, 30, tzinfo=UTC))
    try:
        found = await _differences(temporal, task_with(*crons, every, once), timedelta(0), random)
    except TooManyEntries:
        pytest.skip("this pair of zones is refused")
    assert found == []


@pytest.mark.parametrize("number", range(_SWEEP // 4 or 18))
async def test_the_model_is_the_server(temporal: Client, number: int) -> None:
    """Calendars without any repair: the model makes the server's mistakes, all of them."""
    random = Random(number)  # noqa: S311
    zone, text = random.choice(ZONES), random_cron(random)
    spec = CompiledSpec(zone, calendars=compile_cron(parse_cron(text)))
    async with _scheduled(temporal, f"model-{number}", schedule_spec(spec)) as name:
        for change in changes_of(cron_task(text, zone), spec):
            start = change + timedelta(minutes=random.randint(-200, 200))
            end = change + 2 * _DAY
            listed = await matching_times(temporal, name, start, end)
            assert listed[:PAGE] == list(fires(spec, after=start, until=end))[:PAGE]


async def test_jitter_is_foretold(temporal: Client) -> None:
    """Trigger times computed here are those that the server lists, for hundreds of fires."""
    request = DescribeNamespaceRequest(namespace=temporal.namespace)
    namespace = await temporal.workflow_service.describe_namespace(request)
    jitter = timedelta(minutes=20)  # longer than the gap, so that it is cut off too
    spec = CompiledSpec("UTC", calendars=compile_cron(parse_cron("*/15,7 * * * *")))
    wanted = schedule_spec(spec)
    wanted.jitter = jitter
    async with _scheduled(temporal, "schedule/acme/jitter", wanted) as name:
        listed = await matching_times(temporal, name, NOW, NOW + 6 * _DAY)
    nominal = list(fires(spec, after=NOW - timedelta(hours=1), until=NOW + 7 * _DAY))
    seed = jitter_seed(namespace.namespace_info.id, name)
    foretold = [trigger_time(at, following, jitter, seed) for at, following in pairwise(nominal)]
    assert len(listed) > 500
    assert set(listed) <= set(foretold)


async def test_lists_longer_than_a_page_are_whole(temporal: Client) -> None:
    """The server ends its answer after 1,000 times; the list goes on."""
    task = task_with(IntervalTrigger(every=timedelta(minutes=1)))
    spec = schedule_spec(compile_task(task, shift=timedelta(0), now=NOW))
    end = NOW + 2 * _DAY
    async with _scheduled(temporal, "pages", spec) as name:
        listed = await matching_times(temporal, name, NOW, end)
    assert listed == list(task_times(task, after=NOW, until=end))


async def test_a_difference_names_what_is_extra_and_missing(temporal: Client) -> None:
    """Verifying a schedule against other times says in which window, and how."""
    at = NOW + _DAY
    spec = schedule_spec(CompiledSpec("UTC", instants=(Instant(at),)))
    window = (NOW, NOW + 2 * _DAY)
    later = at + timedelta(minutes=1)
    async with _scheduled(temporal, "different", spec) as name:
        assert await verify(temporal, name, [at], [window]) == []
        [found] = await verify(temporal, name, [later], [window])
    assert found == Difference(*window, extra=(at,), missing=(later,))


async def test_times_of_no_schedule_are_an_error(temporal: Client) -> None:
    """A schedule that is not there has no times, and that is not an empty list."""
    with pytest.raises(NotFound, match="nowhere"):
        await matching_times(temporal, "nowhere", NOW, NOW + _DAY)


def test_a_tasks_spec_has_its_stagger_and_jitter() -> None:
    """The calendars are moved by the task's own offset, and the jitter is the schedule's."""
    task = cron_task("0 2 * * *", "UTC").model_copy(
        update={"stagger": timedelta(minutes=5), "jitter": timedelta(seconds=30)}
    )
    spec = compiled_spec(task, NOW)
    offset = stagger_offset(task.tenant_id, task.task_id, task.stagger)
    [calendar] = spec.calendars
    moved = timedelta(minutes=calendar.minute[0].start, seconds=calendar.second[0].start)
    assert (moved, spec.jitter) == (offset, timedelta(seconds=30))


def test_a_task_of_events_alone_keeps_its_schedule() -> None:
    """A schedule with nothing left to do is deleted, so there is one fire far away."""
    task = task_with(EventTrigger(event="order.created"))
    [calendar] = compiled_spec(task, NOW).calendars
    assert calendar.year[0].start == 2100
    assert calendar.comment == 'on [{"event":"order.created"}]'


def test_a_task_of_events_and_a_passed_time_keeps_its_schedule() -> None:
    """What is left when its clocks have nothing more to fire is its events."""
    once = OneOffTrigger(at=datetime(2020, 1, 1, tzinfo=UTC))
    task = task_with(once, EventTrigger(event="order.created", filter="'x' != '" + "y" * 600 + "'"))
    assert [calendar.comment for calendar in compiled_spec(task, NOW).calendars] == [
        "at 2020-01-01T00:00:00Z",
        "on ...",
    ]
